"""The summary of a night: what was measured, which images were compared, the results, and the state of the history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.nights.nightly import Comparison, NightResult
    from harness.nights.records import Confirmation


def summary(night: NightResult, text: str) -> str:
    """The night's own lines, then `text`, the summary of the history."""
    return "\n".join([*_lines(night), text])


def summary_markdown(night: NightResult, text: str) -> str:
    """The same in Markdown: the night's own lines are a list."""
    return "\n".join([*(f"- {line}" for line in _lines(night)), "", text])


def _lines(night: NightResult) -> Iterator[str]:
    yield from (f"track {track}: {run}" for track, run in night.runs.items())
    yield from (f"track {track}: NOT MEASURED: {reason}" for track, reason in night.failed.items())
    yield from map(_compared, night.compared)
    yield from (f"good image: {text}" for text in night.promoted)
    yield from (f"not confirmed: {reason}" for reason in night.unconfirmed)


def _compared(item: Comparison) -> str:
    """Which two images were compared, why, since when the good image is good, and the answer for each metric."""
    pairing, good = item.pairing, item.pairing.good
    since = f" of {good.night}" if good.night else ""
    because = f" ({good.why})" if good.why else ""
    answers = "; ".join(map(_answer, item.answers)) or "no block holds both"
    return (
        f"A/B {item.run}: {pairing.cell} ({item.track}, {pairing.why}): tonight's image {_short(pairing.new)} "
        f"against the good image {_short(good.image)}{since}{because}: {answers}"
    )


def _answer(answer: Confirmation) -> str:
    ratio = answer.ratio
    bounds = f" [{ratio.low:.3f}–{ratio.high:.3f}]" if ratio.low and ratio.high else ""
    return f"{answer.metric} {ratio.estimate:.3f}×{bounds} in {ratio.n} pairs, {ratio.verdict}"


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:12]
