"""The records of a run folder as JSON: what a manifest, a session and a try look like on disk, and how they are read.

`SCHEMA` is raised if a reader of the old schema would misread the new one; an added field with a default does not need
that. Older runs are brought up to date in memory by `MIGRATIONS`, in order; files stay as they are.
"""

from __future__ import annotations

import errno
import math
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

import orjson

from harness.errors import StoreError
from harness.model import Cell, Direction, Environment, Metric, Phase, Status, Try, Unit
from harness.store.typed import check

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA: Final = 3

Record = dict[str, Any]


Change = Callable[[Record], Record]


@dataclass(frozen=True, slots=True)
class Migration:
    """Brings records of one schema to the next. Without `sample` the lines of samples.jsonl stay as they are."""

    name: str  # what it changes
    manifest: Change
    sample: Change | None = None


def _tracks(manifest: Record) -> Record:
    plan = dict(manifest.get("plan", {}))
    if "lane" in plan:
        plan["track"] = plan.pop("lane")
    return {**manifest, "plan": plan}


_STATES_IN_NAMES = {  # the cache states in the names of schema 2's metrics
    "build": ("cold", "nothing", "source", "dependency"),
    "pull": ("empty", "previous", "base"),
    "start": ("cold", "warm"),
    "floor": ("cold", "warm"),
}


def _placed(metric: Record) -> Record:
    """A metric with the fields that schema 2 left to its name."""
    group, *rest = str(metric["name"]).split(".")
    probe, _, state = str(metric.get("given_by", "")).partition(" ")
    named = rest[0] if rest and rest[0] in _STATES_IN_NAMES.get(group, ()) else ""
    whole = metric["unit"] == "s" and (rest[-1:] == ["total"] or (group == "build" and bool(named)))
    return {"group": group, "probe": probe or group, "state": state or named, "phases": whole, **metric}


def _metrics(manifest: Record) -> Record:
    return {**manifest, "metrics": [_placed(metric) for metric in manifest["metrics"]]}


MIGRATIONS: tuple[Migration, ...] = (  # the nth brings schema n to n + 1
    Migration("the lane of a night is its track", _tracks),
    Migration("a metric carries its group, probe, state and phases", _metrics),
)


