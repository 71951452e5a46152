ARG BASE_OS_SLIM=debian:trixie-slim
ARG BASE_DISTROLESS_PYTHON=gcr.io/distroless/python3-debian13:nonroot

FROM ${BASE_DISTROLESS_PYTHON} AS python

# The distribution's own Python: the environment then points to /usr/bin/python3, which is where distroless has it.
FROM ${BASE_OS_SLIM} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-pip python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/venv \
 && python3 -m pip --python /opt/venv/bin/python3 install --require-hashes -r requirements.txt

# Byte-code that is taken unseen: what it was made of cannot change in an image.
RUN --mount=type=bind,from=python,target=/python \
    mkdir -p /compiled/usr/lib \
 && cp -a /python/usr/lib/python3.* /compiled/usr/lib/ \
 && python3 -m compileall -q --invalidation-mode unchecked-hash -s /compiled -p / /compiled \
 && find /compiled ! -type d ! -name '*.pyc' -delete \
 && find /compiled -type d -empty -delete

FROM ${BASE_DISTROLESS_PYTHON}
WORKDIR /app
COPY --from=build /compiled/ /
COPY --from=build /opt/venv /opt/venv
COPY . .
ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1
USER 65532
EXPOSE 8080
ENTRYPOINT ["/opt/venv/bin/python3", "main.py"]
