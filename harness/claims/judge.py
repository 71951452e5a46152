"""Claims judged by stored runs. Pure: runs in, verdicts out.

Every unit of an interpretation (a cell, an app's pair of cells, an app, a set of cells) is judged by the newest run
that has the samples for it. All units of an interpretation come from one environment, the newest run's if it has any;
nothing is ever joined across environments.

An interval inside the bounds confirms, an interval outside them refutes, and an interval across a bound is undecided;
so are too few samples for an interval. Comparisons are those of harness/stats/intervals.py: at least six blocks, and a
false discovery rate over the interpretation. "No practical difference" refutes that one value is less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from harness.claims.claim import (
    Answer,
    Claim,
    EndsAs,
    Evidence,
    Follows,
    Interpretation,
    Judged,
    Judgement,
    Less,
    Same,
    Within,
)
from harness.claims.samples import (
    cells_by_app,
    cells_having,
    cells_matching,
    failure_of,
    has_samples,
    is_exact,
    metric_of,
    newest_run_of,
    pairs_of_apps,
    summary_of,
)
from harness.model import Direction, Metric, Status
from harness.stats.intervals import Method, Ratio, Summary, Verdict, confirm, ratio
from harness.store.run import Run
from harness.text.units import factor_text, scale, summary_text


def judge(claims: Iterable[Claim], runs: Sequence[Run]) -> tuple[Judgement, ...]:
    """The verdict on every claim by these runs, in any order."""
    described = (run.described() for run in runs)
    newest = sorted(described, key=lambda run: (run.manifest.started, run.id), reverse=True)
    by_print: dict[str, list[Run]] = {}
    for run in newest:
        by_print.setdefault(run.manifest.environment.fingerprint, []).append(run)
    return tuple(_judge_claim(claim, by_print) for claim in claims)


def _judge_claim(claim: Claim, by_print: Mapping[str, Sequence[Run]]) -> Judgement:
    interpretations = tuple(_judge_interpretation(interpretation, by_print) for interpretation in claim.interpretations)
    every = {judged.answer for judged in interpretations}
    answers = every - {Answer.UNTESTABLE} or every
    decided = answers - {Answer.UNDECIDED}
    if len(decided) > 1:
        answer = Answer.DEPENDS
    elif len(answers) > 1 or not answers:  # an undecided answer may still change
        answer = Answer.UNDECIDED
    else:
        (answer,) = answers
    return Judgement(claim=claim, answer=answer, interpretations=interpretations)


def _judge_interpretation(interpretation: Interpretation, by_print: Mapping[str, Sequence[Run]]) -> Judged:
    find = _FINDERS[type(interpretation.test)]
    for fingerprint, runs in by_print.items():
        if findings := tuple(find(interpretation, runs)):
            answer = _together(findings)
            return Judged(
                interpretation=interpretation,
                answer=answer,
                findings=findings,
                environment=fingerprint,
            )
    return Judged(interpretation=interpretation, answer=Answer.UNDECIDED, findings=(), environment="")


def _together(findings: Sequence[Evidence]) -> Answer:
    """Every unit that can be tested must confirm; a single unit can refute."""
    answers = {finding.answer for finding in findings} - {Answer.UNTESTABLE}
    if not answers:
        return Answer.UNTESTABLE
    if Answer.REFUTED in answers:
        return Answer.REFUTED
    return Answer.UNDECIDED if Answer.UNDECIDED in answers else Answer.CONFIRMED


# ── units ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _within(interpretation: Interpretation, runs: Sequence[Run]) -> Iterator[Evidence]:
    test = interpretation.test
    assert isinstance(test, Within)
    for cell, run in newest_run_of(
        interpretation.cells, runs, lambda run, cell: (cell, interpretation.metric) in run.series()
    ):
        metric, summary = metric_of(run, interpretation.metric), summary_of(run, cell, interpretation.metric)
        low, high = summary.low, summary.high
        if low is None or high is None:
            answer = Answer.UNDECIDED
        elif test.low <= low and high <= test.high:
            answer = Answer.CONFIRMED
        else:
            answer = Answer.REFUTED if high < test.low or low > test.high else Answer.UNDECIDED
        yield Evidence(unit=cell, answer=answer, numbers=_value(metric, summary), run=run.id)


def _less(interpretation: Interpretation, runs: Sequence[Run]) -> Iterator[Evidence]:
    test = interpretation.test
    assert isinstance(test, Less)
    pairs: dict[tuple[str, str], Run] = {}
    for run in runs:
        series = run.series()
        for one, other in pairs_of_apps(run, interpretation.cells, test.than):
            if (one, interpretation.metric) in series and (other, interpretation.metric) in series:
                pairs.setdefault((one, other), run)
    ratios = _ratios({pair: (run, interpretation.metric) for pair, run in pairs.items()})
    for (one, other), run in pairs.items():
        metric = metric_of(run, interpretation.metric)
        mine, theirs = (summary_of(run, cell, interpretation.metric) for cell in (one, other))
        compared = ratios.get((one, other))
        numbers = f"{_value(metric, mine)} against {_value(metric, theirs)}"
        if not mine.median and not theirs.median and mine.method is theirs.method is Method.EXACT:
            answer = Answer.UNTESTABLE
            numbers += ", so there is none that could be less"
        elif compared is None:  # a value of zero has no ratio: only exact values can be compared
            answer = _exactly_less(mine, theirs)
        else:
            answer = _is_less(compared)
            numbers += f" ({_ratio(compared)})"
        yield Evidence(unit=one, answer=answer, numbers=numbers, run=run.id)


def _follows(interpretation: Interpretation, runs: Sequence[Run]) -> Iterator[Evidence]:
    """One finding for each app, over all its pairs of cells."""
    test = interpretation.test
    assert isinstance(test, Follows)
    chosen: dict[str, Run] = {}
    for run in runs:
        for app, cells in cells_by_app(run, interpretation.cells).items():
            if len(cells_having(run, cells, (interpretation.metric, test.metric))) > 1:
                chosen.setdefault(app, run)
    pairs = {}
    for app, run in chosen.items():
        cells = cells_having(run, cells_by_app(run, interpretation.cells)[app], (interpretation.metric, test.metric))
        for one, other in combinations(cells, 2):
            less, more = sorted((one, other), key=lambda cell: summary_of(run, cell, test.metric).median)
            if summary_of(run, more, test.metric).median >= test.apart * summary_of(run, less, test.metric).median:
                pairs[less, more] = (run, interpretation.metric)
    ratios = _ratios(pairs)
    for app, run in chosen.items():
        cells = cells_by_app(run, interpretation.cells)[app]
        mine = [ratios[pair] for pair in pairs if pair[0] in cells and pair in ratios]
        if mine:
            yield _tally(app, mine, test, run)


def _tally(app: str, compared: Sequence[Ratio], test: Follows, run: Run) -> Evidence:
    answers = [_is_less(each) for each in compared]
    less, not_less, open_ = (answers.count(answer) for answer in (Answer.CONFIRMED, Answer.REFUTED, Answer.UNDECIDED))
    allowed = test.exceptions * len(answers)
    if not_less > allowed:
        answer = Answer.REFUTED
    else:
        answer = Answer.CONFIRMED if not_less + open_ <= allowed else Answer.UNDECIDED
    low, high = min(each.estimate for each in compared), max(each.estimate for each in compared)
    ratios = f"ratios {factor_text(low)} to {factor_text(high)}"
    numbers = f"{less} of {len(answers)} pairs less, {not_less} not, {open_} undecided; {ratios}"
    return Evidence(unit=app, answer=answer, numbers=numbers, run=run.id)


def _same(interpretation: Interpretation, runs: Sequence[Run]) -> Iterator[Evidence]:
    test = interpretation.test
    assert isinstance(test, Same)
    for run in runs:
        cells = cells_having(run, cells_matching(run, interpretation.cells), (interpretation.metric,))
        if len(cells) < 2:
            continue
        metric = metric_of(run, interpretation.metric)
        found = {cell: summary_of(run, cell, interpretation.metric) for cell in cells}
        least, most = min(found.values(), key=_median), max(found.values(), key=_median)
        low = _bound(most.low, least.high)  # greatest ÷ least, at least and at most
        high = _bound(most.high, least.low)
        bound = 1 + test.tolerance
        if low is None or high is None:
            answer = Answer.UNDECIDED
        elif high <= bound:
            answer = Answer.CONFIRMED
        else:
            answer = Answer.REFUTED if low > bound else Answer.UNDECIDED
        numbers = f"{len(cells)} cells, {_value(metric, least)} to {_value(metric, most)}"
        yield Evidence(unit=", ".join(interpretation.cells), answer=answer, numbers=numbers, run=run.id)
        return


def _outcome(interpretation: Interpretation, runs: Sequence[Run]) -> Iterator[Evidence]:
    test = interpretation.test
    assert isinstance(test, EndsAs)

    def tried(run: Run, cell: str) -> bool:
        return has_samples(run, cell) or failure_of(run, cell) is not None

    for cell, run in newest_run_of(interpretation.cells, runs, tried):
        failed = None if has_samples(run, cell) else failure_of(run, cell)
        yield Evidence(
            unit=cell,
            answer=_as_expected(test.status, failed.status if failed else Status.OK),
            numbers=f"{failed.status}: {failed.reason}" if failed else "was built, started and answered as expected",
            run=run.id,
            log=failed.log if failed else "",
        )


def _as_expected(expected: Status | None, found: Status) -> Answer:
    """A failure of another kind does not show whether the expected failure would occur."""
    if found is expected or (expected is None and found is not Status.OK):
        return Answer.CONFIRMED
    return Answer.REFUTED if Status.OK in (expected, found) else Answer.UNDECIDED


_FINDERS: Mapping[type, Callable[[Interpretation, Sequence[Run]], Iterator[Evidence]]] = {
    Within: _within,
    Less: _less,
    Follows: _follows,
    Same: _same,
    EndsAs: _outcome,
}

# ── comparing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _ratios(pairs: Mapping[tuple[str, str], tuple[Run, str]]) -> dict[tuple[str, str], Ratio]:
    """The ratio first ÷ second of each pair, with the false discovery rate over all of them.

    Less counts as better for every metric, because a claim says what is less, not what is good.
    """
    found = {}
    for (one, other), (run, name) in pairs.items():
        mine, theirs = run.series()[one, name], run.series()[other, name]
        exact = is_exact(metric_of(run, name), mine, theirs)
        if compared := ratio(theirs, mine, direction=Direction.SMALLER, deterministic=exact):
            found[one, other] = compared
    return confirm(found)


def _exactly_less(mine: Summary, theirs: Summary) -> Answer:
    if not mine.method is theirs.method is Method.EXACT:
        return Answer.UNDECIDED
    return Answer.CONFIRMED if mine.median < theirs.median else Answer.REFUTED


def _is_less(compared: Ratio) -> Answer:
    match compared.verdict:
        case Verdict.BETTER:
            return Answer.CONFIRMED
        case Verdict.UNDECIDED:
            return Answer.UNDECIDED
    return Answer.REFUTED


def _bound(upper: float | None, lower: float | None) -> float | None:
    """One bound ÷ another; None if one is unknown."""
    if upper is None or lower is None:
        return None
    return upper / lower if lower else 1.0 if upper == lower else math.inf


def _median(summary: Summary) -> float:
    return summary.median


# ── words ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _value(metric: Metric, summary: Summary) -> str:
    """`1.23 s ±0.04`, `49.3 MB`; the number of samples if there are too few for an interval."""
    own = scale(metric, [summary.median])
    return summary_text(summary, own) if summary.low is not None else f"{own.amount(summary.median)} (n = {summary.n})"


def _ratio(compared: Ratio) -> str:
    if compared.p is None:
        return factor_text(compared.estimate)
    bounds = "" if compared.low is None or compared.high is None else f" [{compared.low:.2f}–{compared.high:.2f}]"
    more = (
        f", about {compared.more} more block{'s' * (compared.more != 1)} needed"
        if compared.verdict is Verdict.UNDECIDED
        else ""
    )
    return f"{factor_text(compared.estimate)}{bounds}{more}"
