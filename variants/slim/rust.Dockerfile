ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_OS_SLIM}
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates cargo \
 && rm -rf /var/lib/apt/lists/*
ENV CARGO_HOME=/usr/local/cargo
WORKDIR /app
COPY . .
# What Cargo fetched and compiled stays in the caches: an edit compiles what changed, so manifests need no layer of
# their own. Cargo goes by the times of files, and a file may be older than what the caches hold of it: hence touch.
# Cargo's lock file lies outside this cache, so that two builds at once would spoil it: hence locked.
RUN --mount=type=cache,sharing=locked,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/app/target \
    find src -name '*.rs' -exec touch {} + \
 && cargo build --release --locked \
 && cp target/release/service ./
USER 65532
EXPOSE 8080
CMD ["/app/service"]
