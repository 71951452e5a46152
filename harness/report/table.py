"""Tables for a terminal or a Markdown page: per app, strategies as rows and metrics as columns."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tabulate import tabulate

from harness.decision.choice import listed
from harness.decision.figures import FLOOR, Analysis, Figures, apps, select, successes
from harness.model import Direction, Metric, Try
from harness.report.calibration import sentence
from harness.report.words import unmeasured_lines
from harness.stats.intervals import PRACTICAL, Method, Verdict, summarise
from harness.store.run import CellInfo, Run
from harness.text.units import Scale, counted, interval_text, ratio_text, scale, summary_text

Style = Literal["terminal", "markdown"]

_LOG_LINES = 4
_STICKY = "\N{NO-BREAK SPACE}"
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def render(
    run: Run,
    *,
    style: Style = "terminal",
    width: int = 100,
    metrics: Sequence[str] = (),
    full: bool = False,
    only: str | None = None,
    analysis: Analysis | None = None,
) -> str:
    """The run as text, `width` columns wide: heading, a table per app with notes, and what each metric means.

    Headline metrics are shown; `full` shows all, `metrics` those that match a pattern. `analysis` is of the run, if it
    exists already. Raises UsageError for a pattern that matches none.
    """
    chosen = [metric for metric in select(run, metrics, full=full) if metric.group != FLOOR]
    shown = (analysis or Analysis(run)).figures(chosen)
    page = _Page(run, shown, style, width, apart=full)
    measured = [metric for metric in chosen if page.has(metric, run.manifest.cells)]
    parts = [page.heading([metric for metric in chosen if metric not in measured])]
    for app, cells in apps(run).items():
        if only not in (None, app):
            continue
        here = [metric for metric in measured if page.has(metric, cells)]
        parts.append(page.app(cells, here))
    parts += [page.floor(chosen), page.legend(), page.help(measured)]
    return "\n\n".join(part for part in parts if part) + "\n"


@dataclass(slots=True)
class _Column:
    """One metric of one app: header lines and a text per row."""

    metric: Metric
    header: tuple[str, str]
    texts: list[str]

    @property
    def width(self) -> int:
        return max(map(len, (*self.header, *self.texts)))


@dataclass(slots=True)
class _Notes:
    """Numbered reasons below a table: one per cell, status and reason, however many tries failed."""

    run: Run
    reasons: dict[tuple[str, str, str], list[Try]] = field(default_factory=dict)

    def mark(self, tries: Sequence[Try]) -> str:
        numbers = []
        for try_ in tries:
            key = try_.cell, try_.status.value, try_.reason
            known = self.reasons.setdefault(key, [])
            if try_ not in known:
                known.append(try_)
            numbers.append(list(self.reasons).index(key) + 1)
        return " ".join(str(number).translate(_SUPERSCRIPT) for number in dict.fromkeys(numbers))

    def entries(self) -> Iterator[tuple[str, str, list[str]]]:
        """Number, text and the tail of the log."""
        for number, ((cell, status, reason), tries) in enumerate(self.reasons.items(), 1):
            places = {(try_.probe, try_.state): try_ for try_ in tries}
            counts = []
            for (probe, state), try_ in places.items():
                failed = sum((other.probe, other.state) == (probe, state) for other in tries)
                place = ".".join(filter(None, (probe, state)))
                counts.append(f"{place} ok {successes(self.run, try_)}, {status} {failed}")
            tail = [line.rstrip() for line in tries[-1].log.splitlines() if line.strip()][-_LOG_LINES:]
            yield str(number), f"{cell}: {reason or status} ({'; '.join(counts)})", tail


class _Page:
    def __init__(self, run: Run, shown: Figures, style: Style, width: int, *, apart: bool) -> None:
        self.run = run
        self.shown = shown
        self.markdown = style == "markdown"
        self.width = width
        self.apart = apart  # each probe in a table of its own

    def has(self, metric: Metric, cells: Sequence[CellInfo]) -> bool:
        marks = (self.shown[cell.id, metric.name] for cell in cells)
        return any(figure.summary or figure.failures for figure in marks)

    def heading(self, missing: Sequence[Metric]) -> str:
        manifest = self.run.manifest
        begun = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(manifest.started))
        git = f"git {manifest.git[:12]}" if manifest.git else ""
        environment = manifest.environment
        facts = [f"{key} {value}" for key, value in environment.facts.items()]
        items = [begun, counted(len(manifest.cells), "cell"), self._blocks(), f"seed {manifest.seed}", git]
        lines = [
            self._items(f"Run {self.run.id}", items),
            self._items(f"Environment {environment.fingerprint}", facts),
            self._wrap(sentence(self.run)),
        ]
        if missing:
            lines.append(self._wrap("Not in this run: " + ", ".join(metric.name for metric in missing)))
        lines += [self._wrap(line) for line in unmeasured_lines(self.run)]
        lines += [self._wrap(f"Warning: {warning}") for warning in self.run.warnings]
        if self.markdown:
            return "\n\n".join([f"# Run {self.run.id}", *lines])
        return "\n".join(lines)

    def app(self, cells: Sequence[CellInfo], metrics: Sequence[Metric]) -> str:
        notes = _Notes(self.run)
        title = f"{cells[0].app}: {cells[0].app_title}"
        parts = [f"## {title}" if self.markdown else f"━━ {title} ".ljust(self.width, "━")]
        failed = {cell.id: text for cell in cells if (text := self._failed_row(cell, metrics, notes))}
        columns = [self._column(metric, cells, failed, notes) for metric in metrics]
        for group in self._groups(columns, cells):
            parts.append(self._grid(group, cells, failed))
            # it is enough to print the reason once
            failed = {cell: text.partition(":")[0] for cell, text in failed.items()}
        if not columns:
            parts.append("Nothing was measured yet.")
        if contents := contents_text(cells):
            parts.append(self._wrap(contents))
        written = [self._note(*entry) for entry in notes.entries()]
        if written:
            parts.append("\n".join(written))
        odd = self._oddities(cells, metrics)
        if odd:
            parts.append(odd)
        return "\n\n".join(parts)

    def floor(self, chosen: Sequence[Metric]) -> str:
        """The engine's time for a static binary that answers at once: nothing can start faster here."""
        samples = {name: item for (cell, name), item in self.run.series().items() if not cell}
        known = {metric.name: metric for metric in self.run.manifest.metrics}
        wanted = {metric.name for metric in known.values() if metric.headline} | {metric.name for metric in chosen}
        names = [name for name in samples if name in wanted] or [name for name in samples if name in known]
        texts = []
        for name in names:
            summary = summarise(samples[name].value, deterministic=known[name].deterministic)
            measure = scale(known[name], [summary.median])
            texts.append(f"{name} {summary_text(summary, measure)}")
        return self._wrap("Engine's floor: " + ", ".join(texts)) if texts else ""

    def legend(self) -> str:
        found = list(self.shown.values())
        ratios = [figure.ratio for figure in found if figure.ratio]
        open_ = [item.more for item in ratios if item.verdict is Verdict.UNDECIDED]
        lines = []
        if any(figure.summary and figure.summary.method not in (Method.NONE, Method.EXACT) for figure in found):
            lines.append("Medians with their 95 % interval, ±(distance to the farther end) or [low–high].")
        if ratios:
            lines.append("× is the ratio to the first row, within blocks.")
        if any(item.verdict is Verdict.SAME and item.p is not None for item in ratios):
            lines.append(f"≈ means no practical difference (within {PRACTICAL:.0%}).")
        if open_:
            span = f"{min(open_)}" if min(open_) == max(open_) else f"{min(open_)} to {max(open_)}"
            need = "block is" if max(open_) == 1 else "blocks are"
            lines.append(f"? means undecided: about {span} more {need} needed.")
        return self._wrap(" ".join(lines))

    def help(self, metrics: Sequence[Metric]) -> str:
        if not metrics:
            return ""
        pad = max(len(metric.name) for metric in metrics) + 2
        lines = []
        for metric in metrics:
            text = metric.help + (" (larger is better)" if metric.direction is Direction.LARGER else "")
            if self.markdown:
                lines.append(f"- `{metric.name}`: {text}")
            else:
                lines.append(self._wrap(f"{metric.name:<{pad}}{text}", indent=pad))
        return "\n".join(lines)

    def _blocks(self) -> str:
        """The number of blocks, and the probes and states that have fewer."""
        known = {metric.name: metric for metric in self.run.manifest.metrics}
        counts: dict[str, dict[str, int]] = {}  # by group, then state
        for (cell, name), series in self.run.series().items():
            if cell and (cell, name) in self.shown:
                states = counts.setdefault(known[name].group, {})
                state = known[name].state
                states[state] = max(states.get(state, 0), int(series.block.max()) + 1)
        most = max((count for states in counts.values() for count in states.values()), default=0)
        rows: list[tuple[str, int]] = []
        for group, states in counts.items():
            alike = len(set(states.values())) == 1  # then the name of the group is enough
            rows += [(group if alike else f"{group}.{state}", count) for state, count in states.items()]
        fewer = ", ".join(f"{key} {count}" for key, count in dict.fromkeys(rows) if count < most)
        return counted(most, "block") + (f" ({fewer})" if fewer else "")

    def _failed_row(self, cell: CellInfo, metrics: Sequence[Metric], notes: _Notes) -> str:
        """Status and reason, if no column of the row has a figure."""
        row = [self.shown[cell.id, metric.name] for metric in metrics]
        tries = [try_ for figure in row for try_ in figure.failures]
        if not tries or any(figure.summary for figure in row):
            return ""
        return f"{tries[0].status} {notes.mark(tries)}: {' '.join(tries[0].reason.split())}"

    def _column(self, metric: Metric, cells: Sequence[CellInfo], failed: dict[str, str], notes: _Notes) -> _Column:
        row = [self.shown[cell.id, metric.name] for cell in cells]
        summaries = [figure.summary for figure in row if figure.summary]
        measure = scale(metric, [summary.median for summary in summaries])
        compared = any(figure.ratio for figure in row)
        doubtful = any(figure.ratio and figure.ratio.verdict is Verdict.UNDECIDED for figure in row)
        fields: list[tuple[str, ...] | str] = []
        for cell, figure in zip(cells, row, strict=True):
            if cell.id in failed:
                fields.append("")
            elif figure.summary:
                own = "1×" if compared and cell is cells[0] else ""
                ratio = ratio_text(figure.ratio) if figure.ratio else own
                fields.append(
                    (
                        measure.text(figure.summary.median),
                        interval_text(figure.summary, measure),
                        ratio if ratio.endswith("?") or not doubtful else ratio + " ",
                        notes.mark(figure.failures),
                    )
                )
            else:
                fields.append(f"{figure.failures[0].status} {notes.mark(figure.failures)}" if figure.failures else "–")
        return _Column(metric, _header(metric, measure, [summary.n for summary in summaries]), self._laid(fields))

    def _laid(self, fields: Sequence[tuple[str, ...] | str]) -> list[str]:
        """Value, interval, ratio and mark under one another; a plain text is set to the left."""
        if self.markdown:
            return [item if isinstance(item, str) else " ".join(" ".join(item).split()) for item in fields]
        laid_out = [item for item in fields if not isinstance(item, str)]
        widths = [max(map(len, part)) for part in zip(*laid_out, strict=True)]
        sides = (str.rjust, str.ljust, str.rjust, str.ljust)
        texts = []
        for item in fields:
            if isinstance(item, str):
                texts.append(item)
            else:
                laid = (side(part, size) for side, part, size in zip(sides, item, widths, strict=True) if size)
                texts.append(" ".join(laid))
        return texts

    def _groups(self, columns: Sequence[_Column], cells: Sequence[CellInfo]) -> Iterator[list[_Column]]:
        """Columns that fit side by side, with the columns of a probe together if possible."""
        if self.markdown and not self.apart:
            if columns:
                yield list(columns)
            return
        room = self.width - max(len(cell.strategy) for cell in cells)
        group: list[_Column] = []
        for index, column in enumerate(columns):
            probe = [other for other in columns[index:] if other.metric.group == column.metric.group]
            first = not group or group[-1].metric.group != column.metric.group
            wanted = probe if first and _wide(probe) <= room else [column]
            if group and (_wide([*group, *wanted]) > room or (first and self.apart)):
                yield group
                group = []
            group.append(column)
        if group:
            yield group

    def _grid(self, columns: Sequence[_Column], cells: Sequence[CellInfo], failed: dict[str, str]) -> str:
        rows = [[cell.strategy, *(column.texts[i] for column in columns)] for i, cell in enumerate(cells)]
        if self.markdown:
            for row, cell in zip(rows, cells, strict=True):
                if cell.id in failed:
                    row[1] = failed[cell.id].replace("|", "\\|").replace("\n", " ")
            header = ["", *(f"{column.header[0]}, {column.header[1]}" for column in columns)]
            return tabulate(rows, header, tablefmt="github", disable_numparse=True)
        header = ["", *("\n".join(column.header) for column in columns)]
        lines = tabulate(rows, header, tablefmt="simple", disable_numparse=True, preserve_whitespace=True).splitlines()
        for index, cell in enumerate(cells, len(lines) - len(cells)):
            if cell.id in failed:  # the reason runs across the columns
                label = cell.strategy.ljust(max(len(item.strategy) for item in cells) + 2)
                lines[index] = label + textwrap.shorten(failed[cell.id], self.width - len(label), placeholder=" …")
        return "\n".join(line.rstrip() for line in lines)

    def _note(self, number: str, text: str, tail: Sequence[str]) -> str:
        if self.markdown:
            log = "".join(f"\n  > `{line.replace('`', chr(39))}`  " for line in tail)
            return f"- {number.translate(_SUPERSCRIPT)} {text}{log}"
        log = "".join(f"\n  │ {line}"[: self.width + 1] for line in tail)
        return self._wrap(f"{number.translate(_SUPERSCRIPT)} {text}") + log

    def _oddities(self, cells: Sequence[CellInfo], metrics: Sequence[Metric]) -> str:
        """Outliers, which stay in the figures, and deterministic metrics that differed."""
        outliers: list[str] = []
        changing: list[str] = []
        found = 0
        for metric in metrics:
            for cell in cells:
                summary = self.shown[cell.id, metric.name].summary
                if summary and metric.deterministic and summary.method is not Method.EXACT:
                    changing.append(f"{cell.strategy} {metric.name}")
                elif summary and summary.outliers:
                    outliers.append(f"{cell.strategy} {metric.name} {len(summary.outliers)}")
                    found += len(summary.outliers)
        lines = []
        if outliers:
            named = ", ".join(outliers) if self.apart else counted(found, "sample")
            lines.append(self._wrap(f"Outliers (they are kept): {named}."))
        if changing:
            lines.append(self._wrap("Should be the same in every block, but is not: " + ", ".join(changing)))
        return "\n".join(lines)

    def _items(self, title: str, items: Sequence[str]) -> str:
        """Facts in a row; a fact is never broken across lines."""
        whole = [item.replace(" ", _STICKY) for item in (title, *filter(None, items))]
        return self._wrap(f"{_STICKY}· ".join(whole)).replace(_STICKY, " ")

    def _wrap(self, text: str, indent: int = 2) -> str:
        if self.markdown:
            return text
        return textwrap.fill(
            text, self.width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
        )


def contents_text(cells: Sequence[CellInfo]) -> str:
    """Which images of an app contain its services, and which do not. Without this, the rows do not compare."""
    phrases: dict[str, list[str]] = {}
    for cell in cells:
        phrase = [f"{title} is in the image" for title in cell.inside]
        phrase += [f"{title} runs in a separate container and is not included in any number" for title in cell.beside]
        if phrase:
            phrases.setdefault("; ".join(phrase), []).append(cell.strategy)
    return " ".join(f"With {listed(strategies)}, {phrase}." for phrase, strategies in phrases.items())


def _header(metric: Metric, measure: Scale, counts: Sequence[int]) -> tuple[str, str]:
    if metric.deterministic or not counts:
        return metric.name, measure.unit
    least, most = min(counts), max(counts)
    return metric.name, f"{measure.unit}, n={least}" if least == most else f"{measure.unit}, n={least}–{most}"


def _wide(columns: Sequence[_Column]) -> int:
    return sum(column.width + 2 for column in columns)
