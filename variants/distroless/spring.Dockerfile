ARG BASE_SDK_MAVEN=maven:3.9-eclipse-temurin-21
ARG BASE_DISTROLESS_JAVA=gcr.io/distroless/java21-debian13:nonroot

FROM ${BASE_SDK_MAVEN} AS build
WORKDIR /src
COPY pom.xml ./
RUN --mount=type=cache,target=/root/.m2 mvn --batch-mode --no-transfer-progress dependency:go-offline
COPY src ./src
# What changes seldom comes apart from what changes often, so that each is a layer of its own.
RUN --mount=type=cache,target=/root/.m2 \
    mvn --batch-mode --no-transfer-progress package \
 && java -Djarmode=tools -jar target/service.jar extract --layers --destination /layers

FROM ${BASE_DISTROLESS_JAVA}
WORKDIR /app
COPY --from=build /layers/dependencies/ ./
COPY --from=build /layers/spring-boot-loader/ ./
COPY --from=build /layers/snapshot-dependencies/ ./
COPY --from=build /layers/application/ ./
USER 65532
EXPOSE 8080
ENTRYPOINT ["java", "-jar", "/app/service.jar"]
