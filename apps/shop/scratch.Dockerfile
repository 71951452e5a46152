ARG BASE_SDK_NODE=node:20-trixie
ARG BASE_SDK_MAVEN=maven:3.9-eclipse-temurin-21
ARG BASE_OS_SLIM=debian:trixie-slim

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

# A runtime of the modules that the program and its driver refer to. Then the shared libraries that it loads, and the
# loader, each at the path it is looked for. A library that is missing fails the build.
FROM ${BASE_SDK_MAVEN} AS runtime
SHELL ["/bin/bash", "-o", "errexit", "-o", "pipefail", "-c"]
WORKDIR /src
COPY --from=backend /src/target/service.jar ./
COPY --from=backend /src/target/lib ./lib
RUN service=$(jdeps --ignore-missing-deps --multi-release 21 --print-module-deps service.jar); \
    driver=$(jdeps --ignore-missing-deps --multi-release 21 --print-module-deps lib/mariadb-java-client-*.jar); \
    jlink --add-modules "$service,$driver,jdk.crypto.ec" --strip-java-debug-attributes --no-header-files --no-man-pages \
      --output /opt/java; \
    mkdir /closure; \
    LD_LIBRARY_PATH=/opt/java/lib/server \
      find /opt/java -type f \( -name '*.so' -o -name java \) -exec ldd {} + > libraries; \
    if grep 'not found' libraries; then exit 1; fi; \
    awk '$2 == "=>" {print $3} $2 ~ /^\(0x/ {print $1}' libraries | grep '^/' | grep -v '^/opt/java/' \
      | sort -u | xargs cp -L --parents -t /closure

# What any program may ask a system for: certificates, time zones, users, /tmp. The certificates are the
# distribution's own files, put together here, as the ready-made bundle may hold authorities of the machine that builds.
FROM ${BASE_OS_SLIM} AS files
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates tzdata \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /files/etc/ssl/certs /files/usr/share \
 && install -d -m 1777 /files/tmp \
 && cat /usr/share/ca-certificates/mozilla/*.crt > /files/etc/ssl/certs/ca-certificates.crt \
 && cp -a /usr/share/zoneinfo /files/usr/share/ \
 && echo 'nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin' > /files/etc/passwd \
 && echo 'nonroot:x:65532:' > /files/etc/group \
 && echo 'hosts: files dns' > /files/etc/nsswitch.conf

FROM scratch
COPY --from=files /files/ /
COPY --from=runtime /closure/ /
COPY --from=runtime /opt/java /opt/java
WORKDIR /app
COPY --from=backend /src/target/lib ./lib
COPY --from=backend /src/target/service.jar ./
COPY --from=frontend /src/dist ./static
ENV LANG=C.UTF-8
USER 65532
EXPOSE 8080
ENTRYPOINT ["/opt/java/bin/java", "-jar", "/app/service.jar"]
