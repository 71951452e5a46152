ARG BASE_SDK_RUST=rust:1.85-trixie
ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_SDK_RUST} AS build
ENV CARGO_HOME=/usr/local/cargo
WORKDIR /src
COPY . .
# crt-static links the C library in; it needs a named target, as macros of the compiler cannot be linked that way.
# What Cargo fetched and compiled stays in the caches: an edit compiles what changed, so manifests need no layer of
# their own. Cargo goes by the times of files, and a file may be older than what the caches hold of it: hence touch.
# Cargo's lock file lies outside this cache, so that two builds at once would spoil it: hence locked.
RUN --mount=type=cache,sharing=locked,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    find src -name '*.rs' -exec touch {} + \
 && target=$(rustc --print host-tuple) \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" \
 && install -D "target/$target/release/service" /out/service

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
COPY --from=build /out/service /service
USER 65532
EXPOSE 8080
ENTRYPOINT ["/service"]
