ARG BASE_SDK_GO=golang:1.24-trixie
ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_SDK_GO} AS build
ENV CGO_ENABLED=0 GOFLAGS=-trimpath GOTOOLCHAIN=local GOMODCACHE=/var/cache/go/mod GOCACHE=/var/cache/go/build
WORKDIR /src
COPY go.mod go.sum* ./
RUN --mount=type=cache,target=/var/cache/go go mod download
COPY . .
# timetzdata: time zones go into the binary (0.4 MB), as there is no /usr/share/zoneinfo beside it.
RUN --mount=type=cache,target=/var/cache/go go build -tags=timetzdata -ldflags="-s -w" -o /out/server .

# What every program may ask a system for. The certificates are the distribution's own files, put together here:
# the ready-made bundle of a build stage may hold authorities of the machine that builds.
FROM ${BASE_OS_SLIM} AS files
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /files/etc/ssl/certs \
 && install -d -m 1777 /files/tmp \
 && cat /usr/share/ca-certificates/mozilla/*.crt > /files/etc/ssl/certs/ca-certificates.crt \
 && echo 'nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin' > /files/etc/passwd \
 && echo 'nonroot:x:65532:' > /files/etc/group

FROM scratch
COPY --from=files /files/ /
COPY --from=build /out/server /server
USER 65532
EXPOSE 8080
ENTRYPOINT ["/server"]
