"""The text of what needs attention in a history: alarms, suspicions and changes with their causes, and stale data."""

from __future__ import annotations

import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import StoreError
from harness.model import Metric
from harness.nights.alarms import Cause
from harness.nights.blame import RunDifference, differences
from harness.nights.budgets import Severity
from harness.nights.stale import STOPPED_WITHIN
from harness.nights.watch import Watch, Watched
from harness.stats.changepoints import ChangeKind, LevelChange
from harness.stats.intervals import Ratio, Verdict
from harness.text.markdown import harmless_markdown
from harness.text.units import Scale, counted, scale

_MOST_CAUSES = 5
_TRIFLE = 1024  # B: dates in a layer change its size by this much
_MOST_DECIMALS = 6  # a byte in megabytes


def render(found: Watch, results: Path, *, width: int = 100, most: int = 20) -> str:
    """The summary of a night: one line that says that all is well, or the problems, the most urgent first."""
    lines = [_heading(found)]
    lines += [f"stale: {item.what}" for item in found.stale]
    shown = [item for item in found.series if item.urgency[0] < 5]
    for item in shown[:most]:
        lines += _entry(item, results)
    if len(shown) > most:
        lines.append(f"… and {len(shown) - most} more: see trends.html")
    wrapped = (
        textwrap.fill(line, width, subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False)
        for line in lines
    )
    return "\n".join(wrapped) + "\n"


