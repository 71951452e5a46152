"""The stages experiment as text and as a chart: build time against the number of stages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats
from tabulate import tabulate

from harness.experiments.stages import COUNTS, METRICS, SHAPES
from harness.stats.intervals import CONFIDENCE, Summary, summarise
from harness.store.run import Run
from harness.text.markdown import harmless_markdown
from harness.text.units import interval_text, scale

# Okabe & Ito, Color Universal Design, 2008: distinguishable with every kind of colour vision
_COLOURS = {"copy": "#009E73", "serial": "#D55E00", "parallel": "#0072B2"}
_LABEL = 15.0  # width of a name, px
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 720, 400, 64, 48, 24, 96  # px


@dataclass(frozen=True, slots=True)
class Slope:
    """Seconds that one more stage costs, with the 95 % interval."""

    seconds: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.seconds * 1e3:.0f} ms [{self.low * 1e3:.0f}–{self.high * 1e3:.0f}]"


def summaries(run: Run) -> dict[tuple[str, int], Summary]:
    """Build times by shape and number of stages."""
    series = run.series()
    keys = ((shape, count, (f"stages-{shape}-{count}", "stages.build")) for shape in SHAPES for count in COUNTS)
    return {(shape, count): summarise(series[key].value) for shape, count, key in keys if key in series}


def slope(run: Run, shape: str) -> Slope | None:
    """The cost of one more stage: the median slope over all pairs of builds, with Sen's interval.

    Theil 1950; Sen, Estimates of the Regression Coefficient Based on Kendall's Tau, JASA 63 (1968). None for one count.
    """
    points = [
        (float(count), float(value))
        for count in COUNTS
        if (samples := run.series().get((f"stages-{shape}-{count}", "stages.build"))) is not None
        for value in samples.value
    ]
    if len({count for count, _ in points}) < 2:
        return None
    found = stats.theilslopes([y for _, y in points], [x for x, _ in points], alpha=CONFIDENCE)
    return Slope(float(found.slope), float(found.low_slope), float(found.high_slope))


def render(run: Run, *, markdown: bool = False) -> str:
    """Table of the experiment, with explanations."""
    times = summaries(run)
    measure = scale(METRICS[0], [item.median for item in times.values()])
    rows = []
    for count in COUNTS:
        row: list[str] = [str(count)]
        for shape in SHAPES:
            found = times.get((shape, count))
            shown = f"{measure.text(found.median)} {interval_text(found, measure)}".strip() if found else ""
            row.append(shown or _lacking(run, f"stages-{shape}-{count}"))
        serial, parallel = times.get(("serial", count)), times.get(("parallel", count))
        row.append(f"{serial.median / parallel.median:.2f}×" if serial and parallel else "")
        row += _sizes(run, count)
        rows.append(row)
    header = ["stages", *(f"{shape}, {measure.unit}" for shape in SHAPES), "gain", "fetched, B", "unpacked, B"]
    table = tabulate(rows, header, tablefmt="github" if markdown else "simple", disable_numparse=True)
    said = []
    for shape, title in SHAPES.items():
        said.append(f"- {shape}: {title}. One more stage costs {slope(run, shape) or 'an unknown time'}.")
    gain = "- gain: the median time one after the other, divided by the median time side by side."
    sizes = "- fetched, unpacked: bytes of the final image, from the smallest to the largest of the three shapes."
    return "\n".join([table, "", *said, gain, sizes, ""])


def _lacking(run: Run, cell: str) -> str:
    return "failed" if any(try_.cell == cell for try_ in run.failures) else "–"


def _sizes(run: Run, count: int) -> list[str]:
    texts = []
    for metric in ("stages.transfer", "stages.unpacked"):
        keys = [(f"stages-{shape}-{count}", metric) for shape in SHAPES]
        values = sorted(float(value) for key in keys if key in run.series() for value in run.series()[key].value)
        ends = dict.fromkeys(f"{value:.0f}" for value in (values[:1] + values[-1:]))
        texts.append("–".join(ends) or "–")
    return texts


def chart(run: Run) -> str:
    """An SVG of the build times: both axes logarithmic, medians joined, every sample visible."""
    series = run.series()
    points = {
        shape: [
            (count, [float(v) for v in series[f"stages-{shape}-{count}", "stages.build"].value])
            for count in COUNTS
            if (f"stages-{shape}-{count}", "stages.build") in series
        ]
        for shape in SHAPES
    }
    values = [value for line in points.values() for _, samples in line for value in samples]
    if not values:
        return ""
    axis = _Axis(min(values), max(values))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-family="sans-serif"',
        ' font-size="13"><title>Build time against the number of stages</title>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
    ]
    for tick in axis.ticks():
        y = axis.y(tick)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#444">{tick:g} s</text>')
    below = _HEIGHT - _BOTTOM + 20
    parts += [
        f'<text x="{axis.x(count):.1f}" y="{below}" text-anchor="middle" fill="#444">{count}</text>' for count in COUNTS
    ]
    parts.append(f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">stages</text>')
    for shape, line in points.items():
        parts += _line(shape, line, axis)
    parts += _labels(points, axis)
    return "\n".join([*parts, "</svg>", ""])


def _line(shape: str, line: Sequence[tuple[int, Sequence[float]]], axis: _Axis) -> list[str]:
    colour = _COLOURS[shape]
    medians = [(axis.x(count), axis.y(summarise(samples).median)) for count, samples in line]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in medians)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    parts += [
        f'<circle cx="{axis.x(count):.1f}" cy="{axis.y(value):.1f}" r="3" fill="{colour}" fill-opacity="0.5"/>'
        for count, samples in line
        for value in samples
    ]
    return parts


def _labels(points: Mapping[str, Sequence[tuple[int, Sequence[float]]]], axis: _Axis) -> list[str]:
    """The shapes' names at the ends of their lines, without overlap."""
    ends = [
        (axis.y(summarise(line[-1][1]).median), axis.x(line[-1][0]), shape) for shape, line in points.items() if line
    ]
    parts, above = [], -_LABEL
    for y, x, shape in sorted(ends):
        above = max(y, above + _LABEL)
        parts.append(f'<text x="{x + 10:.1f}" y="{above + 4:.1f}" fill="{_COLOURS[shape]}">{shape}</text>')
    return parts


class _Axis:
    """The position of a number of stages and a time in the chart."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = math.log10(low / 1.15), math.log10(high * 1.15)

    def x(self, count: int) -> float:
        return _LEFT + 12 + (_WIDTH - _LEFT - _RIGHT - 24) * math.log2(count) / math.log2(COUNTS[-1])

    def y(self, seconds: float) -> float:
        share = (math.log10(seconds) - self._low) / (self._high - self._low)
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)

    def ticks(self) -> list[float]:
        """1, 2 and 5 times the powers of ten within the chart."""
        decades = range(math.floor(self._low), math.ceil(self._high) + 1)
        marks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
        return [mark for mark in marks if self._low <= math.log10(mark) <= self._high]


def documents(run: Run) -> Mapping[str, str]:
    """The documents of a run's folder, by file name."""
    title = f"# Stages: run {run.id}\n\nEnvironment {run.manifest.environment.fingerprint}.\n\n"
    text = (
        harmless_markdown(title + render(run, markdown=True))
        + "\n![Build time against the number of stages](stages.svg)\n"
    )
    return {"stages.md": text, "stages.svg": chart(run)}
