"""A small manifest and its tries, for tests of run folders."""

from __future__ import annotations

from dataclasses import replace

from harness.model import Direction, Environment, Metric, Status, Try, Unit
from harness.store.format import CellInfo, Manifest

MANIFEST = Manifest(
    environment=Environment(facts={"cpu": "one", "kernel": "6.1"}, notes={"load": "0.1"}),
    seed=7,
    metrics=(
        Metric(name="start.warm.total", unit=Unit.SECONDS, headline=True, help="To the first answer."),
        Metric(name="size.layers", unit=Unit.COUNT, direction=Direction.NEITHER, deterministic=True, help="Layers."),
    ),
    cells=(CellInfo(id="go-full", app="go", app_title="Go", strategy="full", strategy_title="Full", rank=0),),
    plan={"budget": 1200, "probes": ["start"]},
    versions={"tare": "0.1.0"},
    git="753f2c6",
)


def a_try(order: int = 0, **changes: object) -> Try:
    base = Try(
        cell="go-full",
        probe="start",
        state="warm",
        block=order,
        order=order,
        at=1.8e9 + order,
        seconds=0.5,
        status=Status.OK,
        values={"start.warm.total": 0.25 + order / 1000},
    )
    return replace(base, **changes)  # type: ignore[arg-type]
