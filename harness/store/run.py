"""Run folders: `results/<run-id>/`, written once, a line at a time, never rewritten.

    manifest.json    what was planned and where: written whole, before the first sample
    sessions.jsonl   one line per event of a session (a resumed run has several): start, images, end
    samples.jsonl    one line per try, on disk before the next try starts
    artefacts/       per cell: Dockerfile used, build trace, image manifest

A folder is a run: copying is merging. A line that a kill or a power cut left unfinished can only be the last one;
reading skips it with a warning, resuming moves it aside to `<file>.torn-<n>`.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from harness.errors import StoreError
from harness.model import Try
from harness.store import format as records
from harness.store.format import (
    CellInfo,
    Lines,
    Manifest,
    Session,
    read_manifest,
    read_sessions,
    to_try,
)

__all__ = [
    "CellInfo",
    "Manifest",
    "Run",
    "Series",
    "Session",
    "latest",
    "list_runs",
    "read_run",
    "refreshed",
]


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one metric of one cell in the order in which they were taken: columns of one length."""

    value: NDArray[np.float64]
    block: NDArray[np.int32]
    order: NDArray[np.int32]
    at: NDArray[np.float64]  # Unix time, s


UNMEASURED = "not measured"  # in a run's plan: reasons by metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as read from its folder. Samples of ok tries are columns, failed tries are records."""

    folder: Path
    manifest: Manifest
    sessions: tuple[Session, ...]
    failures: tuple[Try, ...]
    warnings: tuple[str, ...]
    _series: Mapping[tuple[str, str], Series]
    _size: int  # bytes of samples.jsonl that were read; others may have been appended since
    _twice: int = 0  # lines that repeat another line: they are left out

    @property
    def id(self) -> str:
        return self.manifest.run

    def series(self) -> Mapping[tuple[str, str], Series]:
        """Columns by (cell id, metric name)."""
        return self._series

    def described(self) -> Run:
        """The run without samples of metrics that its manifest does not describe, because their unit is unknown."""
        known = {metric.name for metric in self.manifest.metrics}
        if self.measured() <= known:
            return self
        return replace(self, _series={key: series for key, series in self._series.items() if key[1] in known})

    def measured(self) -> frozenset[str]:
        """Names of the metrics that any cell has samples of."""
        return frozenset(name for _, name in self._series)

    def unmeasured(self) -> Mapping[str, str]:
        """The metrics that the run's engine cannot give, each with the reason."""
        said = self.manifest.plan.get(UNMEASURED)
        return {str(name): str(reason) for name, reason in said.items()} if isinstance(said, Mapping) else {}

    def tries(self, *, having: Collection[str] = ()) -> Iterator[Try]:
        """Every try as it was appended, including failed tries. Reads the file again, one record at a time.

        `having` leaves out tries without a value for any of these metrics.
        """
        if having and not (having := self.measured() & set(having)):
            return
        upgrades = records.changes_of_samples(self.manifest.schema)
        names = () if upgrades else [f'"{name}"' for name in having]  # an upgrade may rename a metric
        lines = Lines(self.folder / "samples.jsonl", size=self._size, having=names)
        seen: set[tuple[object, ...]] = set()
        for record in lines:
            try:
                if self._twice:
                    key = tuple(record.get(name) for name in ("cell", "probe", "state", "order", "at"))
                    if key in seen:
                        continue
                    seen.add(key)
                record = records.upgraded(record, upgrades)
                if having and not any(name in record.get("values", ()) for name in having):
                    continue
                try_ = to_try(record)
            except (KeyError, TypeError, ValueError, AttributeError):
                lines.corrupt()
            yield try_

    def tries_at(self, orders: Collection[int]) -> dict[int, Try]:
        """Some tries by their order, found by bisection: of a million lines a few are read. Unknown ones are absent."""
        wanted = sorted(orders)
        found: dict[int, Try] = {}
        upgrades = records.changes_of_samples(self.manifest.schema)
        path = self.folder / "samples.jsonl"
        try:
            with path.open("rb") as file:
                start = 0
                for order in wanted:
                    start, record = _bisect(file, order, start, self._size)
                    if record is not None:
                        found[order] = to_try(records.upgraded(record, upgrades))
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"a line is not a record: {error}", where=str(path), fix=records.RESTORE) from error
        if missing := set(wanted) - found.keys():  # cells are prepared side by side: a few lines may be out of order
            found |= {try_.order: try_ for try_ in self.tries() if try_.order in missing}
        return found


