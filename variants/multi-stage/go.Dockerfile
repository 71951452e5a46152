ARG BASE_SDK_GO=golang:1.24-trixie
ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_SDK_GO} AS build
ENV CGO_ENABLED=0 GOFLAGS=-trimpath GOTOOLCHAIN=local GOMODCACHE=/var/cache/go/mod GOCACHE=/var/cache/go/build
WORKDIR /src
COPY go.mod go.sum* ./
RUN --mount=type=cache,target=/var/cache/go go mod download
COPY . .
RUN --mount=type=cache,target=/var/cache/go go build -ldflags="-s -w" -o /out/server .

FROM ${BASE_OS_SLIM}
WORKDIR /app
COPY --from=build /out/server ./
USER 65532
EXPOSE 8080
CMD ["/app/server"]
