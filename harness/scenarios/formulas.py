"""Scenarios: the cost of a strategy in use, from measured parts and the pull model. Pure.

Nobody deploys a "pull time". Each scenario is a sum of parts that were measured, and of transfers that the pull model
(harness/scenarios/pull_model.py) computes for a wire. Bytes are B, times s, bandwidths bit/s of payload, round-trip
times s.

    x             = 8 / bandwidth                      seconds a byte takes on the wire
    pull(P, x)    = predict(P, bandwidth, rtt)         P: lead, layers (bytes, unpack) and tail of a pull
    first         = pull(empty, x) + start             an empty node, until the first valid answer
    update        = pull(update, x) + start            the next version, where the node has the one before
    update cold   = pull(base, x) + start              the same where CI builds without cache and not reproducibly
    scale         = pull(empty, N · x) + start         N empty machines through one uplink, until the last answers
    rebuild       = source + pushed(cached) · x + PUSH_TRIPS · rtt
    rebuild cold  = cold + pushed(uncached) · x + PUSH_TRIPS · rtt
    storage       = first version + (versions − 1) · added

`empty`, `update` and `base` (the node has the base's layers) are typical profiles: the median of every component over
the stored pulls, scaled so that lead, unpacking and tail together are the median of their sums. `start`, `source` and
`cold` are medians. The next version is the app after a source change. Built without cache, a layer above the base is
the same only if the cell builds reproducibly; otherwise all of them are pushed, stored and fetched again.

Intervals. The interval of a profile is the interval of the sum of its engine's own times (lead + unpacking + tail), as
two factors, `low` and `high`: the pull is computed with all of these times multiplied by one and by the other. Bytes
are exact. Sums of independent parts add the squares of the distances (Zou & Donner, Statistics in Medicine 27 (2008),
1693–1702):

    low(a + b) = a + b − √((a − low a)² + (b − low b)²), and high likewise

Not included: a CI machine that has to fetch the bases of the build first; compression before a push, which overlaps the
upload and is faster than any wire below about 100 Mbit/s; nodes that share processors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Literal

from harness.scenarios.layer_sizes import CellLayers, ImageLayers
from harness.scenarios.pull_model import LayerCost, PullProfile, predict
from harness.stats.intervals import summarise

# Counted on docker 20.10: pushing the next version of a two-layer and of a three-layer image at round-trip times from
# 0 to 200 ms took 23.3 and 24.3 more trips; layers are pushed side by side, so their number hardly matters.
PUSH_TRIPS = 24.0


Bound = Literal["value", "low", "high"]  # quantiles of an estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpeed:
    """A link: bits of payload a second, and round-trip time added, s."""

    bits_per_second: float
    rtt: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.bits_per_second < math.inf and 0 <= self.rtt < math.inf):
            raise ValueError("a wire needs a bandwidth above 0 and a round-trip time of at least 0")

    @property
    def seconds_per_byte(self) -> float:
        return 8 / self.bits_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A scenario's seconds or bytes. `low` and `high` bound the 95 % interval; None if a part has too few samples.

    `n` is the number of samples of the part that has fewest; 0 if nothing in it is a sample (bytes).
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def plus(self, other: Estimate) -> Estimate:
        value = self.value + other.value
        low = high = None
        if self.low is not None and other.low is not None:
            low = value - math.hypot(self.value - self.low, other.value - other.low)
        if self.high is not None and other.high is not None:
            high = value + math.hypot(self.high - self.value, other.high - other.value)
        counts = [n for n in (self.n, other.n) if n]
        return Estimate(value=value, low=low, high=high, n=min(counts, default=0))


def exact(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value, n=0)


def of_samples(values: Sequence[float]) -> Estimate | None:
    """Median and interval; None without samples."""
    if not values:
        return None
    summary = summarise(values)
    return Estimate(value=summary.median, low=summary.low, high=summary.high, n=summary.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Typical:
    """The typical profile of several pulls of one image. `low` and `high` are factors on all of its engine's own
    times.
    """

    profile: PullProfile
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, profiles: Sequence[PullProfile]) -> Typical | None:
        """None without profiles. Profiles with another number of layers than the last profile are left out, because
        they belong to another image.
        """
        profiles = [each for each in profiles if len(each.layers) == len(profiles[-1].layers)]
        if not profiles:
            return None
        last = profiles[-1]
        total = of_samples([_own_seconds(each) for each in profiles])
        assert total is not None
        middle = PullProfile(
            layers=tuple(
                LayerCost(layer.digest, layer.bytes, median(each.layers[number].unpack for each in profiles))
                for number, layer in enumerate(last.layers)
            ),
            lead=median(each.lead for each in profiles),
            tail=median(each.tail for each in profiles),
        )
        own = _own_seconds(middle)
        return cls(
            profile=_scaled(middle, total.value / own if own else 1.0),
            low=_factor(total.low, total.value),
            high=_factor(total.high, total.value),
            n=total.n,
        )

    def pull(self, wire: LinkSpeed, *, nodes: int = 1) -> Estimate:
        """Seconds until each of `nodes` has the image."""

        def seconds(factor: float) -> float:
            profile = self.scaled(factor)
            return predict(profile, bits_per_second=wire.bits_per_second, rtt=wire.rtt, nodes=nodes).seconds

        return Estimate(
            value=seconds(1.0),
            low=None if self.low is None else seconds(self.low),
            high=None if self.high is None else seconds(self.high),
            n=self.n,
        )

    def factor(self, bound: Bound) -> float | None:
        return {"value": 1.0, "low": self.low, "high": self.high}[bound]

    def scaled(self, factor: float) -> PullProfile:
        """The profile with all of the engine's own times multiplied."""
        return _scaled(self.profile, factor)


