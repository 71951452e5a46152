"""decision.md: an architecture decision record written from a run. The first screen is the answer, for one minute.

The form is Nygard's ADR (Documenting Architecture Decisions, 2011: context, decision, consequences) with the options
and measurements behind the decision. Numbers link to their samples in report.html, which is in the same folder.
"""

from __future__ import annotations

import math

from harness.decision.choice import NOT_IN_RUN, Choice, Confidence
from harness.decision.choice import listed as named
from harness.decision.criteria import CRITERIA, Criterion
from harness.decision.decide import Decision
from harness.decision.doubts import when
from harness.decision.figures import matrix
from harness.decision.ranking import RAISED, THIN_ERROR
from harness.model import Metric
from harness.report.calibration import sentence
from harness.report.facts import explained, plain, title
from harness.report.gains import Gain, against, gain, unlike, unlike_apps
from harness.report.markdown.body import Body
from harness.report.markdown.view import DocumentView, markdown
from harness.report.table import contents_text
from harness.report.words import (
    NOTATION,
    WORD,
    brief,
    described,
    lacking,
    never_measured,
    times,
    to_measure,
    unmeasured_lines,
)
from harness.stats.intervals import PRACTICAL, SMALLEST_DECIDABLE
from harness.text.markdown import harmless_markdown
from harness.text.units import counted, scale


def render(decision: Decision) -> str:
    """decision.md as text."""
    head, body = Head(decision), Body(decision)
    parts = [
        head.title(),
        head.banner(),
        head.answer(),
        head.context(),
        head.options(),
        body.measurements(),
        body.verdicts(),
        body.consequences(),
        body.undecided(),
        body.claims(),
        body.evidence(),
    ]
    return harmless_markdown("\n\n".join(part for part in parts if part) + "\n")


