ARG BASE_OS_FULL=debian:trixie

FROM ${BASE_OS_FULL}
# What this strategy is there to show: Recommends come along (a compiler, for pip) and the package lists stay.
# hadolint ignore=DL3009,DL3015
RUN apt-get update && apt-get install -y python3 python3-pip
WORKDIR /app
COPY . .
# And so does pip's cache; source that is copied first makes every edit install the dependencies again.
# hadolint ignore=DL3042
RUN pip install --break-system-packages -r requirements.txt
EXPOSE 8080
CMD ["python3", "main.py"]
