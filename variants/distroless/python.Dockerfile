ARG BASE_OS_SLIM=debian:trixie-slim
ARG BASE_DISTROLESS_PYTHON=gcr.io/distroless/python3-debian13:nonroot

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

FROM ${BASE_DISTROLESS_PYTHON}
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY . .
ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1
USER 65532
EXPOSE 8080
ENTRYPOINT ["/opt/venv/bin/python3", "main.py"]
