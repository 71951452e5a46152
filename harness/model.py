"""The words of Tare as frozen, typed records. No input, no output, no engine.

Durations are seconds and sizes are bytes, everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias


class Unit(StrEnum):
    """Unit of a metric's values."""

    SECONDS = "s"
    BYTES = "B"
    COUNT = "count"
    BOOLEAN = "boolean"  # 1.0 or 0.0
    RATIO = "ratio"


class Direction(StrEnum):
    """Which values of a metric are better."""

    SMALLER = "smaller"
    LARGER = "larger"
    NEITHER = "neither"  # describes, does not judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A named quantity of a probe.

    The name is dotted: probe, cache state if there is one, quantity (`start.warm.ready`).
    A deterministic metric has the same value whenever the same inputs are measured: it is compared exactly.
    """

    name: str
    unit: Unit
    direction: Direction = Direction.SMALLER
    deterministic: bool = False
    headline: bool = False  # shown in the summary table of an app
    group: str = ""  # the name that tables and `-m` use: memory, deploy; without one, the probe gives its own name
    probe: str = ""  # the probe whose tries yield the metric; the probe fills it in
    state: str = ""  # the cache state of the tries that yield the metric; "" if tries of every state do
    phases: bool = False  # the metric is the whole length of a try, and the phases are parts of it
    help: str

    @property
    def has_ratio(self) -> bool:
        """Whether one value ÷ another says something. Answers (yes or no) and shares have no ratio."""
        return self.unit not in (Unit.BOOLEAN, Unit.RATIO)


class Status(StrEnum):
    """How a try ended. Only `ok` yields samples."""

    OK = "ok"
    TIMEOUT = "timeout"
    EXITED = "exited"
    ERROR = "error"
    WRONG_ANSWER = "wrong-answer"


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a try: seconds from the try's t0 to the phase's start, and its length in seconds."""

    name: str
    start: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One try of a probe on a cell, as it is stored. `values` holds one sample per metric, by metric name."""

    cell: str
    probe: str
    state: str  # the cache state: cold, source, empty, warm …
    block: int  # every selected cell once; counts from 0 per probe and state
    order: int  # position in the whole run, from 0
    at: float  # Unix time of t0, s
    seconds: float  # engine time of the try as the harness spent it, all set-up included, s
    status: Status
    values: Mapping[str, float] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    reason: str = ""
    log: str = ""
    load: float = 0.0  # share of the processors that was busy just before t0, 0…1
    waited: float = 0.0  # wait for a quiet machine before t0, s
    notes: Mapping[str, str] = field(default_factory=dict)
    session: int = 0  # a resumed run has several sessions; images are built anew in each


@dataclass(frozen=True, slots=True)
class Request:
    """A request that proves an app works, and the answer expected.

    `follow` is a regular expression with one group, the path of something that the answer refers to (a page's own
    script); `then` is the request for that path, and the path of `then` itself is ignored.

    Exactly one of `equals` (whole body), `contains` (part of it) and `json` (a JSON object whose members must all be in
    the answer with these values) may be given; without any, the status code alone must match. `headers` are sent too;
    they replace headers of the same name that would be sent: Host, Content-Type.
    """

    path: str
    method: str = "GET"
    status: int = 200
    equals: str | None = None
    contains: str | None = None
    json: Mapping[str, object] | None = None
    body: str = ""
    follow: str = ""
    then: Request | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return "the first valid answer"


@dataclass(frozen=True, slots=True)
class Connection:
    """An app that works once its port accepts a connection: a service that does not speak HTTP."""

    def __str__(self) -> str:
        return "the first accepted connection"


@dataclass(frozen=True, slots=True)
class LogLine:
    """An app that works once it has written a line that contains `text`."""

    text: str

    def __str__(self) -> str:
        return f"the first log line with {self.text!r}"


@dataclass(frozen=True, slots=True)
class Exit:
    """A job: it has worked once it has ended with exit code 0."""

    def __str__(self) -> str:
        return "the end with exit code 0"


Readiness: TypeAlias = Request | Connection | LogLine | Exit


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of an app's source: every `find` in `file` (relative to the app) becomes `replace`.

    `{n}` in `replace` is the number of the edit, so that each try writes a text that was never built before.
    """

    file: str
    find: str
    replace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that an app needs beside it, for example a database: a container of a base with an address of its own.

    Strategies named in `inside` carry the service in the image of the app instead and start it themselves.
    """

    name: str
    title: str
    base: str  # the role of its image
    port: int
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    inside: tuple[str, ...] = ()
    start_timeout: float = 60.0  # s until it accepts connections

    @property
    def placeholder(self) -> str:
        """The placeholder for its host:port in the values of the app's environment."""
        return f"{{{self.name}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A small, real service: `apps/<name>/` with `app.toml`."""

    name: str
    title: str
    language: str
    path: Path
    port: int  # 0: none, and `ready` needs none
    ready: Readiness  # waited for after the start call; a request is polled for its first valid answer
    verify: tuple[Request, ...]  # all must answer as expected before anything is timed
    source_change: Edit
    dependency_change: Edit
    env: Mapping[str, str] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    start_timeout: float = 30.0  # s
    default: bool = True  # False: only with --app


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A way to make an image: `variants/<name>/` with `variant.toml` and Dockerfiles."""

    name: str
    title: str
    summary: str
    trades: str
    path: Path
    rank: int  # order of rows in tables; the lowest is the reference others are compared to
    default: bool = True  # False: only with --strategy
    fails: str = ""  # why its cells are expected to fail, if the strategy exists to show a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A role an image is built from, as `variants/bases.toml` defines it.

    Dockerfiles name it by a build argument with the upstream reference as default:
    `ARG BASE_OS_SLIM=debian:trixie-slim`, `FROM ${BASE_OS_SLIM}`.
    """

    role: str  # os-slim
    title: str
    upstream: str  # image reference of the upstream lane
    recipe: str  # full | slim | layer | distroless: how the packages lane makes it
    packages: tuple[str, ...] = ()
    parent: str = ""  # recipe layer: the role whose layers come below
    options: Mapping[str, object] = field(default_factory=dict)  # user, entrypoint, env … of the recipe
    alias: str = ""  # the role that Dockerfiles and kept layers are named after, if it is not `role`

    @property
    def argument(self) -> str:
        return "BASE_" + self.named.upper().replace("-", "_")

    @property
    def named(self) -> str:
        """The role as bases.toml has it."""
        return self.alias or self.role


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """App × strategy. `bases` are the roles its Dockerfile names; `base` the role its last stage stands on.

    Without an `archive` and a `reference` its image is built. An `archive` is loaded: an image kept from an earlier
    night, or any docker archive or OCI layout. A `reference` is the name of an image that an engine or a registry has.
    """

    app: App
    strategy: Strategy
    dockerfile: Path
    bases: tuple[str, ...] = ()
    base: str = ""  # "" for scratch
    archive: Path | None = None
    reference: str = ""
    stand_ins: Mapping[str, str] = field(default_factory=dict)  # image of a FROM → role that is taken if none answers

    @property
    def is_built(self) -> bool:
        """Whether its image is built from its Dockerfile."""
        return self.archive is None and not self.reference

    @property
    def id(self) -> str:
        return f"{self.app.name}-{self.strategy.name}"

    @property
    def beside(self) -> tuple[Service, ...]:
        """The services that run beside this cell's image; the app's others are inside it."""
        return tuple(service for service in self.app.services if self.strategy.name not in service.inside)

    @property
    def roles(self) -> tuple[str, ...]:
        """Every base that is needed to measure the cell: the bases of its stages and of the services beside it."""
        return tuple(dict.fromkeys((*self.bases, *(service.base for service in self.beside))))


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """What differs between the facts of two environments, by name: `kernel: 6.1 → 6.12`, `depot: absent → on`."""
    names = sorted(before.keys() | after.keys())
    return tuple(
        f"{name}: {before.get(name, 'absent')} → {after.get(name, 'absent')}"
        for name in names
        if before.get(name) != after.get(name)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The fingerprint of where samples were taken. Samples of different fingerprints are never joined.

    `facts` are flat strings (processor, memory, kernel, engine, storage driver, bases, depot, node, link …): all of
    them make the fingerprint. `notes` describe and do not separate. Exact metrics (bytes, counts) depend on few facts,
    and only those separate them: a new kernel does not change how large an image is.
    """

    facts: Mapping[str, str]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits over the facts, independent of their order."""
        return _fingerprint(self.facts)

    @property
    def exact_facts(self) -> Mapping[str, str]:
        """The facts that exact metrics depend on. The patch level of the engine is not one of them."""
        known = {name: self.facts[name] for name in EXACT_FACTS if name in self.facts}
        if "engine" in known:
            known["engine"] = re.sub(r"(\d+\.\d+)\S*", r"\1", known["engine"])
        return known

    @property
    def exact_fingerprint(self) -> str:
        """The fingerprint of `exact_facts`."""
        return _fingerprint(self.exact_facts)

    def facts_of(self, metric: Metric) -> Mapping[str, str]:
        """The facts that values of this metric depend on: only values with the same facts are compared."""
        return self.exact_facts if metric.deterministic else self.facts

    def fingerprint_of(self, metric: Metric) -> str:
        """The fingerprint of `facts_of`."""
        return self.exact_fingerprint if metric.deterministic else self.fingerprint


# The facts that bytes and counts depend on: what images are made from, and what packs and counts them. A fact that is
# not in this list (processor, memory, kernel, runtime, node, link …) changes durations only.
EXACT_FACTS = ("architecture", "bases", "engine", "image store", "storage driver")


def _fingerprint(facts: Mapping[str, str]) -> str:
    import hashlib
    import json

    text = json.dumps(dict(sorted(facts.items())), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
