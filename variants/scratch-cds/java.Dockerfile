ARG BASE_SDK_JAVA=eclipse-temurin:21-jdk
ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_SDK_JAVA} AS build
WORKDIR /src
COPY . .
RUN find src -name '*.java' > sources \
 && javac -d classes @sources \
 && jar --create --file service.jar --manifest MANIFEST.MF -C classes .

# A runtime of the modules that module-info.java requires; then the shared libraries that it loads, and the loader,
# each at the path it is looked for. A library that is missing fails the build.
FROM ${BASE_SDK_JAVA} AS runtime
SHELL ["/bin/bash", "-o", "errexit", "-o", "pipefail", "-c"]
WORKDIR /src
COPY src/module-info.java ./
RUN modules=$(sed -n 's/^ *requires \(.*\);/\1/p' module-info.java | paste -sd,); \
    jlink --add-modules "java.base${modules:+,$modules}" --strip-java-debug-attributes --no-header-files --no-man-pages \
      --output /opt/java; \
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
COPY --from=build /src/service.jar /app/service.jar
ENV LANG=C.UTF-8
USER 65532
EXPOSE 8080
ENTRYPOINT ["/opt/java/bin/java", "-jar", "/app/service.jar"]
