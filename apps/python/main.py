"""The sample service of apps/README.md on FastAPI and uvicorn."""

import os
import platform
import socket
import time
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse

REVISION = "0"
MAX_BELOW = 10_000_000

app = FastAPI(openapi_url=None)


def primes(n: int) -> tuple[int, int]:
    """Count the primes below n with a sieve of Eratosthenes and fold them into a checksum of 32 bits."""
    composite = bytearray(n)
    count = checksum = 0
    for i in range(2, n):
        if composite[i]:
            continue
        count += 1
        checksum = (checksum * 31 + i) & 0xFFFFFFFF
        composite[i * i :: i] = b"\1" * len(range(i * i, n, i))
    return count, checksum


@app.exception_handler(RequestValidationError)
async def bad_request(_: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, status_code=400)


@app.get("/health")
async def get_health() -> PlainTextResponse:
    return PlainTextResponse("ok")


@app.get("/")
async def get_root() -> dict[str, str]:
    return {"name": "python", "runtime": f"Python {platform.python_version()}", "revision": REVISION}


@app.get("/primes")
def get_primes(below: Annotated[int, Query(ge=0, le=MAX_BELOW)]) -> dict[str, int]:
    count, checksum = primes(below)
    return {"below": below, "count": count, "checksum": checksum}


@app.get("/clock", response_model=None)
def get_clock(zone: str, at: int) -> dict[str, str] | JSONResponse:
    try:
        local = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError, OverflowError) as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    return {"zone": zone, "local": f"{local:%Y-%m-%d %H:%M:%S}"}


class Service(uvicorn.Server):
    """Says when it listens, by the clock it shares with the host."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        print(f"listening port={self.config.port} monotonic_ns={time.monotonic_ns()}", flush=True)


if __name__ == "__main__":
    port = int(os.environ.get("PORT") or 8080)
    Service(uvicorn.Config(app, host="0.0.0.0", port=port, log_level="warning", timeout_graceful_shutdown=5)).run()
