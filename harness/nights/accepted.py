"""Accepted changes: `results/accepted.jsonl`, one line each, appended and never rewritten.

    {"cell": "go-slim", "metric": "size.*", "since": "20261125-003217-88f2", "at": 1795570000.0, "reason": "…"}

From the run `since` on a new baseline holds for the series the patterns match.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import orjson

from harness.errors import StoreError, UsageError
from harness.nights.records import Key
from harness.store.format import Lines

FILE = "accepted.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """An intended change of a series: from night `since` on a new baseline holds. `at` is Unix time, s."""

    cell: str
    metric: str
    since: str  # run id
    at: float
    reason: str

    def names(self, cell: str, metric: str) -> bool:
        return fnmatchcase(cell, self.cell) and fnmatchcase(metric, self.metric)

    def holds_for(self, key: Key) -> bool:
        return self.names(key.cell, key.metric)


def read_accepted(results: Path) -> tuple[Acceptance, ...]:
    """Oldest first. Raises StoreError with file and line if a line is not such a record."""
    path = results / FILE
    if not path.exists():
        return ()
    lines = Lines(path)
    found = []
    for record in lines:
        try:
            found.append(Acceptance(**{name: record[name] for name in ("cell", "metric", "since", "at", "reason")}))
        except (KeyError, TypeError):
            lines.corrupt()
    return tuple(found)


def accept(results: Path, acceptance: Acceptance) -> None:
    """Put it on disk. Raises UsageError if there is no reason, StoreError if it cannot be written."""
    if not acceptance.reason.strip():
        raise UsageError("an accepted change needs a reason", where="--reason", fix="Give the reason with --reason.")
    record = {
        "cell": acceptance.cell,
        "metric": acceptance.metric,
        "since": acceptance.since,
        "at": acceptance.at,
        "reason": acceptance.reason.strip(),
    }
    path = results / FILE
    try:
        with path.open("ab") as file:
            file.write(orjson.dumps(record) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError.unwritable(path, error) from error
