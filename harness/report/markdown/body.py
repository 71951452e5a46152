"""The body of decision.md: measurements, verdicts, consequences, and open questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.claims.claim import Answer, Judgement
from harness.decision.choice import Choice, Confidence, listed
from harness.decision.decide import PAGE
from harness.decision.doubts import planned_once
from harness.model import Direction, Metric, Status, Unit
from harness.report.care import care_text
from harness.report.gains import comparison
from harness.report.markdown.view import DocumentView, markdown
from harness.report.table import contents_text
from harness.report.traits import traits
from harness.report.words import MEANING, VERDICTS, WORD, open_reasons, robust, scope, span, sureness, times, uncounted
from harness.stats.intervals import PRACTICAL, Verdict, compared
from harness.store.run import CellInfo
from harness.text.units import bounds_text, counted, ratio_text, scale, score_text

_MANY = 200  # blocks: nobody measures more; the two strategies then do not differ in practice


class Body(DocumentView):
    """The sections below the answer."""

    def measurements(self) -> str:
        first = next((f" ({cells[0].strategy})" for cells in self.apps.values()), "")
        said = f"Medians with 95 % intervals; × is the ratio to the first strategy{first}. {_legend()}"
        parts = ["## Measurements", said]
        for app, cells in self.apps.items():
            weighed = self.decision.weighed()
            columns = [metric for metric in weighed if any(self._figure(cell, metric) for cell in cells)]
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
                        measure = measures[metric.name]
                        text = self._link(cell, metric, measure.amount(figure.summary.median))
                        ratio = ratio_text(figure.ratio) if figure.ratio else ""
                        text = " ".join(filter(None, (text, bounds_text(figure.summary, measure), ratio)))
                    elif figure and figure.failures:
                        text = figure.failures[0].status.value
                    row.append(text)
                rows.append([*row, self._score(app, cell)])
            header = ["", *(self._head(metric) for metric in columns), "score"]
            parts += [f"### {app}: {cells[0].app_title}"]
            parts += [markdown(header, rows)]
            parts += [contents] if (contents := contents_text(cells)) else []
        return "\n\n".join(parts)

    def _head(self, metric: Metric) -> str:
        """`update`, with the metric that it rests on."""
        criterion = self.decision.stands_for(metric)
        return f"{criterion} (`{metric.name}`)" if criterion else f"`{metric.name}`"

    def _score(self, app: str, cell: CellInfo) -> str:
        option = next((o for o in self.decision.choices[app].options if o.cell.id == cell.id), None)
        if option is None or option.out:
            return "out"
        return score_text(option.score) if option.score is not None else "–"

    def verdicts(self) -> str:
        words = [f"- *{WORD[item]}*: {MEANING[item]}." for item in self._used()]
        words += [f"- *{word}*: {meaning}." for word, meaning in VERDICTS.items()]
        parts = ["## Verdict", "\n".join(words)]
        for app, choice in self.decision.choices.items():
            head = app or "One strategy for all apps"
            lines = [f"### {head}: {self._taken(choice)}", sureness(choice)]
            if choice.take and choice.rival and choice.lead:
                lines.append(self._why(choice))
            if text := robust(choice):
                lines.append(text)
            if app and choice.take and (text := care_text(self.run, choice.take, choice.rival)):
                lines.append(text)
            outs = [f"{option.cell.strategy} ({option.out})" for option in choice.options if option.out]
            if outs:
                lines.append(f"Excluded: {'; '.join(outs)}.")
            if text := uncounted(choice):
                lines.append(f"Not counted: {text}.")
            parts.append("\n\n".join(lines))
        return "\n\n".join(parts)

    def _used(self) -> list[Confidence]:
        found = {choice.confidence for choice in self.decision.choices.values()}
        return [item for item in Confidence if item in found]

    def _why(self, choice: Choice) -> str:
        """The two best, criterion by criterion."""
        assert choice.take and choice.rival and choice.lead
        rival = next(option for option in choice.options if option.cell.strategy == choice.rival.strategy)
        first = choice.options[0]
        better: list[str] = []
        worse: list[str] = []
        same: list[str] = []
        open_: list[str] = []
        for name, part in first.ratios.items():
            other = rival.ratios.get(name)
            if not other or not part:
                continue
            factor = other / part
            verdict, factor = self._between(choice, name, factor)
            text = f"{name} ({times(max(factor, 1 / factor))})"
            match verdict:
                case Verdict.SAME:
                    same.append(name)
                case Verdict.UNDECIDED:
                    how = times(max(factor, 1 / factor))
                    word = "" if how == times(1) else " better" if factor > 1 else " worse"
                    open_.append(f"{name} ({how}{word})")
                case Verdict.BETTER:
                    better.append(text)
                case _:
                    worse.append(text)
        texts = []
        ahead, behind, level = ("better", "worse", "the same") if choice.app else ("ahead", "behind", "within 3 %")
        if better:
            texts.append(f"{ahead} in {', '.join(better)}")
        if worse:
            texts.append(f"{behind} in {', '.join(worse)}")
        if same:
            texts.append(f"{level} in {', '.join(same)}")
        if open_:
            texts.append(f"undecided in {', '.join(open_)}")
        by = "" if choice.app else " By the geometric mean of the apps,"
        text = f"Why not {choice.rival.strategy}, the runner-up?{by} {choice.take.strategy} is {'; '.join(texts)}."
        if choice.confidence in (Confidence.DECIDED, Confidence.LEANING):  # the sentence before this one has the lead
            return text
        lead = choice.lead
        return f"{text} Its lead {scope(choice)} is {times(lead.estimate)} {span(lead.low, lead.high)}."

    def _between(self, choice: Choice, name: str, factor: float) -> tuple[Verdict, float]:
        """What the samples say about the strategy to take beside the runner-up in a criterion, and how many times as
        good it is. `factor` is by the medians. It stands for values that have no ratio, and for all apps together,
        because their samples are not paired.
        """
        plain = Verdict.SAME if abs(factor - 1) <= PRACTICAL else Verdict.BETTER if factor > 1 else Verdict.WORSE
        if not choice.app or choice.take is None or choice.rival is None:
            return plain, factor
        criterion = next(item for item in self.decision.criteria if item.name == name)
        rests_on = criterion.rests_on(self.run.measured())
        metric = next((metric for metric in self.decision.metrics if metric.name == rests_on), None)
        series = self.run.series()
        pair = [series.get((cell.id, metric.name)) for cell in (choice.rival, choice.take)] if metric else [None, None]
        if metric is None or pair[0] is None or pair[1] is None:
            return plain, factor
        found = compared(metric, pair[0], pair[1])
        if found is None:
            return (plain if metric.deterministic else Verdict.UNDECIDED), factor
        if found.p is None:  # exact: a count is raised, so that the ratio of the scores is shown
            return plain, factor
        if metric.unit not in (Unit.COUNT, Unit.BOOLEAN):
            factor = found.estimate if metric.direction is Direction.LARGER else 1 / found.estimate
        return found.verdict, factor

    def consequences(self) -> str:
        lines = ["## Consequences"]
        taken: dict[str, list[str]] = {}
        for app, choice in self.decision.choices.items():
            if app and choice.take and choice.confidence is not Confidence.WITHHELD:
                taken.setdefault(choice.take.strategy, []).append(app)
        cells = {cell.strategy: cell for cell in self.run.manifest.cells}
        for strategy, names in taken.items():
            text = f"- **{strategy}** ({', '.join(names)})."
            traits_of: dict[tuple[str, ...], list[str]] = {}
            for app in names:
                traits_of.setdefault(tuple(self._traits(app)), []).append(app)
            inside = [_inside(words, apps_, names) for words, apps_ in traits_of.items() if words]
            lines.append(" ".join(filter(None, (text, cells[strategy].trades, *inside))))
        worse = list(self._worse())
        if worse:
            said = "These metrics are worse than with the first strategy:"
            lines.append(f"{said}\n\n" + "\n".join(f"- {text}" for text in worse))
        elif taken:
            lines.append("No measured metric is worse than with the first strategy by an amount that matters.")
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
                    verb = "takes" if metric.unit is Unit.SECONDS else "is"
                    yield f"{app}: {metric.name} {verb} {text}{f' {interval}' if interval else ''}"

    def undecided(self) -> str:
        lines = []
        for app, choice in self.decision.choices.items():
            if app and choice.confidence in (Confidence.LEANING, Confidence.OPEN):
                lines.append(f"- {app}: {open_reasons(choice)}")
        open_: dict[str, list[int]] = {}
        once = planned_once(self.run)
        probes = {metric.name: metric.probe for metric in self.run.manifest.metrics}
        for (_, name), figure in self.decision.shown.items():
            if figure.ratio and figure.ratio.verdict is Verdict.UNDECIDED and probes[name] not in once:
                open_.setdefault(name, []).append(figure.ratio.more)
        for name, blocks in open_.items():
            are = "is" if len(blocks) == 1 else "are"
            need = "block is" if max(blocks) == 1 else "blocks are"
            lines.append(
                f"- `{name}`: {counted(len(blocks), 'comparison')} with the first strategy {are} undecided;"
                f" about {_blocks(blocks)} more {need} needed."
            )
        missing = [metric.name for metric in self.decision.metrics if not self._any(metric.name)]
        if missing:
            lines.append(f"- Not measured in this run: {', '.join(f'`{name}`' for name in missing)}.")
        lines += [f"- {text}" for text in self._failures()]
        if not lines:
            return "## Undecided\n\nNothing that counts is undecided."
        if command := self._more():
            lines.append(f"\nTo decide the strategies, run `{command}`. {self._adds()}")
            if open_:
                lines[-1] += " A comparison that needs more blocks than this stays undecided."
        return "\n".join(["## Undecided, and what would decide it", "", *lines])

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
        lines = [f"- **{each.answer}**: {each.claim.says}{_interpretations(each)}" for each in self.decision.claims]
        said = "Tested against this run. The page and `tare claims` show every interpretation with its numbers."
        return "\n".join(["## Common claims", "", said, "", *lines])

    def evidence(self) -> str:
        manifest = self.run.manifest
        samples = sum(series.value.size for series in self.run.series().values())
        versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
        lines = [
            "## Evidence",
            f"- [{PAGE}]({PAGE}) has all charts, samples and scenarios. Every number above links to its samples there.",
            f"- {samples} samples and {len(self.run.failures)} failed tries in `samples.jsonl` of run `{self.run.id}`"
            f" (seed {manifest.seed}{f', git {manifest.git[:12]}' if manifest.git else ''}).",
            f"- Versions: {versions}." if versions else "",
            f"- `tare report {self.run.id} --decision decision.md` writes this document again.",
        ]
        return "\n".join([lines[0], "", *filter(None, lines[1:])])


def _inside(words: Sequence[str], mine: Sequence[str], every: Sequence[str]) -> str:
    """What images have and how they run: `The image of go has no shell. It does not run as root.`"""
    whose = f" of {listed(mine)}" if len(mine) < len(every) or len(every) == 1 else ""
    first, *rest = words
    if len(mine) == 1:
        return " ".join([f"The image{whose} {first}.", *(f"It {text}." for text in rest)])
    return " ".join([f"Each image{whose} {first}.", *(f"It {text}." for text in rest)])


def _interpretations(judgement: Judgement) -> str:
    """The answer of each interpretation, if there are several, and for how many cells or apps it holds."""
    texts = []
    for each in judgement.interpretations:
        counts = Counter(finding.answer for finding in each.findings)
        mixed = " and ".join(f"{count} {answer}" for answer, count in counts.items()) if len(counts) > 1 else ""
        texts.append(f"{each.interpretation.title}: {each.answer}{f', {mixed}' if mixed else ''}")
    return f" ({'; '.join(texts)})" if len(texts) > 1 or judgement.answer is Answer.UNDECIDED else ""


def _blocks(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    if low > _MANY:
        return f"over {_MANY}"
    return f"{low}" if low == high else f"{low} to over {_MANY}" if high > _MANY else f"{low} to {high}"


def _legend() -> str:
    return f"≈ means no practical difference (within {PRACTICAL:.0%}), ? means undecided.".replace("3%", "3 %")