def render_markdown(found: Watch, results: Path, *, most: int = 20) -> str:
    """The same as Markdown, for a run's page."""
    lines = [f"**{_heading(found)}**", ""]
    lines += [f"- stale: {item.what}" for item in found.stale]
    shown = [item for item in found.series if item.urgency[0] < 5]
    if shown:
        lines += ["", "| | cell | metric | track | before | after | | since | what changed |"]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
    for item in shown[:most]:
        word, index, before, after = told(item)
        cells = (
            word,
            item.key.cell or "engine",
            f"`{item.key.metric}`",
            item.key.track,
            amount(item.line.metric, before, after),
            amount(item.line.metric, after, before),
            percent(before, after),
            date(item.line.at[index]),
            "; ".join(cause.text for cause in causes(item, index, results)) or "–",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return harmless_markdown("\n".join(lines) + "\n")


def told(item: Watched) -> tuple[str, int, float, float]:
    """The most urgent event of a series: its kind, its night, and the levels before and after."""
    if alarm := item.alarm:
        word = "ALARM" if alarm.severity is Severity.HARD else "warning"
        return word, alarm.index, alarm.before, alarm.after
    if item.suspicion and item.urgency[0] == 2:
        nights = item.suspicion.nights
        return "suspect", len(item.line.runs) - nights, item.suspicion.before, item.suspicion.after
    recent = [c for c in item.changes if c.index >= len(item.line.runs) - STOPPED_WITHIN] or list(item.changes)
    change = recent[-1]
    return ("drift" if change.kind is ChangeKind.DRIFT else "changed"), change.index, change.before, change.after


def causes(item: Watched, index: int, results: Path) -> tuple[RunDifference, ...]:
    """The differences between a night of a series and the night before, the most likely cause first."""
    return causes_of(results, item.line.runs, index, item.key.cell)


def causes_of(results: Path, runs: Sequence[str], index: int, cell: str) -> tuple[RunDifference, ...]:
    """The same as `causes`. Empty if a folder is gone, because the index may still list it."""
    if not 0 < index < len(runs):
        return ()
    try:
        found = differences(results / runs[index - 1], results / runs[index], cell)
    except StoreError:
        return ()
    return tuple(sorted(found, key=_place))


def _place(difference: RunDifference) -> tuple[int, int]:
    """The largest first, then causes without a size; a layer that was built again differs by some bytes and comes
    last.
    """
    weight = abs(difference.bytes)
    return (0 if weight >= _TRIFLE else 1 if not weight else 2), -weight


_ANSWERS = {
    Verdict.WORSE: "the A/B says worse, but within the budget",
    Verdict.BETTER: "the A/B says better",
    Verdict.DIFFERENT: "the A/B says different",
    Verdict.SAME: "the A/B says no practical difference",
    Verdict.UNDECIDED: "the A/B is undecided",
}


def answered(item: Watched) -> str:
    """The result of the newest night's A/B for a series without an alarm; "" if there was no A/B."""
    if not item.answer:
        return ""
    ratio = item.answer.ratio
    more = (
        f"; about {ratio.more} more pair{'s' * (ratio.more != 1)} needed"
        if ratio.verdict is Verdict.UNDECIDED and ratio.more
        else ""
    )
    return f"{_ANSWERS[ratio.verdict]} ({_pairs(ratio)}{more})"


def _pairs(ratio: Ratio) -> str:
    bounds = f" [{ratio.low:.3f}–{ratio.high:.3f}]" if ratio.low and ratio.high else ""
    return f"{ratio.estimate:.3f}×{bounds}, {ratio.n} pairs"


def describe(change: LevelChange, metric: Metric) -> str:
    """`312 → 316 MB (+1.3 %)`."""
    return f"{span(metric, change.before, change.after)} ({percent(change.before, change.after)})"


def span(metric: Metric, before: float, after: float) -> str:
    measure = _apart(metric, before, after)
    return f"{measure.text(before)} → {measure.amount(after)}"


def amount(metric: Metric, value: float, other: float) -> str:
    """A value with its unit, with enough digits to distinguish it from `other`."""
    measure = _apart(metric, value, other)
    return measure.amount(value)


def _apart(metric: Metric, one: float, other: float) -> Scale:
    """The unit of both, and enough decimals to distinguish them."""
    measure = scale(metric, [one, other])
    while one != other and measure.text(one) == measure.text(other) and measure.decimals < _MOST_DECIMALS:
        measure = replace(measure, decimals=measure.decimals + 1)
    return measure


def percent(before: float, after: float) -> str:
    if not before:
        return "from nothing" if after else "±0 %"
    share = 100 * (after / before - 1)
    return f"{share:+.1f} %" if abs(share) < 100 else f"{after / before:.1f}×"


def date(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def nights_of(found: Watch) -> str:
    """How many nights each track has: "3 nights pinned, 1 night floating"."""
    tracks = Counter(night.track for night in found.nights)
    return ", ".join(f"{count} {'night' if count == 1 else 'nights'} {track}" for track, count in tracks.items())


def _heading(found: Watch) -> str:
    if not found.nights:
        return "No night is stored."
    last = found.nights[-1]
    counts = dict.fromkeys(("ALARM", "warning", "suspect", "drift", "changed"), 0)
    for item in found.series:
        if item.urgency[0] < 5:
            counts[told(item)[0]] += 1
    said = [
        f"{count} changed" if word == "changed" else counted(count, word.lower())
        for word, count in counts.items()
        if count
    ]
    said += [f"{len(found.stale)} stale"] if found.stale else []
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(last.started))
    state = ", ".join(said) if said else "nothing needs attention"
    return (
        f"{nights_of(found)}, {len(found.series)} series; the last is {last.run} ({when}), "
        f"environment {last.fingerprint}: {state}."
    )


def _entry(item: Watched, results: Path) -> Iterator[str]:
    word, index, before, after = told(item)
    levels = f"{span(item.line.metric, before, after)} ({percent(before, after)})"
    track = "" if item.key.track == "pinned" else f" [{item.key.track}]"
    since = f"since {date(item.line.at[index])} ({item.line.runs[index]})"
    how = ""
    if item.alarm:
        how = f": {item.alarm.cause}"
        if item.alarm.confirmation and (ratio := item.alarm.confirmation.ratio):
            how += f" ({_pairs(ratio)})"
        elif item.alarm.cause is Cause.LIMIT:
            levels = f"{amount(item.line.metric, after, before)}, limit {amount(item.line.metric, before, after)}"
    elif item.suspicion and word == "suspect":
        p = item.suspicion.p
        how = ": one night jumped" if p is None else f": {item.suspicion.nights} nights, p = {p:.3f}"
        how += f"; {said}" if (said := answered(item)) else ""
    yield f"{word:<7} {item.key.cell or 'engine'} {item.key.metric}{track}: {levels} {since}{how}"
    found = causes(item, index, results)
    for cause in found[:_MOST_CAUSES]:
        yield f"        {cause.text}"
    if len(found) > _MOST_CAUSES:
        yield f"        … and {len(found) - _MOST_CAUSES} more differences"
    if word in ("ALARM", "warning"):
        yield f'        If the change is intended: tare accept {item.key.cell} {item.key.metric} --reason "…"'
