ARG BASE_SDK_SH=tools:1

FROM ${BASE_SDK_SH} AS build
COPY main.sh /

FROM scratch
COPY --from=build /main.sh /
CMD ["/main.sh"]
