ARG BASE_SDK_GO=golang:1.24-trixie

FROM ${BASE_SDK_GO} AS build
ENV CGO_ENABLED=0 GOFLAGS=-trimpath GOTOOLCHAIN=local
WORKDIR /src
RUN head -c 50000000 /dev/urandom > /random
COPY go.mod main.go ./
RUN go build -ldflags="-s -w" -o /server .
RUN sleep 0

FROM scratch
COPY --from=build /server /server
COPY --from=build /random /random
USER 65532
EXPOSE 8080
ENTRYPOINT ["/server"]
