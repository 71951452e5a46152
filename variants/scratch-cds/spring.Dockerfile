ARG BASE_SDK_MAVEN=maven:3.9-eclipse-temurin-21
ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_SDK_MAVEN} AS build
WORKDIR /src
COPY pom.xml ./
RUN --mount=type=cache,target=/root/.m2 mvn --batch-mode --no-transfer-progress dependency:go-offline
COPY src ./src
# What changes seldom comes apart from what changes often, so that each is a layer of its own.
RUN --mount=type=cache,target=/root/.m2 \
    mvn --batch-mode --no-transfer-progress package \
 && java -Djarmode=tools -jar target/service.jar extract --layers --destination /layers

# A runtime of the modules that the libraries refer to, less what draws and plays sound: of java.desktop a service
# uses java.beans. Then the shared libraries that the runtime loads, and the loader, each at the path it is looked
# for. A library that is missing fails the build.
FROM ${BASE_SDK_MAVEN} AS runtime
SHELL ["/bin/bash", "-o", "errexit", "-o", "pipefail", "-c"]
WORKDIR /src
COPY --from=build /layers/dependencies/ ./
RUN modules=$(jdeps --ignore-missing-deps --multi-release 21 --print-module-deps lib/*.jar); \
    jlink --add-modules "$modules,jdk.crypto.ec" --strip-java-debug-attributes --no-header-files --no-man-pages \
      --output /opt/java; \
    rm -f /opt/java/lib/lib{awt*,fontmanager,freetype,javajpeg,jawt,jsound,lcms,mlib_image,splashscreen}.so; \
    /opt/java/bin/java -Xshare:dump; \
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
COPY --from=build /layers/dependencies/ ./
COPY --from=build /layers/spring-boot-loader/ ./
COPY --from=build /layers/snapshot-dependencies/ ./
COPY --from=build /layers/application/ ./
ENV LANG=C.UTF-8
USER 65532
EXPOSE 8080
ENTRYPOINT ["/opt/java/bin/java", "-jar", "/app/service.jar"]
