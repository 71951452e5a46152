ARG BASE_SDK_JAVA=eclipse-temurin:21-jdk
ARG BASE_RUNTIME_JAVA=eclipse-temurin:21-jre

FROM ${BASE_SDK_JAVA} AS build
WORKDIR /src
COPY . .
RUN find src -name '*.java' > sources \
 && javac -d classes @sources \
 && jar --create --file service.jar --manifest MANIFEST.MF -C classes .

FROM ${BASE_RUNTIME_JAVA}
WORKDIR /app
COPY --from=build /src/service.jar ./
ENV LANG=C.UTF-8
USER 65532
EXPOSE 8080
CMD ["java", "-jar", "/app/service.jar"]
