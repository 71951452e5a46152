"""SQLite: runs, environments, metrics, samples and failed tries as tables for queries."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from harness.host.files import replacing
from harness.nights.records import track_of
from harness.store.run import Run

HELP = "a database with runs, facts, metrics, samples and failures"
SUFFIX = "sqlite"
_SCHEMA = """
CREATE TABLE runs (run TEXT PRIMARY KEY, started REAL, environment TEXT, track TEXT, git TEXT);
CREATE TABLE facts (environment TEXT, name TEXT, value TEXT, PRIMARY KEY (environment, name));
CREATE TABLE metrics (metric TEXT PRIMARY KEY, unit TEXT, direction TEXT, deterministic INTEGER, help TEXT);
CREATE TABLE samples (run TEXT, cell TEXT, metric TEXT, block INTEGER, position INTEGER, at REAL, value REAL);
CREATE TABLE failures (run TEXT, cell TEXT, probe TEXT, state TEXT, block INTEGER, at REAL, status TEXT, reason TEXT);
CREATE INDEX samples_of ON samples (cell, metric, run);
"""


def write(runs: Sequence[Run], path: Path) -> None:
    with replacing(path) as temporary, closing(sqlite3.connect(temporary)) as database, database:
        database.executescript(_SCHEMA)
        for run in runs:
            manifest = run.manifest
            print_ = manifest.environment.fingerprint
            database.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?)",
                (run.id, manifest.started, print_, track_of(manifest), manifest.git),
            )
            database.executemany(
                "INSERT OR IGNORE INTO facts VALUES (?, ?, ?)",
                [(print_, name, value) for name, value in manifest.environment.facts.items()],
            )
            database.executemany(
                "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?, ?)",
                [(m.name, m.unit, m.direction, m.deterministic, m.help) for m in manifest.metrics],
            )
            for (cell, metric), series in run.series().items():
                columns = (series.block, series.order, series.at, series.value)
                rows = zip(*(column.tolist() for column in columns), strict=True)
                database.executemany(
                    "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)", [(run.id, cell, metric, *row) for row in rows]
                )
            database.executemany(
                "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(run.id, t.cell, t.probe, t.state, t.block, t.at, t.status.value, t.reason) for t in run.failures],
            )
