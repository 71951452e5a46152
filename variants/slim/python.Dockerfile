ARG BASE_RUNTIME_PYTHON=python:3.13-slim-trixie

FROM ${BASE_RUNTIME_PYTHON}
WORKDIR /app
COPY requirements.txt ./
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .
ENV PYTHONUNBUFFERED=1
USER 65532
EXPOSE 8080
CMD ["/opt/venv/bin/python3", "main.py"]
