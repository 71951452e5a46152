"""trends.html: every series of the history in one file that works offline; series that need attention come first.

Charts are drawn in the page as in report.html (harness/report/page/page.py says why), when they come into view. Words
also say what needs attention, so that it is readable without a script. A page holds at most `MOST_POINTS` nights and
`MOST_SAMPLES` samples: series that need attention are shown whole, other series with their last nights, and the page
says how many of how many.
"""

from __future__ import annotations

import html
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from harness.errors import StoreError
from harness.host.files import replace_file
from harness.model import differing
from harness.nights.history import History
from harness.nights.records import Key
from harness.nights.watch import Watch, Watched, is_worse
from harness.report.trends import amount, answered, causes, causes_of, date, describe, nights_of, percent, span, told
from harness.settings import GENERATOR
from harness.stats.changepoints import ChangeKind, LevelChange

MOST_POINTS = 150_000  # nights of series
MOST_SAMPLES = 120_000
_ATTENTION = 5  # series with an urgency below this need attention
_MOST_CARDS = 40
_MOST_CAUSES = 6
_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "question.js", "trends.js")
_WORDS = {0: "alarm", 1: "warning", 2: "suspect", 3: "changed", 4: "changed"}

Json = dict[str, object]


def write_page(found: Watch, results: Path, path: Path) -> None:
    """Write the page. Raises StoreError if it cannot be written."""
    text = render(found, results, link=os.path.relpath(results, path.parent))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)
    except OSError as error:
        raise StoreError.unwritable(path, error) from error