def read_run(folder: Path) -> Run:
    """Read a run folder, even while it is being written. Raises StoreError with file and line.

    No object is made per sample: a million of them take seconds and tens of megabytes.
    """
    manifest = read_manifest(folder)
    upgrades = records.changes_of_samples(manifest.schema)
    sessions, session_lines = read_sessions(folder)
    lines = Lines(folder / "samples.jsonl")
    tables: dict[tuple[str, ...], _Table] = {}
    failures: list[Try] = []
    for record in lines:
        try:
            if upgrades:
                record = records.upgraded(record, upgrades)
            if record["status"] != "ok":
                failures.append(to_try(record))
                continue
            values = record.get("values", {})
            shape = (record["cell"], *values)
            table = tables.get(shape)
            if table is None:
                if not isinstance(record["cell"], str):
                    raise TypeError("cell is not a text")
                table = tables[shape] = _Table(len(values))
            table.rows += table.pack(record["block"], record["order"], record["at"], *values.values())
        except (KeyError, TypeError, ValueError, AttributeError, struct.error):
            lines.corrupt()
    once = {(try_.cell, try_.probe, try_.state, try_.order, try_.at): try_ for try_ in reversed(failures)}
    twice = len(failures) - len(once) + sum(table.once() for table in tables.values())
    failures = [try_ for try_ in failures if once.pop((try_.cell, try_.probe, try_.state, try_.order, try_.at), None)]
    again = (f"{lines.path}: {twice} lines are in the file twice; each is counted once",) if twice else ()
    return Run(
        folder=folder,
        manifest=manifest,
        sessions=sessions,
        failures=tuple(failures),
        warnings=(*(warning for source in (session_lines, lines) if (warning := source.warning())), *again),
        _series=_gather(tables),
        _size=lines.good,
        _twice=twice,
    )


def refreshed(run: Run) -> Run:
    """The run as it is on disk now. Its samples are read again only if the file has changed, or if it had a fault.

    The columns are the same objects if nothing was appended. Raises StoreError.
    """
    path = run.folder / "samples.jsonl"
    if run.warnings or not path.exists() or path.stat().st_size != run._size:
        return read_run(run.folder)
    sessions, lines = read_sessions(run.folder)
    warning = lines.warning()
    return replace(run, sessions=sessions, warnings=(warning,) if warning else ())


def _bisect(file: BinaryIO, order: int, low: int, high: int) -> tuple[int, records.Record | None]:
    """Where the record of this order begins in the file, whose lines are sorted by order, and the record if there is
    one.
    """
    end = high
    while low < high:
        middle = (low + high) // 2
        file.seek(max(middle - 1, 0))
        if middle:
            file.readline()  # the end of the line before
        begin = file.tell()
        line = file.readline() if begin < high else b""
        if line and orjson.loads(line)["order"] < order:
            low = begin + len(line)
        else:
            high = middle
    if low >= end:  # what was appended since the run was read may be unfinished
        return low, None
    file.seek(low)
    record: records.Record = orjson.loads(file.readline())
    return low, record if record["order"] == order else None


def list_runs(results: Path) -> list[Path]:
    """Folders of `results` that hold a run, oldest first (their names begin with the time)."""
    return sorted(path.parent for path in results.glob("[!.]*/manifest.json") if path.is_file())


def latest(results: Path) -> Path:
    """Folder of the newest run. Raises StoreError if there is none."""
    runs = list_runs(results)
    if not runs:
        raise StoreError("no run is stored here", where=str(results), fix="Run `tox -e bench` first.")
    return runs[-1]


class _Table:
    """Tries of one cell that gave values for the same metrics, packed a row each."""

    __slots__ = ("pack", "rows", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.pack = struct.Struct(f"=2id{width}d").pack
        self.rows = bytearray()

    def once(self) -> int:
        """Remove rows that repeat an earlier row in every column, and return their number."""
        rows = np.frombuffer(bytes(self.rows), self._kind)
        if np.unique(rows["order"]).size == rows.size:
            return 0
        size = self._kind.itemsize
        first = np.sort(np.unique(np.frombuffer(self.rows, f"V{size}"), return_index=True)[1])
        self.rows = bytearray(rows[first].tobytes())
        return int(rows.size - first.size)

    @property
    def _kind(self) -> np.dtype[np.void]:
        return np.dtype([("block", "i4"), ("order", "i4"), ("at", "f8"), ("values", "f8", (self.width,))])

    def columns(self) -> tuple[Series, ...]:
        rows = np.frombuffer(self.rows, self._kind)
        block, order, at = (np.ascontiguousarray(rows[name]) for name in ("block", "order", "at"))
        return tuple(
            Series(np.ascontiguousarray(rows["values"][:, index]), block, order, at) for index in range(self.width)
        )


def _gather(tables: Mapping[tuple[str, ...], _Table]) -> dict[tuple[str, str], Series]:
    parts: dict[tuple[str, str], list[Series]] = {}
    for (cell, *names), table in tables.items():
        for name, column in zip(names, table.columns(), strict=True):
            parts.setdefault((cell, name), []).append(column)
    return {key: _joined(pieces) for key, pieces in parts.items()}


def _joined(pieces: Sequence[Series]) -> Series:
    if len(pieces) == 1:
        return pieces[0]
    order = np.concatenate([piece.order for piece in pieces])
    rows = np.argsort(order, kind="stable")
    return Series(
        value=np.concatenate([piece.value for piece in pieces])[rows],
        block=np.concatenate([piece.block for piece in pieces])[rows],
        order=order[rows],
        at=np.concatenate([piece.at for piece in pieces])[rows],
    )
