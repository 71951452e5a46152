"""The small fixed runs that the reviewed files are made from: known effects, failures, and what stays undecided.

They are changed by the lines of their files and not by the harness, so that they stay what they are wherever its
modules go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.synthetic import APPS, write

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC
Record = dict[str, Any]


def mixed_lot(results: Path) -> Path:
    """Two apps of which one is decided and one is not. One cell cannot be made, one never answers, one fails once.

    Its only session was interrupted.
    """
    folder = write(results, apps={name: APPS[name] for name in ("go", "spring")}, blocks=8, noise=0.05, seed=3)

    def change(record: Record) -> Record | None:
        if record["cell"] == "go-multi-stage":
            return None
        pulled = record["probe"], record["state"], record["block"]
        if record["cell"] == "spring-slim" and record["probe"] == "deploy":
            return None  # a deployment is a pull that goes on until the app answers
        if record["cell"] == "spring-slim" and pulled[:2] == ("pull", "empty"):
            return failed(
                record, "timeout", "no valid answer within 30 s", log="Started in 31.2 s\nListening on 8080\n"
            )
        if record["cell"] == "go-slim" and pulled == ("pull", "empty", 3):
            return failed(record, "error", "the registry was\naway")
        return record

    order = _rewrite(folder / "samples.jsonl", change)
    trap = {"cell": "go-multi-stage", "probe": "prepare", "state": "", "block": 0, "order": order + 1, "at": NOW}
    log = "exec /server: no such file or directory\n"
    reason = "the app exited before it answered (exit code 1)"
    _append(folder / "samples.jsonl", {**trap, "seconds": 9.0, "status": "exited", "reason": reason, "log": log})
    _rewrite(folder / "sessions.jsonl", lambda record: _outcome(record, "interrupted"))
    return folder


def near_ties(results: Path) -> Path:
    """Two apps with little noise: the last two strategies of one hardly differ; of the other, a metric is missing."""
    apps = {"node": APPS["node"], "java": APPS["java"]}
    folder = write(results, apps=apps, blocks=12, noise=0.004, seed=5)
    _rewrite(
        folder / "samples.jsonl",
        lambda record: None if (record["cell"], record["probe"]) == ("java-slim", "memory") else record,
    )
    return folder


def elsewhere(results: Path) -> Path:
    """The apps of `mixed_lot`, measured in another environment: all is some per cent larger and slower."""
    return write(results, apps=_grown(), blocks=6, noise=0.01, seed=9, kernel="9.9")


def later(results: Path) -> Path:
    """As `elsewhere`, and in the environment of `mixed_lot`."""
    return write(results, apps=_grown(), blocks=8, noise=0.01, seed=9)


def _grown() -> Mapping[str, Any]:
    return {
        name: (tuple(round(size * 1.06, 1) for size in sizes), start * 1.08, memory * 1.04, rebuild * 1.3)
        for name, (sizes, start, memory, rebuild) in APPS.items()
        if name in ("go", "spring")
    }


def of_claims(example: Path, results: Path) -> list[Path]:
    """Stand-ins for the two runs that docs/example/claims.md draws on and that are not stored.

    They are of the stored run's environment, and hold the numbers of claims.md.
    """
    manifest = json.loads((example / "manifest.json").read_text(encoding="utf-8"))
    scratch = next(cell for cell in manifest["cells"] if cell["id"] == "go-scratch")
    trap = _folder(results, manifest, "20261125-200746-09f0", [scratch, {**scratch, "id": "go-scratch-cgo"}])
    _append(trap, _ok("go-scratch", "size", {"size.transfer": 2.76e6, "size.unpacked": 6.59e6}))
    reason, log = "the app exited before it answered (exit code 1)", "exec /server: no such file or directory\n"
    _append(trap, failed(_ok("go-scratch-cgo", "prepare", {}), "exited", reason, log=log))
    cells = [
        {**scratch, "id": f"stages-{shape}-{count}", "app": f"stages-{shape}", "strategy": str(count), "rank": count}
        for shape in ("serial", "parallel")
        for count in (1, 2, 4, 8, 16, 32, 64)
    ]
    metrics = [
        {**next(item for item in manifest["metrics"] if item["name"] == "size.transfer"), "name": name}
        for name in ("stages.transfer", "stages.unpacked")
    ]
    stages = _folder(results, {**manifest, "metrics": metrics}, "20261125-200832-35da", cells)
    for cell in cells:
        most = 635.0 if "serial" in cell["id"] else 636.0
        transfer = {1: 633.0, 64: most}.get(cell["rank"], 634.0)
        _append(stages, _ok(cell["id"], "stages", {"stages.transfer": transfer, "stages.unpacked": 68.0}))
    return [trap.parent, stages.parent]


def failed(record: Record, status: str, reason: str, *, log: str = "") -> Record:
    """The record of a try as it is stored if the try ends so."""
    kept = {name: value for name, value in record.items() if name not in ("values", "phases")}
    return {**kept, "status": status, "reason": reason, **({"log": log} if log else {})}


def tear(folder: Path) -> None:
    """What a power cut leaves: a line that is not finished."""
    with (folder / "samples.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"cell": "go')


def _outcome(record: Record, outcome: str) -> Record:
    return {**record, "outcome": outcome} if record["event"] == "end" else record


def _folder(results: Path, manifest: Record, name: str, cells: list[Record]) -> Path:
    """The samples file of a run folder that holds nothing else yet than its manifest."""
    (results / name).mkdir(parents=True)
    told = {**manifest, "run": name, "cells": cells, "started": manifest["started"] + 3600}
    (results / name / "manifest.json").write_text(json.dumps(told), encoding="utf-8")
    return results / name / "samples.jsonl"


def _ok(cell: str, probe: str, values: Mapping[str, float]) -> Record:
    told = {"cell": cell, "probe": probe, "state": "", "block": 0, "order": 0, "at": NOW, "seconds": 1.0}
    return {**told, "status": "ok", "values": values}


def _append(path: Path, record: Record) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _rewrite(path: Path, change: Callable[[Record], Record | None]) -> int:
    """Change every record of a file, or leave it out if that is None; return the number of the last line."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kept = [changed for record in records if (changed := change(record)) is not None]
    path.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
    return len(records) - 1
