ARG BASE_OS_FULL=debian:trixie

FROM ${BASE_OS_FULL}
COPY main.sh /
CMD ["/main.sh"]
