ARG BASE_SDK_NODE=node:20-trixie
ARG BASE_DISTROLESS_NODE=gcr.io/distroless/nodejs20-debian13:nonroot

FROM ${BASE_SDK_NODE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --no-audit --no-fund

FROM ${BASE_DISTROLESS_NODE}
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY . .
USER 65532
EXPOSE 8080
ENTRYPOINT ["/nodejs/bin/node", "server.js"]
