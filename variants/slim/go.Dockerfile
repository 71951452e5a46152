ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_OS_SLIM}
RUN apt-get update \
 && apt-get install -y --no-install-recommends golang-go \
 && rm -rf /var/lib/apt/lists/*
ENV CGO_ENABLED=0 GOFLAGS=-trimpath GOTOOLCHAIN=local GOMODCACHE=/var/cache/go/mod GOCACHE=/var/cache/go/build
WORKDIR /app
COPY go.mod go.sum* ./
RUN --mount=type=cache,target=/var/cache/go go mod download
COPY . .
RUN --mount=type=cache,target=/var/cache/go go build -ldflags="-s -w" -o server .
USER 65532
EXPOSE 8080
CMD ["/app/server"]
