ARG BASE_OS_FULL=debian:trixie

FROM ${BASE_OS_FULL}
# What this strategy is there to show: Recommends come along and the package lists stay.
# hadolint ignore=DL3009,DL3015
RUN apt-get update && apt-get install -y cargo
WORKDIR /app
COPY . .
RUN cargo build --release
EXPOSE 8080
CMD ["./target/release/service"]
