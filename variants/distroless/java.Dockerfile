ARG BASE_SDK_JAVA=eclipse-temurin:21-jdk
ARG BASE_DISTROLESS_JAVA=gcr.io/distroless/java21-debian13:nonroot

FROM ${BASE_SDK_JAVA} AS build
WORKDIR /src
COPY . .
RUN find src -name '*.java' > sources \
 && javac -d classes @sources \
 && jar --create --file service.jar --manifest MANIFEST.MF -C classes .

FROM ${BASE_DISTROLESS_JAVA}
WORKDIR /app
COPY --from=build /src/service.jar ./
USER 65532
EXPOSE 8080
ENTRYPOINT ["java", "-jar", "/app/service.jar"]
