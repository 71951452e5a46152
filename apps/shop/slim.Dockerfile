ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_OS_SLIM}
RUN apt-get update \
 && apt-get install -y --no-install-recommends mariadb-server maven nodejs npm openjdk-21-jdk-headless \
 && rm -rf /var/lib/apt/lists/* \
 && chown -R 65532 /var/lib/mysql
ENV LANG=C.UTF-8
WORKDIR /app/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY frontend ./
RUN npm run build && mv dist /app/static
WORKDIR /app/backend
COPY backend/pom.xml ./
RUN --mount=type=cache,target=/root/.m2 mvn --batch-mode --no-transfer-progress dependency:go-offline
COPY backend/src ./src
RUN --mount=type=cache,target=/root/.m2 \
    mvn --batch-mode --no-transfer-progress package \
 && mv target/service.jar target/lib /app/ \
 && rm -r target
WORKDIR /app
COPY database.sql start.sh ./
USER 65532
EXPOSE 8080
CMD ["/app/start.sh"]
