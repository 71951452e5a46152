ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_OS_SLIM}
RUN apt-get update \
 && apt-get install -y --no-install-recommends openjdk-21-jdk-headless \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY . .
RUN find src -name '*.java' > sources \
 && javac -d /tmp/classes @sources \
 && jar --create --file service.jar --manifest MANIFEST.MF -C /tmp/classes . \
 && rm -r /tmp/classes sources
ENV LANG=C.UTF-8
USER 65532
EXPOSE 8080
CMD ["java", "-jar", "/app/service.jar"]