def render(found: Watch, results: Path, *, link: str = ".") -> str:
    """The whole page. `results` holds the runs from which causes are read; `link` is the path to it from the page."""
    charts = _charts(found)
    attention = [chart for chart in charts if chart.urgency[0] < _ATTENTION]
    data = {**_data(found, charts, results), "results": link}
    embedded = orjson.dumps(data).decode().replace("<", "\\u003c")
    scripts = "".join(f"<script>{_asset(name)}</script>" for name in _SCRIPTS)
    nav = "".join(
        f'<a href="#{name}">{title}</a>'
        for name, title in (("attention", "Attention"), ("series", "All series"), ("environments", "Environments"))
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{GENERATOR}
<title>Trends: {_h(nights_of(found))}</title>
<link rel="icon" href="data:,">
<style>{_asset("page.css")}{_asset("trends.css")}</style>
</head>
<body>
<a class="skip" href="#attention">Skip to what needs attention</a>
<nav aria-label="Sections"><div>{nav}
<span class="tools"><button id="theme" type="button">Theme</button></span></div></nav>
<header><div>{_title(found)}</div></header>
<main>{_stale(found)}{_attention(attention, results)}{_all(charts)}{_environments(found)}
<aside id="night" hidden></aside></main>
<footer>Written by Tare from {len(found.nights)} run folders. Nothing in this page is fetched from anywhere.</footer>
<script type="application/json" id="data">{embedded}</script>
{scripts}
</body>
</html>
"""


def _asset(name: str) -> str:
    return files("harness.report.page").joinpath("assets", *name.split("/")).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Chart:
    """One cell, metric and track: its series in one environment after the other, the newest last."""

    number: int
    parts: tuple[Watched, ...]

    @property
    def last(self) -> Watched:
        return self.parts[-1]

    @property
    def urgency(self) -> tuple[int, float]:
        return self.last.urgency

    @property
    def name(self) -> str:
        return f"{self.last.key.cell or 'engine'} {self.last.key.metric}"


def _charts(found: Watch) -> list[_Chart]:
    """The most urgent first."""
    by_name: dict[tuple[str, str, str], list[Watched]] = {}
    for item in found.series:
        by_name.setdefault((item.key.cell, item.key.metric, item.key.track), []).append(item)
    charts = [tuple(sorted(parts, key=lambda item: item.line.at[-1])) for parts in by_name.values()]
    charts.sort(key=lambda parts: (parts[-1].urgency, not parts[-1].line.metric.headline, parts[-1].key))
    return [_Chart(number, parts) for number, parts in enumerate(charts)]


# ── words ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _title(found: Watch) -> str:
    if not found.nights:
        how = "<code>tare nightly</code> measures a night and writes this page again."
        return f'<h1>No night is stored</h1><p class="soft">{how}</p>'
    counts: dict[str, int] = {}
    for item in found.series:
        if item.urgency[0] < _ATTENTION:
            word = _WORDS[item.urgency[0]]
            counts[word] = counts.get(word, 0) + 1
    said = ", ".join(
        f"{count} {word}{'s' if count > 1 and word != 'changed' else ''}" for word, count in counts.items()
    )
    first, last = found.nights[0], found.nights[-1]
    state = said or ("nothing needs attention" if not found.stale else "data is stale or missing")
    return (
        f"<h1>{_h(state[0].upper() + state[1:])}</h1>"
        f'<p class="soft">{_h(nights_of(found))}, from {date(first.started)} to {date(last.started)}; '
        f"{len(found.series)} series. The last run is {_h(last.run)}, "
        f"{time.strftime('%H:%M UTC', time.gmtime(last.started))}.</p>"
    )


def _stale(found: Watch) -> str:
    if not found.stale:
        return ""
    items = "".join(f"<p>{_h(item.what)}</p>" for item in found.stale)
    return f'<div class="banner" role="alert"><p><b>Stale or missing data</b></p>{items}</div>'


def _attention(charts: Sequence[_Chart], results: Path) -> str:
    if not charts:
        return '<section id="attention"><h2>Needs attention</h2><p>Nothing.</p></section>'
    cards = "".join(_card(chart, results) for chart in charts[:_MOST_CARDS])
    more = f'<p class="soft">{len(charts) - _MOST_CARDS} more below.</p>' if len(charts) > _MOST_CARDS else ""
    return f'<section id="attention"><h2>Needs attention</h2><div class="watch">{cards}</div>{more}</section>'


def _card(chart: _Chart, results: Path) -> str:
    item = chart.last
    word, index, before, after = told(item)
    kind = _WORDS[item.urgency[0]]
    badge = word.lower() if word != "changed" else "worse" if is_worse(item.line.metric, before, after) else "changed"
    found = causes(item, index, results)
    said = "".join(f"<li>{_h(cause.text)}</li>" for cause in found[:_MOST_CAUSES])
    more = f"<li>and {len(found) - _MOST_CAUSES} more differences</li>" if len(found) > _MOST_CAUSES else ""
    because = f"<ul>{said}{more}</ul>" if found else '<p class="soft">No known input differs.</p>'
    return (
        f'<article class="card {kind}"><header><span class="app">{_h(chart.name)}</span>'
        f'<span class="badge {badge}">{_h(badge)}</span></header>'
        f'<p class="take">{_h(percent(before, after))} <small>{_h(span(item.line.metric, before, after))}, '
        f"since {date(item.line.at[index])}, track {_h(item.key.track)}</small></p>"
        f'<p class="sure">{_h(_how(item))}</p>{because}'
        f'<figure><div class="plot" data-chart="{chart.number}"></div></figure></article>'
    )


def _how(item: Watched) -> str:
    if alarm := item.alarm:
        said = f"{alarm.cause[0].upper()}{alarm.cause[1:]}"
        if alarm.confirmation:
            answer = alarm.confirmation.ratio
            said += f": {answer.estimate:.3f}× in {answer.n} pairs"
        return f'{said}. If the change is intended: tare accept {item.key.cell} {item.key.metric} --reason "…"'
    if item.suspicion and item.urgency[0] == 2:
        nights = item.suspicion.nights
        since = "One night jumped" if nights == 1 else f"The last {nights} nights"
        return f"{since}; {answered(item) or 'not confirmed'}."
    change = told(item)[1]
    kinds = {c.index: c.kind for c in item.changes}
    return {
        ChangeKind.EXACT: "This metric is exact, so any change counts.",
        ChangeKind.DRIFT: "A drift: the metric changes a little every night.",
        ChangeKind.STEP: "A step, found in the history.",
    }[kinds.get(change, ChangeKind.STEP)]


def _all(charts: Sequence[_Chart]) -> str:
    """Headline series by app, drawn when opened; all other series are found by name."""
    by_app: dict[str, list[_Chart]] = {}
    for chart in sorted(charts, key=lambda chart: (chart.last.key.cell, chart.number)):
        app = chart.last.key.cell.partition("-")[0] or "engine"
        by_app.setdefault(app, []).append(chart)
    parts = []
    for app, own in by_app.items():
        boxes = "".join(
            f'<figure data-name="{_h(chart.name)} {_h(chart.last.key.track)}"'
            f"{'' if chart.last.line.metric.headline else ' hidden data-rest'}>"
            f"<figcaption><b>{_h(chart.name)}</b> {_h(chart.last.key.track)}: {_h(_level(chart.last))} "
            f'<label class="screen"><input type="checkbox" data-over="{chart.number}"> lay over</label></figcaption>'
            f'<div class="plot" data-chart="{chart.number}"></div></figure>'
            for chart in own
        )
        parts.append(
            f'<details class="app"><summary>{_h(app)} <small>{len(own)} series</small></summary>'
            f'<div class="charts small">{boxes}</div></details>'
        )
    search = (
        '<p class="row screen"><label>Show series with '
        '<input id="find" type="search" placeholder="slim start.warm"></label>'
        '<label><input id="rest" type="checkbox"> not only headlines</label>'
        '<label>from <input id="from" type="date"></label><label>to <input id="to" type="date"></label></p>'
        '<p class="soft screen">The address of this page holds what is shown: share it. Select a point for its run.</p>'
        '<figure id="laid" hidden><figcaption><b>Laid over each other</b>, each relative to the median of the first '
        'nights of its baseline</figcaption><div class="plot"></div></figure>'
    )
    return f'<section id="series"><h2>All series</h2>{_LEGEND}{search}{"".join(parts)}</section>'


_LEGEND = (
    '<p class="legend">'
    + "".join(
        f'<span><i class="key {key}"></i>{text}</span>'
        for key, text in (
            ("dot", "samples"),
            ("line", "median of the night"),
            ("band", "its 95 % interval"),
            ("bad", "got worse"),
            ("good", "got better"),
            ("break", "new environment"),
            ("accepted", "accepted"),
        )
    )
    + "</p>"
)


def _level(item: Watched) -> str:
    value = float(item.line.median[-1])
    return amount(item.line.metric, value, value)


def _environments(found: Watch) -> str:
    nights: dict[str, list[float]] = {}
    for night in found.nights:
        nights.setdefault(night.fingerprint, []).append(night.started)
    rows, before = [], None
    for print_, times in sorted(nights.items(), key=lambda item: item[1][0]):
        facts = found.environments.get(print_, {})
        rows.append(
            f"<tr><th>{_h(print_)}</th><td>{date(times[0])} to {date(times[-1])}</td><td>{len(times)}</td>"
            f'<td class="wrap">{_h("; ".join(_news(before, facts)))}</td></tr>'
        )
        before = facts
    table = (
        '<div class="scroll"><table><thead><tr><th>environment</th><th>nights</th><th>runs</th>'
        f'<th class="text">facts, or what is new</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )
    said = '<p class="soft">Values of different environments are never compared.</p>'
    return f'<section id="environments"><h2>Environments</h2>{said}{table}</section>'


def _news(before: Mapping[str, str] | None, facts: Mapping[str, str]) -> list[str]:
    if before is None:
        return [f"{name} {value}" for name, value in facts.items()]
    return list(differing(before, facts))


def _h(text: str) -> str:
    return html.escape(str(text))


# ── data ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _data(found: Watch, charts: Sequence[_Chart], results: Path) -> Json:
    urgent = {item.key for chart in charts if chart.urgency[0] < _ATTENTION for item in chart.parts}
    points = sum(len(item.line.runs) for item in found.series if item.key in urgent)
    others = max(len(found.series) - len(urgent), 1)
    kept = max((MOST_POINTS - points) // others, 30)
    samples = _samples(found, results, urgent, kept)
    return {
        "runs": [{"run": night.run, "git": night.git} for night in found.nights],
        "metrics": {
            item.line.metric.name: {"unit": item.line.metric.unit.value, "help": item.line.metric.help}
            for item in found.series
        },
        "charts": [_chart(found, chart, results, urgent, kept, samples) for chart in charts],
    }


def _samples(found: Watch, results: Path, urgent: set[Key], kept: int) -> dict[Key, tuple[NDArray[np.float64], ...]]:
    """Samples by series and night, for as many series as the page has room for; urgent series come first."""
    room, wanted = MOST_SAMPLES, []
    for item in found.series:  # by urgency
        count = int(item.line.n.sum() if item.key in urgent else item.line.n[-kept:].sum())
        if not item.line.metric.deterministic and (item.line.metric.headline or item.key in urgent) and count <= room:
            room -= count
            wanted.append(item.key)
    with History.open(results) as history:
        return {line.key: line.samples for line in history.lines(wanted, samples=True)}


def _chart(
    found: Watch,
    chart: _Chart,
    results: Path,
    urgent: set[Key],
    kept: int,
    samples: Mapping[Key, tuple[NDArray[np.float64], ...]],
) -> Json:
    parts: list[Json] = []
    places = {night.run: place for place, night in enumerate(found.nights)}
    before: Watched | None = None
    for item in chart.parts:
        first = 0 if item.key in urgent else max(len(item.line.runs) - kept, 0)
        line = item.line
        facts = found.environments.get(item.key.fingerprint, {})
        known = found.environments.get(before.key.fingerprint, {}) if before else None
        part: Json = {
            "env": item.key.fingerprint,
            "new": list(differing(known, facts)) if known is not None else [],
            "at": [round(at) for at in line.at[first:].tolist()],
            "r": [places[run] for run in line.runs[first:]],
            "m": _short(line.median[first:]),
            "lo": _short(line.low[first:]),
            "hi": _short(line.high[first:]),
            "of": len(line.runs),
            "changes": [
                _change(item, change, first, results, deep=item.key in urgent or line.metric.headline)
                for change in item.changes
                if change.index >= first
            ],
            "accepted": [[index - first, reason] for index, reason in item.accepted.items() if index >= first],
        }
        if item.key in samples:
            part["s"] = [_short(values) for values in samples[item.key][first:]]
        parts.append(part)
        before = item
    key = chart.last.key
    record: Json = {"cell": key.cell, "metric": key.metric, "track": key.track, "parts": parts}
    if alarm := chart.last.alarm:
        record["alarm"] = {"i": alarm.index, "hard": alarm.severity.value == "hard", "what": str(alarm.cause)}
        if alarm.budget.limit is not None:
            record["limit"] = alarm.budget.limit
    return record


def _change(item: Watched, change: LevelChange, first: int, results: Path, *, deep: bool) -> Json:
    found = causes_of(results, item.line.runs, change.index, item.key.cell) if deep else ()
    side = "neutral"
    if item.line.metric.direction.value != "neither":
        side = "bad" if is_worse(item.line.metric, change.before, change.after) else "good"
    return {
        "i": change.index - first,
        "kind": change.kind.value,
        "side": side,
        "text": describe(change, item.line.metric),
        "before": _rounded(change.before),
        "after": _rounded(change.after),
        "causes": [cause.text for cause in found[:_MOST_CAUSES]],
    }


def _short(values: Iterable[float]) -> list[float | None]:
    return [None if value != value else _rounded(value) for value in map(float, values)]  # NaN is not equal to itself


def _rounded(value: float) -> float:
    """Seven digits: a byte in ten megabytes is still visible."""
    return float(f"{value:.7g}")
