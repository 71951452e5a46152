"""The comment of a gate that measured two revisions: verdict, table of changes with intervals, likely causes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from harness.nights.blame import differences
from harness.nights.judged import BASE, HEAD, RevisionRow
from harness.nights.revisions import Revisions
from harness.report.trends import amount, percent
from harness.run.plan import ENOUGH_BLOCKS

MARK = "<!-- tare-gate -->"  # a workflow finds its comment by this mark
_MOST_BLAMED = 3
_MOST_ROWS = 40
_MOST_FAILED = 4
_LEAST_BLAMED = 0.01  # of what weighs most
_WORDS = {0: "passed", 1: "failed", 2: "could not decide"}


def render(found: Revisions) -> str:
    """The comment as Markdown; its first line is `MARK`."""
    shown = [row for row in found.rows if row.broken or row.open or _is_changed(row)]
    shown.sort(key=lambda row: (not row.fails, not row.broken, not row.open, row.cell, row.metric.name))
    lines = [MARK, f"**Gate: {_WORDS[found.exit_code]}**: {found.head[:12]} against {found.base[:12]}.", ""]
    lines.append(f"{_measured(found)} {_same(found.same)}")
    if shown:
        lines += ["", "| | cell | metric | base | head | change | 95 % interval | budget | because |"]
        lines += ["|---|---|---|--:|--:|--:|---|---|---|"]
        lines += [_line(row, found.run) for row in shown[:_MOST_ROWS]]
        if len(shown) > _MOST_ROWS:
            lines.append(f"\n… and {len(shown) - _MOST_ROWS} more rows.")
    lines += ["", *_notes(found)]
    return "\n".join(lines).rstrip() + "\n"


def _same(count: int) -> str:
    if not count:
        return "The change affects every cell."
    return f"The change does not affect {_counted(count, 'cell')}."


def _measured(found: Revisions) -> str:
    if found.run is None:
        return "Nothing was measured."
    pairs = "Change and interval are of the pairs of each block."
    return f"{_counted(len(found.rows), 'budgeted metric')} measured in interleaved blocks. {pairs}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _notes(found: Revisions) -> Iterator[str]:
    if still := [row for row in found.rows if row.open]:
        yield f"Undecided: {_counted(len(still), 'metric')}."
        if more := max(row.more or 0 for row in still):
            time = f"{math.ceil(found.seconds / 60)}m"
            yield f"It would take about {_counted(more, 'more block')}: --budget {time}."
        if hopeless := [row for row in still if row.more is None]:
            yield (
                f"{_counted(len(hopeless), 'metric')} would take more than {ENOUGH_BLOCKS} blocks: the change is about "
                "as large as the budget allows. Reduce the change, or let the budget in budgets.toml allow more."
            )
    yield from (f"Failed: {_plain(reason)}." for reason in found.failed[:_MOST_FAILED])
    if found.missing:
        yield f"Not measured: {', '.join(found.missing[:8])}{' …' if len(found.missing) > 8 else ''}."
        if not found.failed:  # nothing went wrong, so perhaps no block was complete
            yield f"If the time was too short: --budget {math.ceil(2 * found.seconds / 60)}m."
    if found.gone:
        yield f"Only one revision has: {', '.join(found.gone)}."
    if found.run:
        yield f"Run folder: `{found.run}`"


def _is_changed(row: RevisionRow) -> bool:
    if row.answer is None:
        return row.before != row.after
    return row.answer.verdict.value in ("better", "worse")


def _line(row: RevisionRow, run: Path | None) -> str:
    answer = row.answer
    interval = f"{answer.low:.3f}–{answer.high:.3f}×" if answer and answer.low and answer.high else "exact"
    if answer and not answer.low:
        interval = "too few blocks"
    share = percent(1.0, answer.estimate) if answer else percent(row.before, row.after)
    word = "**fail**" if row.fails else "warn" if row.broken else "undecided" if row.open else "ok"
    allowed = [f"+{100 * row.budget.growth:g} %"] if row.budget.growth is not None else []
    allowed += [amount(row.metric, row.budget.limit, row.budget.limit)] if row.budget.limit is not None else []
    cells = (
        word,
        row.cell,
        f"`{row.metric.name}`",
        amount(row.metric, row.before, row.after),
        amount(row.metric, row.after, row.before),
        share,
        interval,
        ", ".join(allowed),
        "; ".join(_blame(row, run)) or "–",
    )
    return "| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """One line without tags, for Markdown."""
    return " ".join(text.split()).replace("<", "&lt;")


def _blame(row: RevisionRow, run: Path | None) -> list[str]:
    """The layers and packages with the most bytes, then other differences."""
    if run is None:
        return []
    found = differences(run, run, row.cell + BASE, after_cell=row.cell + HEAD)
    most = max((abs(item.bytes) for item in found), default=0)
    weighty = [item for item in found if item.bytes and abs(item.bytes) >= most * _LEAST_BLAMED]
    weighty.sort(key=lambda item: -abs(item.bytes))
    plain = [item for item in found if not item.bytes and item.kind != "versions"]
    return [item.text for item in (*weighty, *plain)][:_MOST_BLAMED]
