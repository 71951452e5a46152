ARG BASE_SDK_NODE=node:20-trixie
ARG BASE_RUNTIME_NODE=node:20-trixie-slim

FROM ${BASE_SDK_NODE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --no-audit --no-fund

FROM ${BASE_RUNTIME_NODE}
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY . .
USER 65532
EXPOSE 8080
CMD ["node", "server.js"]
