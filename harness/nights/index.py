"""The index of a history: an SQLite file that can be deleted at any time, because the run folders are the record.

    runs(id, name, started, fingerprint, track, git, …)         environments(fingerprint, facts)
    series(id, cell, metric, fingerprint, track)                metrics(name, …)
    nights(series, run, n, median, low, high, samples)         failures(run, cell, probe, status, reason, count)
    confirmations(run, night, cell, metric, …)

A row of `nights` is a night of a series, its samples as little-endian doubles; rows of a series lie together, so that
a series is read in a millisecond and all of three years in seconds.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

_VERSION = 3  # version of the index: an index of another version is rebuilt
_SCHEMA = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT UNIQUE, started REAL, fingerprint TEXT, exact TEXT, track TEXT,
                   git TEXT, stamp TEXT, purpose TEXT, schedule TEXT, cells TEXT, metrics TEXT, run TEXT);
CREATE TABLE environments (fingerprint TEXT PRIMARY KEY, facts TEXT);
CREATE TABLE metrics (name TEXT PRIMARY KEY, unit TEXT, direction TEXT, deterministic INTEGER, headline INTEGER,
                      help TEXT);
CREATE TABLE series (id INTEGER PRIMARY KEY, cell TEXT, metric TEXT, fingerprint TEXT, track TEXT,
                     UNIQUE (cell, metric, fingerprint, track));
CREATE TABLE nights (series INTEGER, run INTEGER, n INTEGER, median REAL, low REAL, high REAL, samples BLOB,
                     PRIMARY KEY (series, run)) WITHOUT ROWID;
CREATE TABLE failures (run INTEGER, cell TEXT, probe TEXT, status TEXT, reason TEXT, count INTEGER);
CREATE TABLE confirmations (run INTEGER, night TEXT, cell TEXT, metric TEXT, estimate REAL, low REAL, high REAL,
                            p REAL, n INTEGER, verdict TEXT, more INTEGER, base TEXT);
CREATE INDEX nights_of_run ON nights (run);
"""


def connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        _tune(database)
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # not a database, or a broken one
        version = -1
    if version != _VERSION:
        database.close()
        delete(path)
        database = prepared(sqlite3.connect(path, timeout=60))
        _tune(database)
    return database


def _tune(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA cache_size = -65536")  # KiB


def delete(path: Path) -> None:
    for extra in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)


def prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    database.executescript(_SCHEMA)
    database.execute(f"PRAGMA user_version = {_VERSION}")
    database.commit()
    return database
