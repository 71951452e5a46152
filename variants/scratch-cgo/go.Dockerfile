ARG BASE_SDK_GO=golang:1.24-trixie
ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_SDK_GO} AS build
# The official image has a C compiler, the distribution's Go recommends one. Where Go finds it, cgo is on, and packages
# that have a part in C (net, os/user) link the program to the C library.
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
ENV GOFLAGS=-trimpath GOTOOLCHAIN=local GOMODCACHE=/var/cache/go/mod GOCACHE=/var/cache/go/build
WORKDIR /src
COPY go.mod go.sum* ./
RUN --mount=type=cache,target=/var/cache/go go mod download
COPY . .
RUN --mount=type=cache,target=/var/cache/go go build -ldflags="-s -w" -o /out/server .

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
COPY --from=build /out/server /server
USER 65532
EXPOSE 8080
ENTRYPOINT ["/server"]
