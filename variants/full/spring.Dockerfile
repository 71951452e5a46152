ARG BASE_OS_FULL=debian:trixie

FROM ${BASE_OS_FULL}
# What this strategy is there to show: Recommends come along (a desktop's libraries) and the package lists stay.
# hadolint ignore=DL3009,DL3015
RUN apt-get update && apt-get install -y openjdk-21-jdk maven
WORKDIR /app
COPY . .
RUN mvn package
EXPOSE 8080
CMD ["java", "-jar", "target/service.jar"]
