"""What the sections of report.html have in common: a decision, colours, links and escaped text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from harness.decision.choice import Choice, Confidence
from harness.decision.decide import Decision
from harness.decision.figures import Figure, apps
from harness.model import Metric
from harness.report.words import WORD
from harness.stats.intervals import Verdict
from harness.store.run import CellInfo, Run
from harness.text.units import Scale, ratio_text, scale

_BADGE = {Confidence.TIE: "tie"}  # class names; for the others the word itself is the class


class PageView:
    """A decision, to be written as HTML."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.run: Run = decision.run
        self.apps_ = apps(decision.run)
        self.strategies = list(
            dict.fromkeys(cell.strategy for cell in sorted(self.run.manifest.cells, key=lambda cell: cell.rank))
        )

    def colour(self, strategy: str) -> str:
        return f"--c:var(--s{self.strategies.index(strategy) % 7})"

    def _median(self, cell: CellInfo, metric: Metric) -> float:
        figure = self.decision.shown[cell.id, metric.name]
        return figure.summary.median if figure.summary else 0.0

    def _measures(self, cells: Sequence[CellInfo], metrics: Iterable[Metric]) -> dict[str, Scale]:
        return {
            metric.name: scale(
                metric,
                [
                    figure.summary.median
                    for cell in cells
                    if (figure := self.decision.shown[cell.id, metric.name]).summary
                ],
            )
            for metric in metrics
        }


def esc(text: object) -> str:
    return html.escape(str(text), quote=True)


def badge(choice: Choice) -> str:
    name = _BADGE.get(choice.confidence, choice.confidence.value)
    return f'<span class="badge {name}">{esc(WORD[choice.confidence])}</span>'


def anchor(cell: CellInfo, metric: Metric) -> str:
    return f"#samples/{esc(cell.id)}/{esc(metric.name)}"


def times(figure: Figure) -> str:
    if figure.ratio is None:
        return ""
    tone = {Verdict.BETTER: " better", Verdict.WORSE: " worse"}.get(figure.ratio.verdict, "")
    return f'<span class="times{tone}">{esc(ratio_text(figure.ratio))}</span>'
