ARG BASE_SDK_NODE=node:20-trixie
ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_SDK_NODE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --no-audit --no-fund

# The program as its makers publish it (npm: node-linux-…), in the version of the one here; then the shared libraries
# that it loads, and the loader, each at the path it is looked for. A library that is missing fails the build.
FROM ${BASE_SDK_NODE} AS runtime
SHELL ["/bin/bash", "-o", "errexit", "-o", "pipefail", "-c"]
WORKDIR /src
RUN --mount=type=cache,target=/root/.npm \
    package="node-$(node --print 'process.platform + "-" + process.arch')"; \
    npm install --no-save --no-audit --no-fund --ignore-scripts "$package@$(node --print process.versions.node)"; \
    program="node_modules/$package/bin/node"; \
    install -D "$program" /closure/usr/bin/node; \
    ldd "$program" > libraries; \
    if grep 'not found' libraries; then exit 1; fi; \
    awk '$2 == "=>" {print $3} $2 ~ /^\(0x/ {print $1}' libraries | grep '^/' \
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
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY . .
USER 65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/node", "server.js"]
