"""Break-even: at which bandwidths one strategy's scenario becomes faster than another's. Exact, and pure.

A pull by the model (harness/scenarios/pull_model.py) is piecewise linear in x, the seconds per byte on the wire:
between two changes of the order of events, every moment is `a + b · x`. So the events are followed once for each piece,
with moments as lines in x, and every comparison on the way yields the x up to which it holds. Without round-trip time
the whole is the maximum of lines, one for each layer: convex. Two such curves may cross more than once, and each
crossing is solved on its piece. Exact up to rounding: kinks nearer to each other than a part in 10⁹ are one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from harness.scenarios.formulas import Bound, Parts, Typical
from harness.scenarios.pull_model import LAYER_TRIPS, LEAD_TRIPS, PARALLEL, PullProfile

SLOWEST, FASTEST = 1e5, 1e11  # bit/s of payload: where crossings are looked for
_STEP = 1e-9  # relative: how far into a piece its events are followed
_MOST_PIECES = 10_000  # more than any image has; a bound for what rounding might do


class Line(NamedTuple):
    """a + b · x."""

    a: float
    b: float

    def at(self, x: float) -> float:
        return self.a + self.b * x

    def __add__(self, other: object) -> Line:  # a sum; tuples would be joined
        assert isinstance(other, Line)
        return Line(self.a + other.a, self.b + other.b)

    def minus(self, other: Line) -> Line:
        return Line(self.a - other.a, self.b - other.b)

    def times(self, factor: float) -> Line:
        return Line(self.a * factor, self.b * factor)


class Piece(NamedTuple):
    """The curve from `start` to `end` (s/B)."""

    start: float
    end: float
    line: Line


@dataclass(frozen=True, slots=True)
class Crossing:
    """Below `bits_per_second` of payload the first of two is faster (`below` True), or above it.

    `low` and `high` bound its position; None if unknown.
    """

    bits_per_second: float
    below: bool
    low: float | None = None
    high: float | None = None


Pull = Literal["empty", "update", "base"]  # content of the node of a deploy: harness.scenarios.formulas.Parts


def deploy_curve(
    parts: Parts, which: Pull, *, rtt: float = 0.0, nodes: int = 1, bound: Bound = "value"
) -> tuple[Piece, ...]:
    """Seconds of a deploy as a function of the seconds per byte, or a bound of them. Empty if a part was not
    measured.
    """
    pulls: Typical | None = getattr(parts, which)
    start = None if parts.start is None else getattr(parts.start, bound)
    if pulls is None or start is None or (factor := pulls.factor(bound)) is None:
        return ()
    return raised(pull_curve(pulls.scaled(factor), rtt=rtt, nodes=nodes), start)


def break_even(one: Parts, two: Parts, which: Pull, *, rtt: float = 0.0, nodes: int = 1) -> tuple[Crossing, ...]:
    """The bandwidths at which the deploys of two cells change places, by falling bandwidth.

    A crossing lies between that of the first at its fastest with the second at its slowest and the reverse: this is
    wider than a 95 % interval, because both bounds are used at once. It is given if all three pairs of curves cross
    equally often.
    """

    def curves(mine: Bound, other: Bound) -> tuple[Crossing, ...]:
        first = deploy_curve(one, which, rtt=rtt, nodes=nodes, bound=mine)
        return crossings(first, deploy_curve(two, which, rtt=rtt, nodes=nodes, bound=other))

    found, fast, slow = curves("value", "value"), curves("low", "high"), curves("high", "low")
    if not len(found) == len(fast) == len(slow):
        return found
    return tuple(_bounded(*speeds) for speeds in zip(found, fast, slow, strict=True))


def _bounded(crossing: Crossing, *others: Crossing) -> Crossing:
    speeds = [each.bits_per_second for each in (crossing, *others)]
    return replace(crossing, low=min(speeds), high=max(speeds))


def pull_curve(
    profile: PullProfile,
    *,
    rtt: float = 0.0,
    parallel: int = PARALLEL,
    nodes: int = 1,
    start: float = 8 / FASTEST,
    end: float = 8 / SLOWEST,
) -> tuple[Piece, ...]:
    """The results of `predict(profile, …)` for every x from `start` to `end`, piece by piece."""
    pieces: list[Piece] = []
    x = start
    while x < end:
        if len(pieces) == _MOST_PIECES:
            raise ArithmeticError("a pull has too many pieces")
        order = _Order(x * (1 + _STEP))
        line = _pull(profile, order, rtt=rtt, parallel=parallel, nodes=nodes)
        until = min(max(order.until, order.x), end)
        if pieces and pieces[-1].line == line:
            pieces[-1] = pieces[-1]._replace(end=until)
        else:
            pieces.append(Piece(x, until, line))
        x = until
    return tuple(pieces)


def raised(curve: Iterable[Piece], seconds: float) -> tuple[Piece, ...]:
    """The curve with a constant added, for the time before or after the pull."""
    return tuple(piece._replace(line=piece.line + Line(seconds, 0.0)) for piece in curve)


def crossings(first: Sequence[Piece], second: Sequence[Piece]) -> tuple[Crossing, ...]:
    """The bandwidths at which the first becomes faster than the second or stops being faster, by falling bandwidth.

    Curves that only touch or coincide for a while do not cross.
    """
    found: list[Crossing] = []
    sign = 0  # sign of first − second, when it was last not zero
    for start, end, difference in _differences(first, second):
        inside = -difference.a / difference.b if difference.b else math.nan
        for x in (start, end):
            now = _sign(difference.at(x), scale=abs(difference.a) + abs(difference.b) * x)
            if now and sign and now != sign:
                at = inside if start <= inside <= end else start
                found.append(Crossing(8 / at, below=now < 0))
            sign = now or sign
    return tuple(found)


def _sign(value: float, *, scale: float) -> int:
    return 0 if abs(value) <= 1e-12 * scale else int(math.copysign(1, value))


def _differences(first: Sequence[Piece], second: Sequence[Piece]) -> Iterable[tuple[float, float, Line]]:
    """The pieces of first − second."""
    one = two = 0
    while one < len(first) and two < len(second):
        p, q = first[one], second[two]
        start, end = max(p.start, q.start), min(p.end, q.end)
        if start < end:
            yield start, end, p.line.minus(q.line)
        one, two = one + (p.end <= end), two + (q.end <= end)


@dataclass(slots=True)
class _Order:
    """Compares lines at `x`, and keeps the x (`until`) up to which every answer holds."""

    x: float
    until: float = field(default=math.inf)

    def first(self, lines: Sequence[Line]) -> Line:
        """The smallest of them."""
        least = min(lines, key=lambda line: (line.at(self.x), line.b))
        for line in lines:
            self._holds(least, line)
        return least

    def last(self, lines: Sequence[Line]) -> Line:
        """The largest of them."""
        return self.first([line.times(-1) for line in lines]).times(-1)

    def _holds(self, lower: Line, upper: Line) -> None:
        gap = upper.minus(lower)
        if gap.b < 0:
            self.until = min(self.until, self.x + max(gap.at(self.x), 0.0) / -gap.b)


def _pull(profile: PullProfile, order: _Order, *, rtt: float, parallel: int, nodes: int) -> Line:
    begin = Line(profile.lead + LEAD_TRIPS * rtt, 0.0)
    arrived = _download(
        [layer.bytes * nodes for layer in profile.layers],
        begin=begin,
        latency=Line(LAYER_TRIPS * rtt, 0.0),
        parallel=parallel,
        order=order,
    )
    complete = begin
    for layer, there in zip(profile.layers, arrived, strict=True):
        complete = order.last([complete, there]) + Line(layer.unpack, 0.0)
    return complete + Line(profile.tail, 0.0)


def _download(sizes: Sequence[int], *, begin: Line, latency: Line, parallel: int, order: _Order) -> list[Line]:
    """When each download is complete: `_download` of pull_model with lines instead of numbers.

    The rest of a download is in seconds that it would take alone. Since active downloads share the wire evenly, k
    downloads take k times as long.
    """
    arrived = [begin] * len(sizes)
    queue = deque(index for index, size in enumerate(sizes) if size)
    waiting: dict[int, Line] = {}
    flowing: dict[int, Line] = {}
    now = begin
    while queue or waiting or flowing:
        while queue and len(waiting) + len(flowing) < parallel:
            waiting[queue.popleft()] = now + latency
        for index in [index for index, at in waiting.items() if order.first([now, at]) == at or at == now]:
            del waiting[index]
            flowing[index] = Line(0.0, float(sizes[index]))
        events = [order.first(list(waiting.values()))] if waiting else []
        least = order.first(list(flowing.values())) if flowing else None
        if least is not None:
            events.append(now + least.times(len(flowing)))
        then = order.first(events)
        if least is not None and then == events[-1]:
            done = [index for index, left in flowing.items() if left == least]
            for index in done:
                del flowing[index]
                arrived[index] = then
            flowing = {index: left.minus(least) for index, left in flowing.items()}
        else:
            flowed = then.minus(now).times(1 / len(flowing)) if flowing else Line(0.0, 0.0)
            flowing = {index: left.minus(flowed) for index, left in flowing.items()}
        now = then
    return arrived
