"""A run of seven apps × five strategies as the store writes it, with known effects: what the reports are tried on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.model import Direction, Environment, Metric, Phase, Status, Try, Unit
from harness.probes import all_probes
from harness.scenarios.layer_sizes import FILE, CellLayers, ImageLayers, LayerSize
from harness.store.format import encode, from_try
from harness.store.run import CellInfo, Manifest, Run, read_run
from harness.store.writer import RunWriter
from support.metrics import placed

MB = 1e6
Noise = Callable[[float], float]
STRATEGIES = {"full": 10, "slim": 20, "multi-stage": 30, "distroless": 40, "scratch": 50}
TITLES = {
    "go": "Go, standard library",
    "python": "Python, FastAPI",
    "java": "Java, the JDK's own HTTP server",
    "spring": "Spring Boot",
    "node": "Node.js, Express",
    "rust": "Rust, axum",
    "shop": "React, Java and MariaDB",
}
# transfer in MB by strategy, warm start in s, peak memory in MB, seconds of a rebuild
Numbers = tuple[tuple[float, ...], float, float, float]
APPS: Mapping[str, Numbers] = {
    "go": ((290, 240, 35, 6.1, 4.2), 0.12, 9, 6.0),
    "python": ((410, 62, 58, 34, 31), 0.75, 46, 4.0),
    "java": ((330, 190, 96, 84, 34), 0.48, 88, 7.5),
    "spring": ((370, 230, 124, 112, 71), 2.4, 190, 14.0),
    "node": ((420, 98, 72, 56, 55), 0.36, 61, 5.5),
    "rust": ((460, 310, 33, 13, 2.6), 0.11, 6, 21.0),
    "shop": ((690, 310, 150, 131, 88), 2.9, 240, 24.0),
}
SURFACE = (
    Metric(
        name="surface.components",
        unit=Unit.COUNT,
        deterministic=True,
        headline=True,
        help="components, traced ones too",
    ),
    Metric(name="surface.hidden", unit=Unit.COUNT, deterministic=True, help="components that no scanner sees"),
    Metric(name="surface.unexplained", unit=Unit.BYTES, deterministic=True, help="bytes that were traced to nothing"),
    Metric(name="surface.packages", unit=Unit.COUNT, deterministic=True, help="distribution packages"),
    Metric(name="care.lines", unit=Unit.COUNT, deterministic=True, help="lines of the Dockerfile"),
    Metric(name="care.missing", unit=Unit.COUNT, deterministic=True, help="what the image lacks"),
    *(
        Metric(name=f"care.{name}", unit=Unit.BOOLEAN, direction=Direction.LARGER, deterministic=True, help="1: has it")
        for name in ("zones", "certificates", "users", "locale", "shell")
    ),
    Metric(name="surface.shells", unit=Unit.COUNT, deterministic=True, help="shells"),
    Metric(name="surface.root", unit=Unit.BOOLEAN, deterministic=True, help="1: the app runs as root"),
    Metric(
        name="intruder.sh", unit=Unit.BOOLEAN, direction=Direction.NEITHER, deterministic=True, help="1: sh ran inside"
    ),
)
# a scratch JVM has no archive of classes, distroless Python no compiled ones: they start slower
SLOW = {"java-scratch": 1.6, "spring-scratch": 1.9, "python-distroless": 1.5, "shop-scratch": 1.7}
PACKAGES = (440, 105, 92, 12, 0)
LINES = (9, 14, 17, 18, 38)
LACKING = {"zones": 5, "certificates": 5, "users": 5, "locale": 3, "shell": 3}  # from which strategy on
COMPONENTS = (455, 120, 107, 27, 36)


def manifest(apps: Mapping[str, object] = APPS, **facts: str) -> Manifest:
    probes = [probe for probe in all_probes() if probe.name not in ("surface", "care", "intruder", "harden", "stages")]
    environment = {"processor": "synthetic", "processors": "2", "engine": "docker 20.10.24", "link": "100 Mbit/s"}
    return Manifest(
        environment=Environment(facts={**environment, **facts}),
        seed=7,
        metrics=(*(metric for probe in probes for metric in probe.metrics), *placed(*SURFACE)),
        cells=tuple(
            CellInfo(
                id=f"{app}-{name}",
                app=app,
                app_title=TITLES.get(app, app),
                strategy=name,
                strategy_title=name.capitalize(),
                rank=rank,
                summary=f"What {name} is.",
                trades=f"What {name} costs.",
            )
            for app in apps
            for name, rank in STRATEGIES.items()
        ),
        plan={"probes": [{"name": "link", "blocks": 1}]},
        versions={"tare": "0.1.0"},
        git="0123456789abcdef",
    )


def write(
    results: Path,
    *,
    blocks: int = 12,
    apps: Mapping[str, Numbers] = APPS,
    noise: float = 0.02,
    seed: int = 1,
    without: tuple[str, ...] = (),
    **facts: str,
) -> Path:
    """A run folder; `without` names metrics (or the beginnings of their names) that it does not have."""
    told = manifest(apps, **facts)
    told = replace(told, metrics=tuple(metric for metric in told.metrics if not metric.name.startswith(without or "?")))
    known = {metric.name for metric in told.metrics}
    with RunWriter.create(results, told) as writer, (writer.folder / "samples.jsonl").open("ab") as file:
        for order, try_ in enumerate(_tries(told, blocks, apps, noise, seed)):
            values = {name: value for name, value in try_.values.items() if name in known}
            if values or try_.status is not Status.OK:
                at = 1.8e9 + 2.5 * order
                file.write(encode(from_try(replace(try_, order=order, at=at, values=values))) + b"\n")
        for cell in told.cells:
            size = apps[cell.app][0][list(STRATEGIES).index(cell.strategy)] * MB
            writer.artefact(cell.id, FILE, _parts(cell, size).to_json())
        return writer.folder


def run(results: Path, **options: object) -> Run:
    return read_run(write(results, **options))  # type: ignore[arg-type]


def _image(cell: CellInfo, size: float, *, changed: bool) -> ImageLayers:
    """Base, packages and app; the app's layer is another after a source change."""
    layers = []
    for index, share in enumerate((0.35, 0.2, 0.39, 0.06)):
        base = index < 2 and cell.strategy != "scratch"
        salt = "base" if base else f"{cell.id}{changed and index == 3}"
        digest = hashlib.sha256(f"{salt}{index}{size if not base else cell.strategy}".encode()).hexdigest()
        packed = int(size * share)
        layers.append(LayerSize(digest=f"sha256:{digest}", packed=packed, base=base, content=int(packed * 2.4)))
    return ImageLayers(config=2000, layers=tuple(layers))


