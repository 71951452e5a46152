#!/bin/sh
# Database and service in one container: the database in the background, the service in its place.
set -eu
user=
if [ "$(id -u)" = 0 ]; then user=--user=mysql; fi
mariadbd --no-defaults ${user} --datadir=/var/lib/mysql --socket=/tmp/database.sock --pid-file=/tmp/database.pid \
  --init-file=/app/database.sql --bind-address=127.0.0.1 --skip-name-resolve &
exec java -jar /app/service.jar
