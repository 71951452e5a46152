ARG BASE_OS_FULL=debian:trixie

FROM ${BASE_OS_FULL}
# What this strategy is there to show: Recommends come along (a desktop's libraries) and the package lists stay.
# hadolint ignore=DL3009,DL3015
RUN apt-get update && apt-get install -y openjdk-21-jdk maven
# A layer each, so that the account says what each weighs.
# hadolint ignore=DL3015,DL3059
RUN apt-get install -y nodejs npm
# The same.
# hadolint ignore=DL3015,DL3059
RUN apt-get install -y mariadb-server
WORKDIR /app
COPY . .
WORKDIR /app/frontend
RUN npm install && npm run build && mv dist /app/static
WORKDIR /app/backend
RUN mvn package && mv target/service.jar target/lib /app/
WORKDIR /app
EXPOSE 8080
CMD ["./start.sh"]