def _parts(cell: CellInfo, size: float) -> CellLayers:
    return CellLayers(current=_image(cell, size, changed=False), changed=_image(cell, size, changed=True))


def _tries(
    told: Manifest, blocks: int, apps: Mapping[str, Numbers], noise: float, seed: int
) -> Iterator[Try]:  # fmt: skip
    random = np.random.default_rng(seed)

    def noisy(value: float) -> float:
        spike = 1.6 if random.random() < 0.02 else 1.0
        return float(value * spike * math.exp(random.normal(0, noise)))

    for block in range(blocks):
        for state in ("cold", "warm"):
            total = noisy(0.11 if state == "cold" else 0.08)
            yield _try("", "floor", state, block, {f"floor.{state}.total": total}, ())
        for position in random.permutation(len(told.cells)):
            cell = told.cells[position]
            sizes, start, memory, rebuild = apps[cell.app]
            start *= SLOW.get(cell.id, 1.0)
            index = list(STRATEGIES).index(cell.strategy)
            size = sizes[index] * MB
            if not block:
                yield _try(cell.id, "size", "", 0, _sizes(size, sizes, index), ())
                yield _try(cell.id, "surface", "", 0, _surface(index), ())
                speed = 12.5e6
                total = noisy(size / speed + 0.6)
                values = {"link.total": total, "link.predicted": total * 1.02, "link.error": 0.02}
                yield _try(cell.id, "link", "100mbit", 0, values, ())
            for state, extra in (("cold", 0.25 + size / 2e9), ("warm", 0.0)):
                create, begin = noisy(0.04), noisy(0.12)
                answer = noisy(start + extra)
                yield _start(cell.id, "start", state, block, f"start.{state}", create, begin, answer)
            yield _try(cell.id, "memory", "ready", block, {"memory.ready": noisy(memory * MB)}, ())
            parts = _parts(cell, size)
            yield _pull(cell.id, "empty", block, parts.current.layers, noisy)
            yield _pull(cell.id, "previous", block, parts.changed.layers[3:], noisy)
            yield _pull(cell.id, "base", block, [layer for layer in parts.current.layers if not layer.base], noisy)
            pull, create, begin, answer = noisy(size / 55e6 + 0.3), noisy(0.05), noisy(0.13), noisy(start * 1.1)
            values = {"deploy.total": pull + create + begin + answer, "deploy.pull": pull, "deploy.create": create}
            values |= {"deploy.start": begin, "deploy.answer": answer}
            yield _try(
                cell.id, "deploy", "empty", block, values, _chain(pull=pull, create=create, start=begin, answer=answer)
            )
            if block % 2 == 0:
                for state, part in (("cold", 5.0), ("nothing", 0.06), ("source", 1.0), ("dependency", 1.8)):
                    yield _build(cell.id, state, block, noisy(rebuild * part * (1.2 if index < 2 else 1.0)))


