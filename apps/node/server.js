// The sample service of apps/README.md on Express.
import express from "express";

const REVISION = "0";
const MAX_BELOW = 10_000_000;

// Counts the primes below n with a sieve of Eratosthenes and folds them into a checksum of 32 bits.
function primes(n) {
  const composite = new Uint8Array(n);
  let count = 0;
  let checksum = 0;
  for (let i = 2; i < n; i++) {
    if (composite[i]) continue;
    count++;
    checksum = (checksum * 31 + i) % 2 ** 32;
    for (let j = i * i; j < n; j += i) composite[j] = 1;
  }
  return { count, checksum };
}

// The query's value as a whole number from min to max, else undefined.
function wholeNumber(text, min, max) {
  const value = /^-?\d+$/.test(text) ? Number(text) : NaN;
  return value >= min && value <= max ? value : undefined;
}

const app = express();
app.disable("x-powered-by");

app.get("/health", (request, response) => {
  response.type("text/plain").send("ok");
});

app.get("/", (request, response) => {
  response.json({ name: "node", runtime: `Node.js ${process.version}`, revision: REVISION });
});

app.get("/primes", (request, response) => {
  const below = wholeNumber(request.query.below, 0, MAX_BELOW);
  if (below === undefined) {
    return response.status(400).json({ error: `below must be a whole number from 0 to ${MAX_BELOW}` });
  }
  return response.json({ below, ...primes(below) });
});

app.get("/clock", (request, response) => {
  const { zone } = request.query;
  const at = wholeNumber(request.query.at, -8.64e12, 8.64e12); // what a Date holds, in seconds
  if (at === undefined) return response.status(400).json({ error: "at must be Unix seconds" });
  try {
    // Swedish writes dates as ISO 8601 does.
    const local = new Date(at * 1000).toLocaleString("sv-SE", { timeZone: String(zone) });
    return response.json({ zone, local });
  } catch (error) {
    return response.status(400).json({ error: error.message });
  }
});

const port = Number(process.env.PORT || 8080);
const server = app.listen(port, (error) => {
  const now = process.hrtime.bigint(); // CLOCK_MONOTONIC, which container and host share
  if (error) throw error;
  console.log(`listening port=${port} monotonic_ns=${now}`);
});

function stop() {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  setTimeout(() => process.exit(0), 5000).unref();
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
