ARG BASE_OS_FULL=debian:trixie
FROM ${BASE_OS_FULL}:latest
FROM