def changes_of_samples(schema: int) -> tuple[Change, ...]:
    """The function that brings a line of samples.jsonl from `schema` to today's schema."""
    return tuple(migration.sample for migration in MIGRATIONS[schema - 1 :] if migration.sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellInfo:
    """What a report must know about a cell without the catalogue."""

    id: str
    app: str
    app_title: str
    strategy: str
    strategy_title: str
    rank: int  # order of rows; the lowest is the reference
    inside: tuple[str, ...] = ()  # titles of the services that the image of this cell carries
    beside: tuple[str, ...] = ()  # … and of the services that run beside it
    summary: str = ""  # of the strategy: what it is
    trades: str = ""  # of the strategy: what it costs and what it saves

    @classmethod
    def of(cls, cell: Cell) -> Self:
        return cls(
            id=cell.id,
            app=cell.app.name,
            app_title=cell.app.title,
            strategy=cell.strategy.name,
            strategy_title=cell.strategy.title,
            rank=cell.strategy.rank,
            inside=tuple(service.title for service in cell.app.services if service not in cell.beside),
            beside=tuple(service.title for service in cell.beside),
            summary=cell.strategy.summary,
            trades=cell.strategy.trades,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that a report needs beside the samples."""

    environment: Environment
    seed: int
    metrics: tuple[Metric, ...]
    cells: tuple[CellInfo, ...]
    plan: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)  # of the harness, Python and its packages
    git: str = ""  # revision of the catalogue, "" if it is not under git
    started: float = 0.0  # Unix time, s; set by RunWriter.create
    run: str = ""  # run id; set by RunWriter.create
    schema: int = SCHEMA

    def to_continue(self, run: str) -> str:
        """The command that continues the run with this id; options may follow."""
        return f"{self.plan.get('command', 'tox -e bench --')} --resume {run}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One invocation that wrote to the run. `ended` is None if it was killed, or is still at work."""

    number: int
    started: float  # Unix time, s
    argv: tuple[str, ...]
    pid: int
    images: Mapping[str, str]  # image id by cell
    ended: float | None = None
    outcome: str = ""


_OPTIONAL = {
    item.name: item.default_factory() if item.default_factory is not MISSING else item.default
    for item in fields(Try)
    if item.default is not MISSING or item.default_factory is not MISSING
}


def from_try(try_: Try) -> Record:
    """A try as a JSON object; fields with their default are left out."""
    for name, number in _numbers(try_):
        if not math.isfinite(number):  # JSON has no form for it: it would be read back as null
            raise StoreError(f"{name} is {number}, which is not a valid sample", where=f"{try_.cell} {try_.probe}")
    record = {item.name: getattr(try_, item.name) for item in fields(Try)}
    record = {name: value for name, value in record.items() if name not in _OPTIONAL or value != _OPTIONAL[name]}
    if try_.values:
        record["values"] = {name: float(value) for name, value in try_.values.items()}
    if try_.phases:
        record["phases"] = [(phase.name, phase.start, phase.seconds) for phase in try_.phases]
    return record


def _numbers(try_: Try) -> Iterator[tuple[str, float]]:
    yield from (("at", try_.at), ("seconds", try_.seconds), ("load", try_.load), ("waited", try_.waited))
    yield from try_.values.items()
    for phase in try_.phases:
        yield from ((f"start of {phase.name}", phase.start), (f"length of {phase.name}", phase.seconds))


def to_try(record: Record) -> Try:
    """Raises KeyError, TypeError, ValueError or AttributeError if the record is not a try."""
    known = _known(Try, record)
    known["status"] = Status(record["status"])
    known["phases"] = tuple(Phase(*phase) for phase in record.get("phases", ()))
    try_ = Try(**known)
    check(try_)
    return try_


def _known(kind: type[DataclassInstance], record: Record) -> Record:
    """The members that this Tare knows: a newer Tare of the same schema may have added some."""
    return {item.name: record[item.name] for item in fields(kind) if item.name in record}


def upgraded(record: Record, changes: Sequence[Change]) -> Record:
    for change in changes:
        record = change(record)
    return record


def encode(value: object, option: int = 0) -> bytes:
    try:
        return orjson.dumps(value, default=_plain, option=option)
    except orjson.JSONEncodeError:  # text that is not valid Unicode, as logs may hold; better escaped than lost
        return orjson.dumps(_scrubbed(value), default=_plain, option=option)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _scrubbed(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(_scrubbed(key)): _scrubbed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(item) for item in value]
    return value


RESTORE = "Restore it, or move the folder out of results/."


def check_regular(path: Path) -> None:
    """Raises OSError if there is no such file, or if it is a pipe or a device, whose reader might wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "is not a regular file", str(path))


class Lines:
    """The records of a JSON-lines file. After the loop, `good` counts the bytes read and `torn` holds the rest.

    `having` leaves out lines that contain none of these texts, without parsing them.
    """

    def __init__(self, path: Path, *, size: int | None = None, having: Iterable[str] = ()) -> None:
        self.path = path
        self.good = 0
        self.torn = b""
        self._number = 0
        self._size = size
        texts = [re.escape(text.encode()) for text in having]
        self._sought = re.compile(b"|".join(texts)).search if texts else None

    def __iter__(self) -> Iterator[Record]:
        try:
            check_regular(self.path)
            file = self.path.open("rb", buffering=1 << 20)
        except OSError as error:
            raise StoreError(f"cannot be read: {error.strerror}", where=str(self.path), fix=RESTORE) from error
        good, sought = 0, self._sought  # locals: this loop may see a million lines
        with file:
            for self._number, line in enumerate(file, 1):
                if good == self._size:
                    break
                try:
                    if not line.endswith(b"\n"):
                        raise ValueError
                    if sought and not sought(line):
                        good += len(line)
                        continue
                    record = orjson.loads(line)
                except ValueError:
                    if file.read(1):
                        self.corrupt()
                    self.torn = line
                    break
                yield record
                good += len(line)
        self.good = good

    def corrupt(self) -> NoReturn:
        raise StoreError(
            "this line is not a record",
            where=f"{self.path}:{self._number}",
            fix=f"The file was changed after Tare wrote it. {RESTORE}",
        )

    def warning(self) -> str:
        if not self.torn:
            return ""
        return f"{self.path}: the last line ({len(self.torn)} bytes) is unfinished and was skipped"


def read_manifest(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    try:
        check_regular(path)
        record = orjson.loads(path.read_bytes())
        schema = record["schema"]
        if type(schema) is not int or schema < 1:
            raise ValueError
    except OSError as error:
        fix = "`tare runs` lists the stored runs."
        raise StoreError(f"this folder has no run: {error.strerror}", where=str(path), fix=fix) from error
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError("this is not the manifest of a run", where=str(path), fix=RESTORE) from error
    if schema > SCHEMA:
        raise StoreError(
            f"the run uses schema {schema}, this Tare reads up to {SCHEMA}", where=str(path), fix="Use a newer Tare."
        )
    try:
        for migration in MIGRATIONS[schema - 1 :]:
            record = migration.manifest(record)
        metrics = [
            {**metric, "unit": Unit(metric["unit"]), "direction": Direction(metric["direction"])}
            for metric in record["metrics"]
        ]
        record["environment"] = Environment(**_known(Environment, record["environment"]))
        record["metrics"] = tuple(Metric(**_known(Metric, metric)) for metric in metrics)
        record["cells"] = tuple(_cell(cell) for cell in record["cells"])
        manifest = Manifest(**_known(Manifest, record))
        check(manifest)
        return manifest
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the manifest is not of schema {schema}: {error}"
        raise StoreError(what, where=str(path), fix=RESTORE) from error


def _cell(record: Record) -> CellInfo:
    known = _known(CellInfo, record)
    values: Record = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    return CellInfo(**values)


def read_sessions(folder: Path) -> tuple[tuple[Session, ...], Lines]:
    lines = Lines(folder / "sessions.jsonl")
    sessions: list[Session] = []
    if not lines.path.exists():  # killed between the manifest and the first session
        return (), lines
    for record in lines:
        try:
            at, number = record["at"], record["session"]
            match record["event"]:
                case "start":
                    argv = tuple(record["argv"])
                    sessions.append(Session(number=number, started=at, argv=argv, pid=record["pid"], images={}))
                    check(sessions[-1])
                case "images":
                    images = {**sessions[number].images, **record["images"]}
                    sessions[number] = replace(sessions[number], images=images)
                    check(sessions[number])
                case "end":
                    sessions[number] = replace(sessions[number], ended=at, outcome=record["outcome"])
                    check(sessions[number])
        except (KeyError, TypeError, IndexError):
            lines.corrupt()
    return tuple(sessions), lines
