ARG BASE_OS_SLIM=debian:trixie-slim

FROM ${BASE_OS_SLIM}
RUN apt-get update \
 && apt-get install -y --no-install-recommends nodejs npm \
 && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --no-audit --no-fund
COPY . .
USER 65532
EXPOSE 8080
CMD ["node", "server.js"]
