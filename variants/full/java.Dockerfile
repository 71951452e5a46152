ARG BASE_OS_FULL=debian:trixie

FROM ${BASE_OS_FULL}
# What this strategy is there to show: Recommends come along (a desktop's libraries) and the package lists stay.
# hadolint ignore=DL3009,DL3015
RUN apt-get update && apt-get install -y openjdk-21-jdk
WORKDIR /app
COPY . .
# The list of sources is split at spaces: none of their names holds one.
# hadolint ignore=SC2046
RUN javac -d classes $(find src -name '*.java') && jar --create --file service.jar --manifest MANIFEST.MF -C classes .
EXPOSE 8080
CMD ["java", "-jar", "service.jar"]
