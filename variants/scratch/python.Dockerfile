ARG BASE_SDK_PYTHON=python:3.13-trixie
ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_SDK_PYTHON} AS build
SHELL ["/bin/bash", "-o", "errexit", "-o", "pipefail", "-c"]
WORKDIR /src
COPY requirements.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/venv \
 && python3 -m pip --python /opt/venv/bin/python3 install --require-hashes -r requirements.txt
# The interpreter and its standard library, less what no service imports; then the shared libraries that they or the
# environment load, and the loader, each at the path it is looked for. A library that is missing fails the build.
RUN link=$(command -v python3); program=$(readlink -f "$link"); \
    stdlib=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))'); \
    mkdir /closure; \
    cp -a --parents "$link" "$program" "$stdlib" /closure; \
    rm -rf "/closure$stdlib"/{config-*,ensurepip,idlelib,lib-dynload/_tkinter.*,pydoc_data,site-packages,test,tkinter}; \
    find "/closure$program" "/closure$stdlib" /opt/venv -type f \( -path "/closure$program" -o -name '*.so*' \) \
      -exec ldd {} + > libraries; \
    if grep 'not found' libraries; then exit 1; fi; \
    awk '$2 == "=>" {print $3} $2 ~ /^\(0x/ {print $1}' libraries | grep '^/' | grep -v '^/opt/venv/' \
      | sort -u | xargs cp -L --parents -t /closure

# What any program may ask a system for: certificates, time zones, users, /tmp. The certificates are the
# distribution's own files, put together here, as the ready-made bundle may hold authorities of the machine that builds.
FROM ${BASE_OS_SLIM} AS files
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates tzdata \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /files/etc/ssl/certs /files/usr/share \
 && install -d -m 1777 /files/tmp \
 && cat /usr/share/ca-certificates/mozilla/*.crt > /files/etc/ssl/certs/ca-certificates.crt \
 && cp -a /usr/share/zoneinfo /files/usr/share/ \
 && echo 'nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin' > /files/etc/passwd \
 && echo 'nonroot:x:65532:' > /files/etc/group \
 && echo 'hosts: files dns' > /files/etc/nsswitch.conf

FROM scratch
COPY --from=files /files/ /
COPY --from=build /closure/ /
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY . .
ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1
USER 65532
EXPOSE 8080
ENTRYPOINT ["/opt/venv/bin/python3", "main.py"]
