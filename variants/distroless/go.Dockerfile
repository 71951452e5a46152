ARG BASE_SDK_GO=golang:1.24-trixie
ARG BASE_DISTROLESS_STATIC=gcr.io/distroless/static-debian13:nonroot

FROM ${BASE_SDK_GO} AS build
ENV CGO_ENABLED=0 GOFLAGS=-trimpath GOTOOLCHAIN=local GOMODCACHE=/var/cache/go/mod GOCACHE=/var/cache/go/build
WORKDIR /src
COPY go.mod go.sum* ./
RUN --mount=type=cache,target=/var/cache/go go mod download
COPY . .
RUN --mount=type=cache,target=/var/cache/go go build -ldflags="-s -w" -o /out/server .

FROM ${BASE_DISTROLESS_STATIC}
WORKDIR /app
COPY --from=build /out/server ./
USER 65532
EXPOSE 8080
ENTRYPOINT ["/app/server"]
