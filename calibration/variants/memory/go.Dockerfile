ARG BASE_SDK_GO=golang:1.24-trixie

FROM ${BASE_SDK_GO} AS build
ENV CGO_ENABLED=0 GOFLAGS=-trimpath GOTOOLCHAIN=local GOCACHE=/var/cache/go/build
WORKDIR /src
COPY go.mod main.go ./
RUN --mount=type=cache,target=/var/cache/go go build -ldflags="-s -w" -o /server .
RUN sleep 0

FROM scratch
COPY --from=build /server /server
ENV ALLOCATE=64000000
USER 65532
EXPOSE 8080
ENTRYPOINT ["/server"]
