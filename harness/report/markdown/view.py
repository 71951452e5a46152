"""Common parts of the sections of decision.md: a decision, and how its figures and choices are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.decision.choice import Choice, Confidence, listed
from harness.decision.decide import PAGE, Decision
from harness.decision.doubts import blocks
from harness.decision.figures import Figure, apps
from harness.model import Metric
from harness.run.plan import ENOUGH_BLOCKS
from harness.store.run import CellInfo
from harness.text.units import counted


class DocumentView:
    """A decision to write."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.run = decision.run
        self.apps = apps(decision.run)

    def _any(self, name: str) -> bool:
        return any((cell.id, name) in self.run.series() for cell in self.run.manifest.cells)

    def _taken(self, choice: Choice) -> str:
        if choice.take is None:
            return "–"
        match choice.confidence:
            case Confidence.WITHHELD:
                return f"no conclusion (ahead: {choice.take.strategy})"
            case Confidence.LEANING:
                return f"{choice.take.strategy}, leaning"
            case Confidence.TIE if choice.rival:
                return f"**{choice.take.strategy}** or {choice.rival.strategy}"
        return f"**{choice.take.strategy}**"

    def _more(self) -> str:
        """The command that measures the blocks that the choices lack; "" if they lack none."""
        leads = [choice.lead for app, choice in self.decision.choices.items() if app and choice.lead]
        until = max((lead.until for lead in leads), default=0)
        if until > ENOUGH_BLOCKS <= min(blocks(self.run).values(), default=0):
            return ""  # every block that may be measured is there
        return f"{self.run.manifest.to_continue(self.run.id)} --blocks {min(until, ENOUGH_BLOCKS)}" if until else ""

    def _adds(self) -> str:
        """What the command of `_more` measures, as sentences."""
        leads = [choice.lead for app, choice in self.decision.choices.items() if app and choice.lead]
        until = max((lead.until for lead in leads), default=0)
        whole = min(until, ENOUGH_BLOCKS)
        adds: dict[int, list[str]] = {}
        for name, count in blocks(self.run).items():
            if count < whole:
                adds.setdefault(whole - count, []).append(f"`{name}`")
        parts = [f"{counted(count, 'block')} of {listed(names)}" for count, names in adds.items()]
        said = f"It measures each timed metric until it has {counted(whole, 'block')}"
        most = (
            f" Tare measures at most {ENOUGH_BLOCKS} blocks, so the choice may stay undecided." if until > whole else ""
        )
        return f"{said}{f': it adds {listed(parts)}' if parts else ''}.{most}"

    def _figure(self, cell: CellInfo, metric: Metric) -> Figure | None:
        figure = self.decision.shown.get((cell.id, metric.name))
        return figure if figure and (figure.summary or figure.failures) else None

    def _link(self, cell: CellInfo, metric: Metric, text: str) -> str:
        """A number as a link to its samples. The text has no brackets, so an interval stands behind the link."""
        return f"[{text}]({PAGE}#samples/{cell.id}/{metric.name})"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose source is not padded: its cells hold links."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
