ARG BASE_SDK_NODE=node:20-trixie
ARG BASE_SDK_MAVEN=maven:3.9-eclipse-temurin-21
ARG BASE_RUNTIME_JAVA=eclipse-temurin:21-jre

# Front end and back end are built side by side, each in a stage with its own tools; neither of them ships.
FROM ${BASE_SDK_NODE} AS frontend
WORKDIR /src
COPY frontend/package.json frontend/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY frontend ./
RUN npm run build

FROM ${BASE_SDK_MAVEN} AS backend
WORKDIR /src
COPY backend/pom.xml ./
RUN --mount=type=cache,target=/root/.m2 mvn --batch-mode --no-transfer-progress dependency:go-offline
COPY backend/src ./src
RUN --mount=type=cache,target=/root/.m2 mvn --batch-mode --no-transfer-progress package

FROM ${BASE_RUNTIME_JAVA}
WORKDIR /app
COPY --from=backend /src/target/lib ./lib
COPY --from=backend /src/target/service.jar ./
COPY --from=frontend /src/dist ./static
ENV LANG=C.UTF-8
USER 65532
EXPOSE 8080
CMD ["java", "-jar", "/app/service.jar"]