class Head(DocumentView):
    """The answer, which fits the first screen, and the environment of the run."""

    def title(self) -> str:
        return f"# Which image strategy to take\n\n{self._status()}. From run `{self.run.id}`, " + (
            f"{when(self.run.manifest.started)}, environment `{self.run.manifest.environment.fingerprint}`"
            ", which Context describes."
        )

    def _status(self) -> str:
        found = [choice.confidence for app, choice in self.decision.choices.items() if app]
        counts = {confidence: found.count(confidence) for confidence in Confidence if confidence in found}
        said = ", ".join(f"{count} {WORD[confidence]}" for confidence, count in counts.items())
        return f"Status of {counted(len(found), 'app')}: {said}" if said else "Status: nothing measured"

    def banner(self) -> str:
        lines = []
        for doubt in self.decision.doubts:
            word = f"No conclusion: {doubt.kind}." if doubt.withholds else f"{doubt.kind.capitalize()}."
            lines.append(f"> **{word}** {doubt.text}")
        return "\n>\n".join(lines)

    def answer(self) -> str:
        """The first screen."""
        rows = []
        for app, choice in self.decision.choices.items():
            name = f"**{app}**{self._contents(choice)}" if app else "**one for all apps**"
            cells = [self._taken(choice)]
            cells += [self._gained(choice, metric) if app else self._mean(choice, metric) for metric in self._heads()]
            rows.append(
                [
                    name,
                    *cells,
                    against(self.decision.shown, choice, self._heads()) or "–",
                    brief(choice),
                    *self._holds_on(app),
                ]
            )
        lines = [markdown(self._headers(), rows), *self._flips()]
        if text := self._uncounted():
            lines.insert(0, text)
        if any(choice.lead for choice in self.decision.choices.values()):
            lines.append(NOTATION)
        if command := self._more():
            lines.append(f"To reduce the uncertainty, run `{command}`. {self._adds()}")
        if text := self._one_for_all():
            lines.append(text)
        for app, alternatives in self.apps.items():
            if text := contents_text(alternatives):
                lines.append(f"The images of {app} do not contain the same things. {text}")
        if self.decision.constraints:
            lines.append(f"Constraints: {'; '.join(item.text for item in self.decision.constraints)}.")
        return "\n\n".join(lines)

    def _uncounted(self) -> str:
        """The criteria that the run never measured, and the command that measures them."""
        text = lacking(self.decision, "`")
        if not text:
            return ""
        what = to_measure(self.decision)
        it = "it" if len(never_measured(self.decision)) == 1 else "them"
        return f"{text} {what} measures {it}." if what else text

    def _headers(self) -> list[str]:
        words = {
            "size.transfer": "bytes to fetch, compressed",
            "deploy.total": "deploy to an empty machine, until it answers",
        }
        before = next((cells[0].strategy for cells in self.apps.values()), "")  # the reference of all comparisons
        heads = [f"{words.get(metric.name, metric.name)} (compared with {before})" for metric in self._heads()]
        return [
            "app",
            "take",
            *heads,
            "compared with the runner-up",
            "how sure",
            *(["holds on"] if self.decision.engines else []),
        ]

    def _holds_on(self, app: str) -> list[str]:
        """The last cell of a row: the engines on which the same strategy comes first."""
        if not self.decision.engines:
            return []
        found = self.decision.holding(app)
        if found is None:
            return ["–"]
        without = f"; no choice on {', '.join(found.without)}" if found.without else ""
        return [("all of " if not (found.flips or without) else "") + ", ".join(found.same) + without]

    def _flips(self) -> list[str]:
        """A warning for each engine on which another strategy comes first, with the numbers of both."""
        lines = []
        for app in self.decision.choices:
            found = self.decision.holding(app) if app else None
            for flip in found.flips if found else ():
                metric = next((item for item in self.run.manifest.metrics if item.name == flip.metric), None)
                where = f"> **Not on {flip.engine}.** {app}: {flip.theirs.strategy} comes first there,"
                if metric is None:
                    lines.append(f"{where} not {flip.ours.strategy}.")
                    continue
                measure = scale(metric, [value for value in (*flip.here, *flip.there) if value is not None])
                here, there = (
                    " and ".join("not measured" if value is None else measure.text(value) for value in pair)
                    for pair in (flip.here, flip.there)
                )
                lines.append(
                    f"{where} not {flip.ours.strategy}. `{metric.name}` of {flip.ours.strategy} and"
                    f" {flip.theirs.strategy}, {measure.unit}: {here} here, {there} there."
                )
        return lines

    def _heads(self) -> list[Metric]:
        known = {metric.name: metric for metric in self.decision.metrics}
        criteria = {item.name: item for item in CRITERIA}
        # The column of bytes is there even if no cell has a size: its cells say so.
        names = (criteria["size"].rests_on(known), criteria["deploy"].rests_on(self.run.measured()))
        return [known[name] for name in names if name in known]

    def _gained(self, choice: Choice, metric: Metric) -> str:
        found = gain(self.run, self.decision.shown, choice, metric.name)
        if found is None:
            return "not measured"
        value = self._link(found.cell, metric, found.value)
        if found.cell.id == found.reference.id:
            return f"{value} (the reference itself)"
        spread = f" {found.spread}" if found.spread else ""
        return f"{_gain_text(found)}: {value}{spread} instead of {self._link(found.reference, metric, found.before)}"

    def _contents(self, choice: Choice) -> str:
        found = unlike(choice)
        return f" ({found})" if found else ""

    def _mean(self, choice: Choice, metric: Metric) -> str:
        """The gain of one strategy for all apps: the geometric mean over the apps whose images contain the same."""
        measured = self.run.measured()
        criterion = next((item for item in self.decision.criteria if item.rests_on(measured) == metric.name), None)
        if criterion is None or choice.take is None:
            return "–"
        if choice.take.rank == min(option.cell.rank for option in choice.options):
            return "the reference itself"
        odd = unlike_apps(choice, self.apps)
        logs = [
            math.log(factor)
            for app, each in self.decision.choices.items()
            if app and app not in odd and (factor := _factor(each, choice.take.strategy, criterion.name))
        ]
        if not logs:
            return "–"
        factor = math.exp(math.fsum(logs) / len(logs))
        word = ("smaller", "as large") if metric.unit == "B" else ("faster", "as long")
        left_out = f" without {named(odd)}, whose images differ in content" if odd else ""
        return f"{times(max(factor, 1 / factor))} {word[factor > 1]} (geometric mean of the apps{left_out})"

    def _one_for_all(self) -> str:
        whole = self.decision.choices.get("")
        if whole is None or whole.take is None:
            return ""
        losses: dict[str, float] = {}
        for app, choice in self.decision.choices.items():
            if app and choice.take:
                scores = {option.cell.strategy: option.score for option in choice.options}
                mine, best = scores.get(whole.take.strategy), scores.get(choice.take.strategy)
                if mine and best:
                    losses[app] = mine / best
        if not losses:
            return ""
        app, loss = max(losses.items(), key=lambda item: item[1])
        if loss <= 1 + PRACTICAL:
            others = [name for name, each in losses.items() if each > 1]
            rest = f", except of {named(others)}, whose best score is at most 3 % better" if others else ""
            said = f"One strategy for all apps: **{whole.take.strategy}**. It has the best score in each app{rest}."
            return said + self._open_apps()
        return (
            f"One strategy for all apps: **{whole.take.strategy}**. Compared with each app's own best, it loses most in"
            f" {app}: its score is {times(loss)} the best score.{self._open_apps()}"
        )

    def _open_apps(self) -> str:
        """The apps whose own choice is not decided, as a sentence after the choice for all apps."""
        open_ = [app for app, each in self.decision.choices.items() if app and each.confidence is Confidence.LEANING]
        return f" For {named(open_)}, the choice is not decided yet." if open_ else ""

    def context(self) -> str:
        facts, count = self.run.manifest.environment.facts, len(self.run.manifest.cells)
        lines = [
            "## Context",
            f"{matrix(self.run)}, {counted(count, 'cell')}. Each cell was built, pulled and started again and again on"
            " a real engine, one cell at a time, in randomly ordered blocks. A block measures each strategy of one"
            " app once, and gives one sample per metric. Pulls and deploys use the local network at full speed. For"
            " slower links see the scenarios in report.html.",
            f"Environment `{self.run.manifest.environment.fingerprint}`:"
            f" {'; '.join(f'{name} {value}' for name, value in plain(facts).items())}.",
            "\n".join(
                f"- *{title(name)}* {value}{': ' + text if text else ''}."
                for name, (value, text) in explained(facts).items()
            ),
            "\n".join(f"- {line}" for line in unmeasured_lines(self.run)),
            sentence(self.run),
            "The criteria and their weights:",
            markdown(
                ["criterion", "weight", "metric", "meaning"],
                [
                    [item.name, f"{item.weight:g}", self._stands_for(item), item.meaning]
                    for item in self.decision.criteria
                ],
            ),
            "The score of a strategy is the weighted geometric mean of its ratios to the first strategy. A score of"
            " 0.25× means that the strategy costs on average a quarter of what the first strategy costs. A count may be"
            f" 0, and 0 has no ratio, so {RAISED} is added to each count."
            " `--weight deploy=5` changes a weight. `--need shell` and `--at-most size.transfer=100MB` exclude images"
            " that do not fit.",
            self._thin(),
        ]
        return "\n\n".join(filter(None, lines))

    def _thin(self) -> str:
        """What is assumed of ratios that have no interval; "" if every ratio between the best has one."""
        if not any(choice.lead and choice.lead.thin for choice in self.decision.choices.values()):
            return ""
        return (
            f"A ratio from fewer than {SMALLEST_DECIDABLE} blocks has no interval of its own. Such a ratio alone must"
            " not decide a choice. So the interval of a lead counts it as if it may be anything from 1× to its square:"
            f" a measured 2× counts as 1× to 4×. A ratio below {THIN_ERROR:g}× may be wrong by a factor of"
            f" {THIN_ERROR:g} both ways: a measured 1× counts as {1 / THIN_ERROR:.2f}× to {THIN_ERROR:g}×."
        )

    def _stands_for(self, criterion: Criterion) -> str:
        name = criterion.rests_on(self.run.measured())
        return f"`{name}`" if name else f"`{criterion.metrics[0]}`, {NOT_IN_RUN}"

    def options(self) -> str:
        cells = {cell.strategy: cell for cell in sorted(self.run.manifest.cells, key=lambda cell: cell.rank)}
        lines = []
        for cell in cells.values():
            said = described(cell)
            lines.append(f"- **{cell.strategy}** ({cell.strategy_title}){': ' + said if said else ''}")
        return "\n\n".join(["## Options", "\n".join(lines)])


def _gain_text(found: Gain) -> str:
    interval = f" {found.interval}" if found.interval and found.sure else ""
    if not found.first:  # the head of the column names another reference
        doubt = "" if found.sure else ", undecided"
        return f"{found.times}{interval} (compared with {found.reference.strategy}{doubt})"
    if not found.sure:
        return f"{found.times} (undecided)"
    return f"**{found.times}**{interval}"


def _factor(choice: Choice, strategy: str, criterion: str) -> float | None:
    """The ratio of an app's strategy to the app's first strategy; None if either has none."""
    reference = min(choice.options, key=lambda option: option.cell.rank, default=None)
    option = next((option for option in choice.options if option.cell.strategy == strategy), None)
    mine, theirs = (found.ratios.get(criterion) if found else None for found in (option, reference))
    return mine / theirs if mine and theirs else None
