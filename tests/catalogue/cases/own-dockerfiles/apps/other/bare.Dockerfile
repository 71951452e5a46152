ARG BASE_OS_FULL=debian:trixie
FROM debian:trixie AS build
FROM build AS again
FROM ${BASE_SDK_SH}
