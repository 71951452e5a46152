"""The history: one value a night for every series, over the run folders of `results/`.

A series is a cell's metric in one environment and one track of bases (pinned or floating). Values of another
environment or track are another series, and series are never joined. Only those facts of the environment count that the
metric depends on: bytes and counts keep their series when the kernel or the processor changes
(`harness.model.Environment.fingerprint_of`). The run folders are the record; `results/.index/history.sqlite` only makes
them quick to read, is brought up to date by `History.open`, and can be deleted at any time.

The size and time of a folder's samples show whether it has changed. harness/nights/index.py has the tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import orjson

from harness.errors import StoreError
from harness.model import Direction, Metric, Unit
from harness.nights.index import connect, delete, prepared
from harness.nights.records import (
    CONFIRM,
    NIGHTLY,
    Confirmation,
    Failure,
    Key,
    Night,
    NightSeries,
    purpose_of,
    track_of,
)
from harness.nights.taken import confirmations_of, failures_of, nights_of
from harness.stats.intervals import Ratio, Verdict
from harness.store.run import Run, list_runs, read_run

_RUN_COLUMNS = "name, started, fingerprint, exact, track, git, stamp, purpose, schedule, cells, metrics, run"


class History:
    """Use `open`, as a context manager."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.warnings: tuple[str, ...] = ()  # folders that could not be read

    @classmethod
    def open(cls, results: Path) -> Self:
        """The history of `results`, brought up to date with its run folders. Raises StoreError."""
        path = results / ".index" / "history.sqlite"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            history = cls(connect(path))
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot be written: {error}", where=str(path), fix="Delete it, or free space.") from error
        try:
            history.refresh(results)
            history._check()
        except (sqlite3.DatabaseError, ValueError, TypeError):
            # a page is damaged: the run folders are the record, so the index is made again
            history.close()
            delete(path)
            history = cls(connect(path))
            history.refresh(results)
        except BaseException:
            history.close()
            raise
        return history

    @classmethod
    def in_memory(cls) -> Self:
        """An empty history in memory, without a file."""
        return cls(prepared(sqlite3.connect(":memory:")))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ── filling ────────────────────────────────────────────────────────────────────────────────────────────────

    def refresh(self, results: Path) -> None:
        """Read new and changed run folders, and remove folders that are gone."""
        folders = {folder.name: folder for folder in list_runs(results)}
        known = dict(self._database.execute("SELECT name, stamp FROM runs"))
        stamps, warnings = {}, []
        for name, folder in folders.items():
            try:
                stamps[name] = stamp_of(folder)
            except OSError as error:
                warnings.append(f"{folder / 'samples.jsonl'}: cannot be read: {error.strerror}")
        with self._database:
            for name in known.keys() - stamps.keys():
                self._forget(name)
            ids = {run: name for name, run in self._database.execute("SELECT name, run FROM runs") if run}
            for name in sorted(name for name, stamp in stamps.items() if known.get(name) != stamp):
                try:
                    run = read_run(folders[name])
                except StoreError as error:  # one broken folder must not hide three years of nights
                    warnings.append(str(error))
                    continue
                # if it were counted twice, its nights would look twice as sure
                if run.id and ids.setdefault(run.id, name) != name:
                    warnings.append(f"{folders[name]}: is a copy of the run {ids[run.id]} and is not counted again")
                    continue
                self._forget(name)
                self._take(run, stamps[name])
        self.warnings = tuple(warnings)

    def _check(self) -> None:
        """Raises DatabaseError, ValueError or TypeError if what stands in the index cannot be read."""
        (said,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)
        self.nights()
        self.environments()
        self.keys()
        self.metrics()
        self.failures()
        self.confirmations()

    def add(self, run: Run, stamp: str = "") -> None:
        """Read one run."""
        with self._database:
            self._forget(run.id)
            self._take(run, stamp)

    def _forget(self, name: str) -> None:
        row = self._database.execute("SELECT id FROM runs WHERE name = ?", (name,)).fetchone()
        if row:
            for table in ("nights", "failures", "confirmations"):
                self._database.execute(f"DELETE FROM {table} WHERE run = ?", row)
            self._database.execute("DELETE FROM runs WHERE id = ?", row)

    def _take(self, run: Run, stamp: str) -> None:
        run = run.described()
        manifest, execute = run.manifest, self._database.execute
        environment, track, purpose = manifest.environment, track_of(manifest), purpose_of(manifest)
        # the folder's name is the key
        row = (
            *(run.folder.name, manifest.started, environment.fingerprint, environment.exact_fingerprint, track),
            *(manifest.git, stamp, purpose, str(manifest.plan.get("schedule", ""))),
            orjson.dumps([cell.id for cell in manifest.cells]).decode(),
            orjson.dumps([metric.name for metric in manifest.metrics]).decode(),
            manifest.run,
        )
        number = execute(f"INSERT INTO runs ({_RUN_COLUMNS}) VALUES ({', '.join('?' * len(row))})", row).lastrowid
        for print_, known in (
            (environment.fingerprint, environment.facts),
            (environment.exact_fingerprint, environment.exact_facts),
        ):
            execute("INSERT OR REPLACE INTO environments VALUES (?, ?)", (print_, orjson.dumps(dict(known)).decode()))
        self._database.executemany(
            "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?, ?, ?)",
            [(m.name, m.unit, m.direction, m.deterministic, m.headline, m.help) for m in manifest.metrics],
        )
        if purpose == CONFIRM:
            rows = [(number, *_row(item)) for item in confirmations_of(run)]
            self._database.executemany(f"INSERT INTO confirmations VALUES ({', '.join('?' * 12)})", rows)
        elif purpose in ("", NIGHTLY):
            metrics = {metric.name: metric for metric in manifest.metrics}
            prints = {name: environment.fingerprint_of(metrics[name]) for name in run.measured()}
            self._database.executemany(
                "INSERT OR IGNORE INTO series (cell, metric, fingerprint, track) VALUES (?, ?, ?, ?)",
                [(cell, metric, prints[metric], track) for cell, metric in run.series()],
            )
            ids = {
                (cell, metric): id_
                for id_, cell, metric, print_ in execute(
                    "SELECT id, cell, metric, fingerprint FROM series WHERE fingerprint IN (?, ?) AND track = ?",
                    (environment.fingerprint, environment.exact_fingerprint, track),
                )
                if prints.get(metric) == print_
            }
            self._database.executemany(
                "INSERT INTO nights VALUES (?, ?, ?, ?, ?, ?, ?)",
                sorted((ids[key], number, *rest) for key, rest in nights_of(run.series())),
            )
            self._database.executemany(
                "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?)", [(number, *row) for row in failures_of(run)]
            )

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────

    def nights(self) -> tuple[Night, ...]:
        """The runs of the history, oldest first."""
        rows = self._database.execute(
            "SELECT name, started, fingerprint, track, git, exact, purpose, schedule, cells, metrics FROM runs"
            f" WHERE purpose IN ('', '{NIGHTLY}') ORDER BY started, name"
        )
        named: dict[str, frozenset[str]] = {}  # most nights have the same plan

        def names(text: str) -> frozenset[str]:
            return named.setdefault(text, frozenset(orjson.loads(text)))

        return tuple(
            Night(
                run=run,
                started=at,
                fingerprint=print_,
                track=track,
                git=git,
                exact_print=exact,
                purpose=purpose,
                schedule=schedule,
                cells=names(cells),
                metrics=names(metrics),
            )
            for run, at, print_, track, git, exact, purpose, schedule, cells, metrics in rows
        )

    def environments(self) -> dict[str, Mapping[str, str]]:
        """Facts by fingerprint."""
        rows = self._database.execute("SELECT fingerprint, facts FROM environments")
        return {fingerprint: orjson.loads(facts) for fingerprint, facts in rows}

    def keys(self) -> tuple[Key, ...]:
        """Every series, sorted."""
        rows = self._database.execute("SELECT cell, metric, fingerprint, track FROM series")
        return tuple(sorted(Key(*row) for row in rows))

    def line(self, key: Key, *, samples: bool = True) -> NightSeries:
        """One series. Raises KeyError if there is no such series."""
        for line in self.lines([key], samples=samples):
            return line
        raise KeyError(key)

    def lines(self, keys: Iterable[Key] | None = None, *, samples: bool = False) -> Iterator[NightSeries]:
        """The series of these keys (all series if no keys are given), one at a time; empty series are left out."""
        metrics = self.metrics()
        started = dict(self._database.execute("SELECT id, started FROM runs"))
        names = dict(self._database.execute("SELECT id, name FROM runs"))
        columns = "run, n, median, low, high" + (", samples" if samples else "")
        wanted = None if keys is None else set(keys)
        found = self._database.execute("SELECT id, cell, metric, fingerprint, track FROM series").fetchall()
        with closing(self._database.cursor()) as cursor:
            for id_, *names_of_key in found:
                key = Key(*names_of_key)
                if wanted is not None and key not in wanted:
                    continue
                rows = cursor.execute(f"SELECT {columns} FROM nights WHERE series = ?", (id_,)).fetchall()
                if not rows:
                    continue
                rows.sort(key=lambda row: (started[row[0]], names[row[0]]))
                runs, n, median, low, high, *rest = zip(*rows, strict=True)
                yield NightSeries(
                    key=key,
                    metric=metrics[key.metric],
                    runs=tuple(names[run] for run in runs),
                    at=np.array([started[run] for run in runs]),
                    n=np.array(n),
                    median=np.array(median),
                    low=np.array(low, dtype=np.float64),  # None becomes NaN
                    high=np.array(high, dtype=np.float64),
                    samples=tuple(np.frombuffer(blob, "<f8") for blob in rest[0]) if rest else (),
                )

    def metrics(self) -> dict[str, Metric]:
        """Metrics by name, as the last run that was read described them."""
        rows = self._database.execute("SELECT name, unit, direction, deterministic, headline, help FROM metrics")
        return {
            name: Metric(
                name=name,
                unit=Unit(unit),
                direction=Direction(direction),
                deterministic=bool(deterministic),
                headline=bool(headline),
                help=text,
            )
            for name, unit, direction, deterministic, headline, text in rows
        }

    def failures(self) -> tuple[Failure, ...]:
        """Failures, oldest night first."""
        rows = self._database.execute(
            "SELECT runs.name, cell, probe, status, reason, count FROM failures JOIN runs ON runs.id = failures.run"
            " ORDER BY started, runs.name, cell, probe"
        )
        return tuple(
            Failure(run=run, cell=cell, probe=probe, status=status, reason=reason, count=count)
            for run, cell, probe, status, reason, count in rows
        )

    def confirmations(self) -> tuple[Confirmation, ...]:
        """The results of A/Bs, oldest first."""
        rows = self._database.execute(
            "SELECT runs.name, night, cell, metric, estimate, low, high, p, n, verdict, more, base FROM confirmations"
            " JOIN runs ON runs.id = confirmations.run ORDER BY started, runs.name"
        )
        return tuple(
            Confirmation(
                run=run,
                night=night,
                cell=cell,
                metric=metric,
                ratio=Ratio(estimate=e, low=low, high=high, p=p, n=n, verdict=Verdict(verdict), more=more),
                base=base,
            )
            for run, night, cell, metric, e, low, high, p, n, verdict, more, base in rows
        )


def stamp_of(folder: Path) -> str:
    """The mark of a run folder's content: size and time of its samples."""
    state = (folder / "samples.jsonl").stat()
    return f"{state.st_size}/{state.st_mtime_ns}"


def _row(item: Confirmation) -> Sequence[object]:
    r = item.ratio
    return item.night, item.cell, item.metric, r.estimate, r.low, r.high, r.p, r.n, r.verdict.value, r.more, item.base
