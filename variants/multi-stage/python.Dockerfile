ARG BASE_SDK_PYTHON=python:3.13-trixie
ARG BASE_RUNTIME_PYTHON=python:3.13-slim-trixie

FROM ${BASE_SDK_PYTHON} AS build
WORKDIR /src
COPY requirements.txt ./
# The environment that ships gets no pip of its own.
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/venv \
 && python3 -m pip --python /opt/venv/bin/python3 install --require-hashes -r requirements.txt

FROM ${BASE_RUNTIME_PYTHON}
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY . .
ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1
USER 65532
EXPOSE 8080
CMD ["/opt/venv/bin/python3", "main.py"]