def _sizes(size: float, sizes: tuple[float, ...], index: int) -> dict[str, float]:
    return {
        "size.transfer": float(int(size)),
        "size.unpacked": float(int(size * 2.4)),
        "size.unique": float(int(size * 0.45)),
        "size.layers": float(9 - index),
        "size.files": float(int(size / 3e4)),
        "size.waste": float(int(size * 0.01 * (4 - index))),
    }


def _surface(index: int) -> dict[str, float]:
    shell = float(index < 3)
    return {
        "surface.components": float(COMPONENTS[index]),
        "surface.hidden": 21.0 * (index == 4),
        "surface.unexplained": 83.0 * (index == 4),
        "surface.packages": float(PACKAGES[index]),
        "care.lines": float(LINES[index]),
        "care.missing": float(sum(index >= at for at in LACKING.values())),
        **{f"care.{name}": float(index < at) for name, at in LACKING.items()},
        "surface.shells": 2 * shell,
        "surface.root": float(index == 0),
        "intruder.sh": shell,
    }


def _start(
    cell: str, probe: str, state: str, block: int, prefix: str, create: float, begin: float, answer: float
) -> Try:
    values = {"create": create, "start": begin, "ready": begin + answer, "total": create + begin + answer}
    values = {f"{prefix}.{name}": value for name, value in values.items()}
    return _try(cell, probe, state, block, values, _chain(create=create, start=begin, answer=answer))


def _pull(cell: str, state: str, block: int, layers: Sequence[LayerSize], noisy: Noise) -> Try:
    """Three layers at a time share 110 MB/s; unpacking is in order, at 75 MB/s packed."""
    phases, arrived, complete = [], 0.1, 0.1
    for layer in layers:
        arrived += noisy(layer.packed / 110e6 + 0.002)
        start = max(arrived, complete)
        name = layer.digest.removeprefix("sha256:")[:12]
        phases.append(Phase(f"download {name}", 0.1, arrived - 0.1))
        phases.append(Phase(f"unpack {name}", start, noisy(layer.packed / 75e6 + 0.004)))
        complete = start + phases[-1].seconds
    unpack = sum(phase.seconds for phase in phases if phase.name.startswith("unpack"))
    fetched = float(sum(layer.packed for layer in layers))
    values = {"total": complete + 0.05, "download": arrived, "unpack": unpack, "fetched": fetched}
    return _try(cell, "pull", state, block, {f"pull.{state}.{name}": value for name, value in values.items()}, phases)


def _build(cell: str, state: str, block: int, seconds: float) -> Try:
    steps = {
        "FROM base": 0.02,
        "COPY go.mod ./": 0.03,
        "RUN fetch": 0.3,
        "COPY . .": 0.05,
        "RUN compile": 0.5,
        "export": 0.1,
    }
    phases, at = [], 0.0
    for name, share in steps.items():
        cached = state == "nothing" or (state == "source" and name in ("FROM base", "COPY go.mod ./", "RUN fetch"))
        length = 0.0 if cached else seconds * share
        phases.append(Phase(name + (" (cached)" if cached else ""), at, length))
        at += length
    values = {f"build.{state}": seconds}
    if state == "cold":
        values["build.reproducible"] = 1.0
    return _try(cell, "build", state, block // 2, values, phases)


def _chain(**seconds: float) -> list[Phase]:
    phases, at = [], 0.0
    for name, length in seconds.items():
        phases.append(Phase(name, at, length))
        at += length
    return phases


def _try(cell: str, probe: str, state: str, block: int, values: Mapping[str, float], phases: object) -> Try:
    return Try(
        cell=cell,
        probe=probe,
        state=state,
        block=block,
        order=0,
        at=0.0,
        seconds=1.0,
        status=Status.OK,
        values=values,
        phases=tuple(phases),  # type: ignore[call-overload]
    )
