"""A generated history of nights with known effects, written through the store as runs are.

120 nights of five cells in two tracks. What is in it, by night (from 0); everything else is noise:

    20–22, 77   nothing was measured
    31          one cell times out, that night only
    40          pinned and floating: python-slim starts 6 % slower: its source changed
    55          both tracks: go-full is 4 MB larger: a package was added
    60          the engine is upgraded: all durations 8 % shorter, a new environment
    70          floating: python-full is 1.2 MB larger and pulls 6 % slower: its base moved
    85–95       both tracks: go-slim builds 12 % slower, then as before
    60–119      pinned and floating: python-distroless takes 10 % more memory, a little more every night
    100         both tracks: python-distroless starts cold 10 % faster

Noise: 1.2 % from night to night, 2 % within one, a machine that wanders by ±0.8 %, and 4 % of the nights of a series
10–40 % too slow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import orjson

from harness.model import Direction, Environment, Metric, Status, Try, Unit
from harness.nights.records import FLOATING, NIGHTLY, PINNED
from harness.store.run import CellInfo, Manifest
from harness.store.writer import RunWriter

FIRST = 1_735_696_800.0  # 2025-01-01 02:00 UTC
DAY = 86400.0
NIGHTS = 120
BLOCKS = 6
UPGRADED = 60
GAPS = frozenset({20, 21, 22, 77})
FACTS = {"processor": "Example 2 GHz", "kernel": "6.12.1", "engine": "docker 27.1.0", "storage driver": "overlay2"}
NEWER = {**FACTS, "engine": "docker 28.0.0"}

METRICS = (
    Metric(name="size.transfer", unit=Unit.BYTES, deterministic=True, headline=True, help="bytes to fetch"),
    Metric(
        name="size.layers", unit=Unit.COUNT, direction=Direction.NEITHER, deterministic=True, help="layers of the image"
    ),
    Metric(name="start.cold.total", unit=Unit.SECONDS, headline=True, help="start, the page cache dropped"),
    Metric(name="start.warm.total", unit=Unit.SECONDS, headline=True, help="start, the page cache warm"),
    Metric(name="pull.empty.total", unit=Unit.SECONDS, headline=True, help="pull to an empty machine"),
    Metric(name="build.cold", unit=Unit.SECONDS, headline=True, help="build, the cache empty"),
    Metric(name="memory.ready", unit=Unit.BYTES, headline=True, help="peak resident memory when ready"),
)
LEVELS = {  # by cell: MB, cold s, warm s, pull s, build s, memory MB
    "go-full": (312.4, 0.42, 0.31, 4.1, 21.0, 14.0),
    "go-slim": (88.2, 0.40, 0.30, 1.3, 19.5, 14.0),
    "python-full": (402.8, 0.95, 0.62, 5.3, 28.0, 41.0),
    "python-slim": (61.3, 0.91, 0.60, 1.1, 24.0, 40.0),
    "python-distroless": (38.9, 0.88, 0.58, 0.8, 26.0, 39.0),
}
STATES = {
    "start.cold.total": ("start", "cold"),
    "start.warm.total": ("start", "warm"),
    "pull.empty.total": ("pull", "empty"),
    "build.cold": ("build", "cold"),
    "memory.ready": ("memory", "ready"),
}
CELLS = tuple(
    CellInfo(
        id=cell,
        app=cell.partition("-")[0],
        app_title=cell.partition("-")[0],
        strategy=cell.partition("-")[2],
        strategy_title=cell.partition("-")[2],
        rank=list(LEVELS).index(cell),
    )
    for cell in LEVELS
)


@dataclass(frozen=True)
class Effect:
    """What is hidden: a factor (or bytes more) on a series from night to night, in a track or in both."""

    cell: str
    metric: str
    begin: int
    factor: float = 1.0
    more: float = 0.0
    end: int = NIGHTS
    track: str = ""
    drift: bool = False

    def of(self, night: int, track: str) -> tuple[float, float]:
        if not self.begin <= night < self.end or self.track not in ("", track):
            return 1.0, 0.0
        share = (night - self.begin) / (self.end - self.begin - 1) if self.drift else 1.0
        return self.factor**share, self.more


EFFECTS = (
    Effect("python-slim", "start.warm.total", 40, factor=1.06, end=UPGRADED),
    Effect("python-slim", "start.warm.total", UPGRADED, factor=1.06),  # there is nothing else in the new environment
    Effect("go-full", "size.transfer", 55, more=4e6),
    Effect("python-full", "size.transfer", 70, more=1.2e6, track=FLOATING),
    Effect("python-full", "pull.empty.total", 70, factor=1.06, track=FLOATING),
    Effect("go-slim", "build.cold", 85, factor=1.12, end=96),
    Effect("python-distroless", "memory.ready", UPGRADED, factor=1.10, drift=True),
    Effect("python-distroless", "start.cold.total", 100, factor=0.90),
)


@dataclass
class World:
    """Writes nights into a results folder."""

    results: Path
    seed: int = 11
    nights: int = NIGHTS
    effects: tuple[Effect, ...] = EFFECTS
    runs: dict[tuple[int, str], str] = field(default_factory=dict)  # run ids by night and track

    def write(self, say: Callable[[str], None] = lambda _: None) -> None:
        wander = 0.008 * np.sin(np.arange(self.nights) * 2 * math.pi / 45)
        for night in range(self.nights):
            if night in GAPS:
                continue
            for number, track in enumerate((PINNED, FLOATING)):
                self._night(night, track, FIRST + night * DAY + number * 3600, float(wander[night]))
            say(f"night {night}")

    def _night(self, night: int, track: str, at: float, wander: float) -> None:
        facts = NEWER if night >= UPGRADED else FACTS
        manifest = Manifest(
            environment=Environment(facts=facts),
            seed=night,
            metrics=METRICS,
            cells=CELLS,
            plan={"purpose": NIGHTLY, "track": track},
            versions={"tare": "0.1.0"},
            git=f"{night // 40 + 1:040x}" if night >= 40 else f"{1:040x}",
        )
        random = np.random.default_rng([self.seed, night, track == FLOATING])
        # the store's clock sets the night; waiting for the disk 40 000 times would show nothing more
        with (
            mock.patch("harness.store.writer.time.time", lambda: at),
            mock.patch("harness.store.writer.os.fsync", lambda _: None),
        ):
            writer = RunWriter.create(self.results, manifest)
            self.runs[night, track] = writer.folder.name
            with writer:
                order = 0
                for cell in LEVELS:
                    self._documents(writer, night, track, cell)
                    for try_ in self._tries(cell, night, track, wander, random):
                        order += 1
                        writer.append(
                            Try(cell=cell, order=order, at=at + order, seconds=1.0, status=Status.OK, **try_)
                            if not (night == 31 and cell == "go-full")
                            else Try(
                                cell=cell,
                                order=order,
                                at=at + order,
                                seconds=1.0,
                                status=Status.TIMEOUT,
                                reason="no valid answer within 30 s",
                                **{**try_, "values": {}},
                            )
                        )

    def _tries(
        self, cell: str, night: int, track: str, wander: float, random: np.random.Generator
    ) -> list[dict[str, object]]:
        size, cold, warm, pull, build, memory = LEVELS[cell]
        _, more = self._effect(cell, "size.transfer", night, track)
        values = {"size.transfer": round(size * 1e6) + more, "size.layers": 5.0}
        tries: list[dict[str, object]] = [{"probe": "size", "state": "image", "block": 0, "values": values}]
        levels = dict(zip(STATES, (cold, warm, pull, build, memory * 1e6), strict=True))
        for metric, level in levels.items():
            factor, _ = self._effect(cell, metric, night, track)
            seconds = metric != "memory.ready"
            spike = 1 + random.uniform(0.1, 0.4) if seconds and random.random() < 0.04 else 1.0
            shared = math.exp(wander + random.normal(0, 0.012)) if seconds else math.exp(random.normal(0, 0.008))
            faster = 0.92 if seconds and night >= UPGRADED else 1.0
            probe, state = STATES[metric]
            for block in range(BLOCKS):
                value = level * factor * shared * spike * faster * math.exp(random.normal(0, 0.02))
                tries.append({"probe": probe, "state": state, "block": block, "values": {metric: value}})
        return tries

    def _effect(self, cell: str, metric: str, night: int, track: str) -> tuple[float, float]:
        factor, more = 1.0, 0.0
        for effect in self.effects:
            if (effect.cell, effect.metric) == (cell, metric):
                times, plus = effect.of(night, track)
                factor, more = factor * times, more + plus
        return factor, more

    def _documents(self, writer: RunWriter, night: int, track: str, cell: str) -> None:
        """The documents that a run keeps with a cell, as far as they show changes."""
        app = cell.partition("-")[0]
        moved = track == FLOATING and night >= 70 and cell == "python-full"
        added = night >= 55 and cell == "go-full"
        writer.artefact(cell, "Dockerfile", f"ARG BASE_OS_FULL=debian:trixie\nFROM ${{BASE_OS_FULL}}\nCOPY . /{app}\n")
        source = {"main": "b" * 16 if night >= 40 and cell == "python-slim" else "a" * 16}
        writer.artefact(cell, "source.json", orjson.dumps(source))
        packages = [{"package": {"ecosystem": "deb", "name": "libc6", "version": "2.41-3" if moved else "2.41-2"}}]
        if added:
            packages.append({"package": {"ecosystem": "deb", "name": "tzdata", "version": "2027a"}, "size": 4_000_000})
        writer.artefact(cell, "surface.json", orjson.dumps({"packages": packages}))
        layers: list[Mapping[str, object]] = [{"step": "base", "packed": 48_000_000 + (1_200_000 if moved else 0)}]
        layers += [{"step": "RUN apt-get install tzdata", "packed": 4_000_000}] if added else []
        layers += [{"step": f"COPY . /{app}", "packed": 1_000_000}]
        writer.artefact(cell, "steps.json", orjson.dumps({"layers": layers}))
        if cell == "python-full":  # a run has one set of bases
            digest = "sha256:" + ("f" if moved else "e") * 64
            writer.artefact("run", "bases.json", orjson.dumps({"os-full": {"digest": digest}}))
