"""decision.md: an architecture decision record written from a run. The first screen is the answer, for one minute.

The form is Nygard's ADR (Documenting Architecture Decisions, 2011: context, decision, consequences) with the options
and measurements that the decision rests on. Numbers link to their samples in report.html, which lies beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.calibration import sentence
from harness.claimjudge import judge
from harness.claims import Answer, Claim, Judgement
from harness.model import Metric, Status
from harness.report.constraints import Constraint
from harness.report.criteria import CRITERIA, Criterion
from harness.report.doubts import Doubt, doubts, fewest, joined, planned_once, when, withheld
from harness.report.figures import FLOOR, Figure, Figures, apps, counted, figures, matrix, ratio_text, scale, select
from harness.report.ranking import RAISED, Choice, Confidence, choose
from harness.report.table import contents_text
from harness.report.verdicts import (
    MEANING,
    WORD,
    Gain,
    brief,
    comparison,
    gain,
    robust,
    span,
    sureness,
    times,
    traits,
    value_text,
)
from harness.statistics import PRACTICAL, Verdict, ratio
from harness.store import CellInfo, Run

PAGE = "report.html"
_MANY = 200  # blocks: more than anyone measures; the two do not differ in practice
HEADLINES = ("size.transfer", "deploy.total")  # what the first screen tells beside the choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """All that decision.md and report.html say of what to take."""

    run: Run
    shown: Figures  # of headline metrics and of those that the criteria rest on
    metrics: tuple[Metric, ...]
    criteria: tuple[Criterion, ...]
    constraints: tuple[Constraint, ...]
    choices: Mapping[str, Choice]  # by app, "" over all
    doubts: tuple[Doubt, ...]
    now: float  # Unix time, s
    claims: tuple[Judgement, ...] = ()


def decide(
    runs: Sequence[Run],
    *,
    criteria: Sequence[Criterion] = CRITERIA,
    constraints: Sequence[Constraint] = (),
    now: float,
    claims: Iterable[Claim] = (),
) -> Decision:
    """The decision that one or several runs of one environment support. `now` is Unix time, s, for staleness."""
    run = joined(runs)
    found = doubts(runs, now=now)
    wanted = {metric.name for metric in select(run) if metric.probe != FLOOR}
    wanted |= {name for criterion in criteria for name in criterion.metrics}
    metrics = tuple(metric for metric in run.manifest.metrics if metric.name in wanted)
    choices = {app: withheld(choice, found) for app, choice in choose(run, criteria, constraints).items()}
    return Decision(
        run=run,
        shown=figures(run, metrics),
        metrics=metrics,
        criteria=tuple(criteria),
        constraints=tuple(constraints),
        choices=choices,
        doubts=found,
        now=now,
        claims=judge(claims, runs),
    )


def render(decision: Decision) -> str:
    """decision.md as text."""
    page = _Page(decision)
    parts = [
        page.title(),
        page.banner(),
        page.answer(),
        page.context(),
        page.options(),
        page.measurements(),
        page.verdicts(),
        page.consequences(),
        page.undecided(),
        page.claims(),
        page.evidence(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


class _Page:
    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.run = decision.run
        self.apps = apps(decision.run)

    def title(self) -> str:
        return f"# Which image strategy to take\n\nStatus: {self._status()}. From run `{self.run.id}`, " + (
            f"{when(self.run.manifest.started)}, environment `{self.run.manifest.environment.fingerprint}`."
        )

    def _status(self) -> str:
        found = [choice.confidence for app, choice in self.decision.choices.items() if app]
        counts = {confidence: found.count(confidence) for confidence in Confidence if confidence in found}
        said = ", ".join(f"{count} {WORD[confidence]}" for confidence, count in counts.items())
        return f"of {len(found)} {'app' if len(found) == 1 else 'apps'}, {said}" if said else "nothing measured"

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
            name = f"**{app}**" if app else "**all apps alike**"
            cells = [self._taken(choice)]
            cells += [self._gained(choice, metric) if app else self._mean(choice, metric) for metric in self._heads()]
            rows.append([name, *cells, brief(choice)])
        lines = [_markdown(self._headers(), rows)]
        if command := self._more():
            said = "“Ahead” is of the weighted score over all criteria. Surer with"
            lines.append(f"{said} `{command}`: so many blocks in all.")
        if text := self._one_for_all():
            lines.append(text)
        for app, alternatives in self.apps.items():
            if text := contents_text(alternatives):
                lines.append(f"Images of {app} are not alike: {text[0].lower()}{text[1:]}")
        if self.decision.constraints:
            lines.append(f"Constraints: {'; '.join(item.text for item in self.decision.constraints)}.")
        return "\n\n".join(lines)

    def _headers(self) -> list[str]:
        words = {"size.transfer": "bytes a node fetches", "deploy.total": "first deploy, until it answers"}
        before = next((cells[0].strategy for cells in self.apps.values()), "")  # the reference of all comparisons
        heads = [f"{words.get(metric.name, metric.name)} (instead of with {before})" for metric in self._heads()]
        return ["app", "take", *heads, "how sure"]

    def _heads(self) -> list[Metric]:
        known = {metric.name: metric for metric in self.decision.metrics}
        names = [next((n for n in item.metrics if n in known), "") for item in CRITERIA if item.name != "deploy"][:1]
        deploy = next(item for item in CRITERIA if item.name == "deploy")
        names += [next((n for n in deploy.metrics if self._any(n)), "")]
        return [known[name] for name in names if name in known]

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

    def _gained(self, choice: Choice, metric: Metric) -> str:
        found = gain(self.run, self.decision.shown, choice, metric.name)
        if found is None:
            return "not measured"
        value = self._link(found.cell, metric, found.value)
        if found.cell.id == found.reference.id:
            return f"{value} (the reference itself)"
        return f"{_gain_text(found)}: {value} instead of {self._link(found.reference, metric, found.before)}"

    def _mean(self, choice: Choice, metric: Metric) -> str:
        criterion = next((item for item in self.decision.criteria if metric.name in item.metrics), None)
        part = choice.options[0].parts.get(criterion.name) if criterion and choice.options else None
        reference = self._reference_part(choice, criterion)
        if part is None or reference is None:
            return "–"
        factor = part / reference
        word = ("smaller", "larger") if metric.unit == "B" else ("faster", "slower")
        return f"{times(max(factor, 1 / factor))} {word[factor > 1]} in the geometric mean"

    def _reference_part(self, choice: Choice, criterion: Criterion | None) -> float | None:
        lowest = min(choice.options, key=lambda option: option.cell.rank, default=None)
        return lowest.parts.get(criterion.name) if lowest and criterion else None

    def _one_for_all(self) -> str:
        whole = self.decision.choices.get("")
        if whole is None or whole.take is None:
            return ""
        losses = {}
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
            name = whole.take.strategy
            return f"One strategy for all: **{name}**, by these weights first in every app, or as good as the first."
        return (
            f"One strategy for all: **{whole.take.strategy}**. Against each app's own best it gives away most in {app},"
            f" {times(loss)} all in all."
        )

    def context(self) -> str:
        environment, count = self.run.manifest.environment, len(self.run.manifest.cells)
        facts = "; ".join(f"{key} {value}" for key, value in environment.facts.items())
        lines = [
            "## Context",
            f"{matrix(self.run)}, {counted(count, 'cell')}; each built, pulled and started again and again"
            " on a real engine, one at a time, in randomly ordered blocks. Strategies of an app are compared within"
            " blocks: × is the middle of the ratios of pairs, not the ratio of two medians. Pulls and deployments are"
            " over a local link as fast as it is; slower ones are what `link.*` and the scenarios tell of.",
            f"Environment: {facts}.",
            sentence(self.run),
            "What counts, and how much:",
            _markdown(
                ["criterion", "weight", "metric", "meaning"],
                [
                    [item.name, f"{item.weight:g}", self._stands_for(item), item.meaning]
                    for item in self.decision.criteria
                ],
            ),
            "An option's score is the weighted geometric mean of its ratios to the first strategy: 0.25× is a quarter,"
            f" all in all; of counts, which may be 0, each plus {RAISED}. Change weights with `--weight deploy=5`,"
            " ask for what an image must have with `--need shell`, `--at-most size.transfer=100MB`.",
        ]
        return "\n\n".join(lines)

    def _stands_for(self, criterion: Criterion) -> str:
        name = next((name for name in criterion.metrics if self._any(name)), "")
        return f"`{name}`" if name else "not measured"

    def options(self) -> str:
        cells = {cell.strategy: cell for cell in sorted(self.run.manifest.cells, key=lambda cell: cell.rank)}
        lines = []
        for cell in cells.values():
            said = " ".join(filter(None, (cell.summary, cell.trades and f"Trades: {cell.trades}")))
            lines.append(f"- **{cell.strategy}** ({cell.strategy_title}){': ' + said if said else ''}")
        return "\n\n".join(["## Options", "\n".join(lines)])

    def measurements(self) -> str:
        parts = ["## Measurements", f"Medians with 95 % intervals; × is the ratio to the first row. {_legend()}"]
        for app, cells in self.apps.items():
            columns = [metric for metric in self._weighed() if any(self._figure(cell, metric) for cell in cells)]
            measures = {
                metric.name: scale(
                    metric,
                    [item.summary.median for cell in cells if (item := self._figure(cell, metric)) and item.summary],
                )
                for metric in columns
            }
            rows = []
            for cell in cells:
                row = [cell.strategy]
                for metric in columns:
                    figure = self._figure(cell, metric)
                    text = "–"
                    if figure and figure.summary:
                        ratio = f" {ratio_text(figure.ratio)}" if figure.ratio else ""
                        text = self._link(cell, metric, value_text(figure, measures[metric.name])) + ratio
                    elif figure and figure.failures:
                        text = figure.failures[0].status.value
                    row.append(text)
                rows.append([*row, self._score(app, cell)])
            header = ["", *(metric.name for metric in columns), "score"]
            parts += [f"### {app}: {cells[0].app_title}"]
            parts += [_markdown(header, rows)]
            parts += [contents] if (contents := contents_text(cells)) else []
        return "\n\n".join(parts)

    def _weighed(self) -> list[Metric]:
        names = [next((n for n in item.metrics if self._any(n)), "") for item in self.decision.criteria]
        known = {metric.name: metric for metric in self.decision.metrics}
        return [known[name] for name in names if name in known]

    def _figure(self, cell: CellInfo, metric: Metric) -> Figure | None:
        figure = self.decision.shown.get((cell.id, metric.name))
        return figure if figure and (figure.summary or figure.failures) else None

    def _score(self, app: str, cell: CellInfo) -> str:
        option = next((o for o in self.decision.choices[app].options if o.cell.id == cell.id), None)
        if option is None or option.out:
            return "out"
        return f"{option.score:.2f}×" if option.score is not None else "–"

    def verdicts(self) -> str:
        parts = ["## Verdict", "\n".join(f"- *{WORD[item]}*: {MEANING[item]}." for item in self._used())]
        for app, choice in self.decision.choices.items():
            head = app or "All apps alike"
            lines = [f"### {head}: {self._taken(choice)}", sureness(choice)]
            if choice.take and choice.rival and choice.lead:
                lines.append(self._why(choice))
            if text := robust(choice):
                lines.append(text)
            outs = [f"{option.cell.strategy} ({option.out})" for option in choice.options if option.out]
            if outs:
                lines.append(f"Not a candidate: {'; '.join(outs)}.")
            if choice.dropped:
                reasons = "; ".join(f"{name}: {why}" for name, why in choice.dropped.items())
                lines.append(f"Not counted: {reasons}.")
            parts.append("\n\n".join(lines))
        return "\n\n".join(parts)

    def _used(self) -> list[Confidence]:
        found = {choice.confidence for choice in self.decision.choices.values()}
        return [item for item in Confidence if item in found]

    def _why(self, choice: Choice) -> str:
        """The two best, criterion by criterion."""
        assert choice.rival and choice.lead
        rival = next(option for option in choice.options if option.cell.strategy == choice.rival.strategy)
        first = choice.options[0]
        better: list[str] = []
        worse: list[str] = []
        same: list[str] = []
        for name, part in first.parts.items():
            other = rival.parts.get(name)
            if not other or not part:
                continue
            factor = other / part
            text = f"{name} {times(max(factor, 1 / factor))}{'' if self._apart(choice, name) else ' (not sure)'}"
            if abs(factor - 1) <= PRACTICAL:
                same.append(name)
            else:
                (better if factor > 1 else worse).append(text)
        texts = []
        if better:
            texts.append(f"it is better in {', '.join(better)}")
        if worse:
            texts.append(f"worse in {', '.join(worse)}")
        if same:
            texts.append(f"the same in {', '.join(same)}")
        lead = choice.lead
        return (
            f"Against {choice.rival.strategy}, the runner-up, {'; '.join(texts)}. All in all a lead of"
            f" {times(lead.estimate)}, 95 % interval {span(lead.low, lead.high, lead.estimate)}."
        )

    def _apart(self, choice: Choice, name: str) -> bool:
        """Whether the two best of an app differ in a criterion beyond noise; of all apps together it is not asked."""
        if choice.take is None or choice.rival is None or choice not in self._of_apps():
            return True
        criterion = next(item for item in self.decision.criteria if item.name == name)
        metric = next((metric for metric in self._weighed() if metric.name in criterion.metrics), None)
        series = self.run.series()
        pair = [series.get((cell.id, metric.name)) for cell in (choice.take, choice.rival)] if metric else [None, None]
        if metric is None or pair[0] is None or pair[1] is None:
            return True
        found = ratio(pair[0], pair[1], direction=metric.direction, deterministic=metric.deterministic)
        return found is None or found.verdict is not Verdict.UNDECIDED

    def _of_apps(self) -> list[Choice]:
        return [choice for app, choice in self.decision.choices.items() if app]

    def consequences(self) -> str:
        lines = ["## Consequences"]
        taken: dict[str, list[str]] = {}
        for app, choice in self.decision.choices.items():
            if app and choice.take and choice.confidence is not Confidence.WITHHELD:
                taken.setdefault(choice.take.strategy, []).append(app)
        cells = {cell.strategy: cell for cell in self.run.manifest.cells}
        for strategy, names in taken.items():
            text = f"- **{strategy}** ({', '.join(names)})."
            traits_of: dict[str, list[str]] = {}
            for app in names:
                traits_of.setdefault(", ".join(self._traits(app)), []).append(app)
            inside = [f"{words} ({', '.join(apps_)})" for words, apps_ in traits_of.items() if words]
            more = [cells[strategy].trades, f"Inside: {'; '.join(inside)}." if inside else ""]
            lines.append(" ".join(filter(None, (text, *more))))
        worse = list(self._worse())
        if worse:
            lines.append("What gets worse than with the first strategy:\n\n" + "\n".join(f"- {text}" for text in worse))
        elif taken:
            lines.append("Nothing measured gets worse than with the first strategy, beyond what matters.")
        return "\n\n".join(lines) if len(lines) > 1 else ""

    def _traits(self, app: str) -> list[str]:
        take = self.decision.choices[app].take
        return traits(self.run, take) if take else []

    def _worse(self) -> Iterator[str]:
        for app, choice in self.decision.choices.items():
            if not app or choice.take is None or choice.confidence is Confidence.WITHHELD:
                continue
            for metric in self.decision.metrics:
                figure = self._figure(choice.take, metric)
                if figure and figure.ratio and figure.ratio.verdict is Verdict.WORSE:
                    text, interval, _, _ = comparison(figure.ratio, metric)
                    yield f"{app}: {metric.name} {text}{f' [{interval}]' if interval else ''}"

    def undecided(self) -> str:
        lines = []
        for app, choice in self.decision.choices.items():
            if app and choice.confidence in (Confidence.LEANING, Confidence.OPEN):
                lines.append(f"- Which strategy for {app}: {sureness(choice)}")
        open_: dict[str, list[int]] = {}
        once = planned_once(self.run)
        for (_, name), figure in self.decision.shown.items():
            if figure.ratio and figure.ratio.verdict is Verdict.UNDECIDED and name.partition(".")[0] not in once:
                open_.setdefault(name, []).append(figure.ratio.more)
        for name, blocks in open_.items():
            lines.append(
                f"- `{name}`: {counted(len(blocks), 'comparison')} with the first strategy;"
                f" about {_blocks(blocks)} more blocks."
            )
        missing = [metric.name for metric in self.decision.metrics if not self._any(metric.name)]
        if missing:
            lines.append(f"- Not measured in this run: {', '.join(f'`{name}`' for name in missing)}.")
        lines += [f"- {text}" for text in self._failures()]
        if not lines:
            return "## Undecided\n\nNothing that counts is undecided."
        if command := self._more():
            lines.append(f"\nWhat it takes: `{command}` goes on with the same cells.")
        return "\n".join(["## Undecided, and what it would take", "", *lines])

    def _more(self) -> str:
        """The command that measures what the choices lack; "" where they lack nothing."""
        leads = [choice.lead for app, choice in self.decision.choices.items() if app and choice.lead]
        more = max((lead.more for lead in leads), default=0)
        return f"tox -e bench -- --resume {self.run.id} --blocks {fewest(self.run) + more}" if more else ""

    def _failures(self) -> Iterator[str]:
        counts: dict[tuple[str, str, Status], list[str]] = {}
        for try_ in self.run.failures:
            counts.setdefault((try_.cell, try_.probe, try_.status), []).append(" ".join(try_.reason.split()))
        for (cell, probe, status), reasons in counts.items():
            tries = "1 try" if len(reasons) == 1 else f"{len(reasons)} tries"
            yield f"{cell}, {probe}: {tries} ended {status}: {reasons[-1] or 'no reason was given'}"

    def claims(self) -> str:
        if not self.decision.claims:
            return ""
        lines = [f"- **{each.answer}**: {each.claim.says}{_readings(each)}" for each in self.decision.claims]
        said = "Held against this run; the readings and their numbers are in the page and in `tare claims`."
        return "\n".join(["## What people say", "", said, "", *lines])

    def evidence(self) -> str:
        manifest = self.run.manifest
        samples = sum(series.value.size for series in self.run.series().values())
        versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
        lines = [
            "## Evidence",
            f"- All charts, samples, scenarios: [{PAGE}]({PAGE}); every number above links to its samples there.",
            f"- {samples} samples and {len(self.run.failures)} failed tries in `samples.jsonl` of run `{self.run.id}`"
            f" (seed {manifest.seed}{f', git {manifest.git[:12]}' if manifest.git else ''}).",
            f"- Versions: {versions}." if versions else "",
            f"- Written again by `tare report {self.run.id} --decision decision.md`.",
        ]
        return "\n".join([lines[0], "", *filter(None, lines[1:])])

    def _link(self, cell: CellInfo, metric: Metric, text: str) -> str:
        bare = text.replace("[", "(").replace("]", ")")  # a link's text has no brackets
        return f"[{bare}]({PAGE}#samples/{cell.id}/{metric.name})"


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose source is not padded: its cells hold links."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def _readings(judgement: Judgement) -> str:
    """What each reading says, where there are several, and of how many cells or apps that is so."""
    texts = []
    for each in judgement.readings:
        counts = Counter(finding.answer for finding in each.findings)
        mixed = " and ".join(f"{count} {answer}" for answer, count in counts.items()) if len(counts) > 1 else ""
        texts.append(f"{each.reading.title}: {each.answer}{f', {mixed}' if mixed else ''}")
    return f" ({'; '.join(texts)})" if len(texts) > 1 or judgement.answer is Answer.UNDECIDED else ""


def _blocks(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    if low > _MANY:
        return f"over {_MANY}"
    return f"{low}" if low == high else f"{low} to over {_MANY}" if high > _MANY else f"{low} to {high}"


def _gain_text(found: Gain) -> str:
    doubt = "" if found.sure else " (not yet sure)"
    interval = f" [{found.interval}]" if found.interval and found.sure else ""
    return f"**{found.times}**{interval}{doubt}" if found.sure else f"{found.times}{doubt}"


def _legend() -> str:
    return f"≈ no practical difference (within {PRACTICAL:.0%}), ? undecided.".replace("3%", "3 %")