def _own_seconds(profile: PullProfile) -> float:
    return profile.overhead + sum(layer.unpack for layer in profile.layers)


def _scaled(profile: PullProfile, factor: float) -> PullProfile:
    layers = tuple(LayerCost(layer.digest, layer.bytes, layer.unpack * factor) for layer in profile.layers)
    return PullProfile(layers, profile.lead * factor, profile.tail * factor)


def _factor(bound: float | None, value: float) -> float | None:
    if bound is None:
        return None
    return bound / value if value else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The measured parts of a cell; None or empty if not measured."""

    cell: str
    app: str
    strategy: str
    empty: Typical | None = None  # pulls to an empty node, no wire shaped
    update: Typical | None = None  # pulls of the next version to a node that has the previous version
    base: Typical | None = None  # pulls to a node that has the layers of the base
    start: Estimate | None = None  # s from the pull's end to the first valid answer
    start_of: str = ""  # the metrics that `start` is made of
    cold: Estimate | None = None  # s of a build with an empty cache
    source: Estimate | None = None  # s of a build after a source change
    reproducible: bool | None = None  # whether a build with an empty cache gives the same layers
    images: CellLayers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The wire, the number of nodes and the number of versions of a question."""

    wire: LinkSpeed
    nodes: int = 4
    versions: int = 10

    def __post_init__(self) -> None:
        if self.nodes < 1 or self.versions < 1:
            raise ValueError("a question needs at least one machine and one version")


def first_deploy(parts: Parts, question: Question) -> Estimate | None:
    return _deploy(parts.empty, parts.start, question.wire)


def update(parts: Parts, question: Question) -> Estimate | None:
    return _deploy(parts.update, parts.start, question.wire)


def update_cold(parts: Parts, question: Question) -> Estimate | None:
    if parts.reproducible is None:
        return None
    return _deploy(parts.update if parts.reproducible else parts.base, parts.start, question.wire)


def scale_out(parts: Parts, question: Question) -> Estimate | None:
    return _deploy(parts.empty, parts.start, question.wire, nodes=question.nodes)


def rebuild(parts: Parts, question: Question) -> Estimate | None:
    return _rebuild(parts, parts.source, question.wire, cached=True)


