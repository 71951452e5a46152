"""The tables of report.html: the matrix at a glance, app by app, and what is inside."""

from __future__ import annotations

from collections.abc import Sequence

from harness.decision.choice import Confidence
from harness.model import Direction, Metric, Unit
from harness.report.page.view import PageView, anchor, esc, times
from harness.report.table import contents_text
from harness.report.words import WORD, robust, sureness, uncounted
from harness.stats.intervals import PRACTICAL
from harness.store.run import CellInfo
from harness.text.units import Scale, bounds_text, score_text


class Tables(PageView):
    """All figures of all cells; each is a link to its samples."""

    def matrix(self) -> str:
        metrics = self.decision.weighed()
        head = "".join(
            f'<th scope="col"><button type="button">{esc(self._head(metric))}</button></th>' for metric in metrics
        )
        options = "".join(f"<option>{esc(app)}</option>" for app in self.apps_)
        rows = []
        for app, cells in self.apps_.items():
            choice = self.decision.choices[app]
            scores = {option.cell.id: option for option in choice.options}
            measures = self._measures(cells, metrics)
            for index, cell in enumerate(cells):
                option = scores.get(cell.id)
                chosen = choice.take is not None and choice.take.id == cell.id
                mark = " ★" if chosen and choice.confidence is not Confidence.WITHHELD else ""
                score = option.score if option and not option.out else None
                classes = " ".join(filter(None, ("first" if not index else "", "chosen" if chosen else "")))
                texts = "".join(self._cell(cell, cells, metric, measures[metric.name]) for metric in metrics)
                shown = score_text(score) if score is not None else "out" if option and option.out else "–"
                why = f' title="{esc(option.out)}"' if option and option.out else ""
                rows.append(
                    f'<tr class="{classes}" data-app="{esc(app)}"><th scope="row" style="{self.colour(cell.strategy)}">'
                    f'<span class="swatch"></span> {esc(cell.id)}{mark}</th>'
                    f'<td data-v="{"" if score is None else score}"{why}>{shown}</td>{texts}</tr>'
                )
        return f"""<section id="matrix"><h2>The matrix at a glance</h2>
<p class="soft">★ marks the strategy to take. The score is the weighted geometric mean of all ratios to the app's first
strategy; smaller is better. Bars are relative to the app's largest value. Click a column's title to sort by it, or a
number to see its samples.</p>
<p class="row screen"><label>Only app <select id="only"><option value="">all</option>{options}</select></label></p>
<div class="scroll"><table id="matrix-table"><thead><tr><th scope="col"><button type="button">cell</button></th>
<th scope="col"><button type="button">score</button></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>
</section>"""

    def _head(self, metric: Metric) -> str:
        criterion = self.decision.stands_for(metric)
        return f"{criterion} ({metric.name})" if criterion else metric.name

    def _cell(self, cell: CellInfo, cells: Sequence[CellInfo], metric: Metric, measure: Scale) -> str:
        figure = self.decision.shown[cell.id, metric.name]
        if figure.summary is None:
            status = figure.failures[0].status.value if figure.failures else "–"
            reason = f' title="{esc(figure.failures[0].reason)}"' if figure.failures else ""
            return f'<td data-v=""{reason}>{esc(status)}</td>'
        top = max(self._median(other, metric) for other in cells) or 1.0
        value = figure.summary.median
        return (
            f'<td class="bar" style="--w:{100 * value / top:.1f}%" data-v="{value:.9g}">'
            f'<a href="{anchor(cell, metric)}">'
            f"{esc(measure.amount(value))}</a>{times(figure)}</td>"
        )

    def apps(self) -> str:
        parts = [self._app(app, cells, first=not index) for index, (app, cells) in enumerate(self.apps_.items())]
        return f'<section id="apps"><h2>App by app</h2>{"".join(parts)}</section>'

    def _app(self, app: str, cells: Sequence[CellInfo], *, first: bool) -> str:
        choice = self.decision.choices[app]
        outs = "; ".join(f"{option.cell.strategy} ({option.out})" for option in choice.options if option.out)
        dropped = uncounted(choice)
        notes = [sureness(choice), robust(choice)]
        notes += [f"Excluded: {outs}."] if outs else []
        notes += [f"Not counted: {dropped}."] if dropped else []
        notes.append(contents_text(cells))
        take = f"{WORD[choice.confidence]}: {choice.take.strategy}" if choice.take else WORD[choice.confidence]
        paragraphs = "".join(f"<p>{esc(text)}</p>" for text in notes if text)
        return f"""<details class="app" id="app-{esc(app)}" data-app="{esc(app)}"{" open" if first else ""}>
<summary>{esc(app)} <small>{esc(cells[0].app_title)}</small> <small>{esc(take)}</small></summary>
<div>{paragraphs}{self._table(cells)}<div class="drawn"></div></div></details>"""

    def _table(self, cells: Sequence[CellInfo]) -> str:
        metrics = [
            metric
            for metric in self.decision.metrics
            if metric.unit is not Unit.RATIO
            and any(self.decision.shown[cell.id, metric.name].summary for cell in cells)
        ]
        measures = self._measures(cells, metrics)
        head = "".join(f'<th scope="col">{esc(cell.strategy)}</th>' for cell in cells)
        rows = []
        for metric in metrics:
            measure = measures[metric.name]
            unit = f", {measure.unit}" if measure.suffix else ""
            texts = "".join(self._full(cell, metric, measure) for cell in cells)
            rows.append(
                f'<tr><th scope="row" title="{esc(metric.help)}">{esc(metric.name)}{esc(unit)}</th>{texts}</tr>'
            )
        return f"""<div class="scroll"><table><caption>Medians with 95 % intervals; × is the ratio to the first
strategy, compared within each block; ≈ means no practical difference (within {100 * PRACTICAL:g} %), ? means
undecided</caption>
<thead><tr>
<th scope="col">metric</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>"""

    def _full(self, cell: CellInfo, metric: Metric, measure: Scale) -> str:
        figure = self.decision.shown[cell.id, metric.name]
        if figure.summary is None:
            return f"<td>{esc(figure.failures[0].status.value if figure.failures else '–')}</td>"
        interval = bounds_text(figure.summary, measure)
        ci = f' <span class="ci">{esc(interval)}</span>' if interval else ""
        return (
            f'<td><a href="{anchor(cell, metric)}">{esc(measure.text(figure.summary.median))}</a>{ci}'
            f"{times(figure)}</td>"
        )

    def inside(self) -> str:
        """The content of images: the surface, intruder and harden probes, if they ran."""
        series = self.run.series()
        metrics = [
            metric
            for metric in self.run.manifest.metrics
            if metric.group in ("surface", "care", "intruder", "harden")
            and any((cell.id, metric.name) in series for cell in self.run.manifest.cells)
        ]
        if not metrics:
            return (
                '<section id="inside"><h2>What is inside</h2><p class="wait">The surface of the images was not measured'
                " in this run.</p></section>"
            )
        head = "".join(
            f'<th scope="col" title="{esc(metric.help)}"><button type="button">{esc(metric.name)}</button>'
            f"{_good(metric)}</th>"
            for metric in metrics
        )
        rows = []
        for cell in self.run.manifest.cells:
            texts = []
            for metric in metrics:
                found = series.get((cell.id, metric.name))
                value = None if found is None else float(found.value[-1])
                text = (
                    "–"
                    if value is None
                    else ("yes" if value else "no")
                    if metric.unit is Unit.BOOLEAN
                    else f"{value:g}"
                )
                texts.append(
                    f'<td data-v="{"" if value is None else value}"><a href="{anchor(cell, metric)}">{text}</a></td>'
                )
            rows.append(
                f'<tr><th scope="row" style="{self.colour(cell.strategy)}"><span class="swatch"></span> {esc(cell.id)}'
                f"</th>{''.join(texts)}</tr>"
            )
        return f"""<section id="inside"><h2>What is inside</h2><p class="soft">Counts come from the images' layers.
<b>intruder</b>: yes if the command ran, which helps an intruder. <b>harden</b>: yes if the app still works.</p>
<div class="scroll"><table><thead><tr><th scope="col"><button type="button">cell</button></th>{head}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div></section>"""


def _good(metric: Metric) -> str:
    """Which answer of a question is the better one; "" for a count."""
    if metric.unit is not Unit.BOOLEAN or metric.direction is Direction.NEITHER:
        return ""
    return f"<small>{'yes' if metric.direction is Direction.LARGER else 'no'} is better</small>"
