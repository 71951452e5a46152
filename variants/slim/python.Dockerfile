ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_OS_SLIM}
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.txt ./
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .
ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1
USER 65532
EXPOSE 8080
CMD ["/opt/venv/bin/python3", "main.py"]