def rebuild_cold(parts: Parts, question: Question) -> Estimate | None:
    return _rebuild(parts, parts.cold, question.wire, cached=False)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario of a cell, in seconds. `compute` returns None if a part was not measured."""

    name: str
    title: str
    formula: str  # in the terms of the module's docstring
    compute: Callable[[Parts, Question], Estimate | None] = field(repr=False)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("first", "first deploy to an empty machine", "pull(empty, x) + start", first_deploy),
    Scenario("update", "new version to a machine that has the old", "pull(update, x) + start", update),
    Scenario(
        "update-cold",
        "the same, if CI builds without cache",
        "pull(update if reproducible else base, x) + start",
        update_cold,
    ),
    Scenario("scale", "scale-out of N empty machines at once", "pull(empty, N · x) + start", scale_out),
    Scenario("rebuild", "CI rebuild with cache, and push", "source + pushed(cached) · x + PUSH_TRIPS · rtt", rebuild),
    Scenario(
        "rebuild-cold",
        "CI rebuild without cache, and push",
        "cold + pushed(uncached) · x + PUSH_TRIPS · rtt",
        rebuild_cold,
    ),
)


def _deploy(pulls: Typical | None, start: Estimate | None, wire: LinkSpeed, *, nodes: int = 1) -> Estimate | None:
    return None if pulls is None or start is None else pulls.pull(wire, nodes=nodes).plus(start)


def _rebuild(parts: Parts, build: Estimate | None, wire: LinkSpeed, *, cached: bool) -> Estimate | None:
    bytes_ = pushed(parts, cached=cached)
    if build is None or bytes_ is None:
        return None
    return build.plus(exact(bytes_ * wire.seconds_per_byte + PUSH_TRIPS * wire.rtt))


def pushed(parts: Parts, *, cached: bool) -> int | None:
    """Bytes that the next version adds to a registry that has the previous version; None if unknown."""
    if parts.images is None:
        return None
    current, changed = parts.images.current, parts.images.changed
    if cached or parts.reproducible:
        known = current.digests
    elif parts.reproducible is None:
        return None
    else:
        known = frozenset(layer.digest for layer in changed.layers if layer.base)
    return changed.config + sum(size for digest, size in _sizes(changed).items() if digest not in known)


# ── storage ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Compressed bytes in a registry for `apps`: for one version of each, and the addition of each further version."""

    apps: tuple[str, ...]
    first: int  # every distinct layer once, and the configs
    alone: int  # the same, if no layer were shared between apps
    added: int  # addition by one more version of every app

    def of(self, versions: int) -> int:
        return self.first + (versions - 1) * self.added


def storage(cells: Iterable[Parts], *, cached: bool = True) -> Storage | None:
    """The storage of cells of one strategy. Cells with unknown images are left out; None if none is left.

    `cached` False: every version is built without cache.
    """
    known = [(parts, parts.images, size) for parts in cells if parts.images and (size := pushed(parts, cached=cached))]
    if not known:
        return None
    layers = {digest: size for _, images, _ in known for digest, size in _sizes(images.current).items()}
    configs = sum(images.current.config for _, images, _ in known)
    return Storage(
        apps=tuple(parts.app for parts, _, _ in known),
        first=configs + sum(layers.values()),
        alone=configs + sum(sum(_sizes(images.current).values()) for _, images, _ in known),
        added=sum(size for _, _, size in known),
    )


def _sizes(image: ImageLayers) -> dict[str, int]:
    """Compressed bytes by digest: an image may have a layer twice, but it is stored and sent once."""
    return {layer.digest: layer.packed for layer in image.layers}


# ── for a page that computes the same scenarios
# ──────────────────────────────────────────────────────────────────────────────


def vectors(cells: Mapping[str, Parts], questions: Sequence[Question]) -> list[dict[str, object]]:
    """Test vectors as plain data: for each question and cell the scenarios' value, low and high (or null).

    A page that computes scenarios itself is right if it gives these numbers within 1e-9 relative.
    """
    return [
        {
            "cell": name,
            "question": asdict(question),
            "scenarios": {
                scenario.name: None if (answer := scenario.compute(parts, question)) is None else asdict(answer)
                for scenario in SCENARIOS
            },
        }
        for question in questions
        for name, parts in cells.items()
    ]


def plain(parts: Parts) -> dict[str, object]:
    """The measured parts as plain data for a page: everything that the formulas need."""
    record = asdict(replace(parts, images=None))
    record["pushed"] = {"cached": pushed(parts, cached=True), "uncached": pushed(parts, cached=False)}
    del record["images"]
    return record
