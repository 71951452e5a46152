ARG BASE_SDK_GO=golang:1.24-trixie
FROM ${BASE_SDK_GO} AS build
WORKDIR /src
COPY go.mod main.go ./
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /tool .

FROM scratch
COPY --from=build /tool /tool
USER 65532:65532
ENTRYPOINT ["/tool"]
CMD ["serve"]
