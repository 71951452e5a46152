"""Verdicts on claims: each kind of test, from run folders with known samples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.catalogue.catalogue import Catalogue
from harness.claims.claim import Answer, Claim, EndsAs, Follows, Interpretation, Less, Same, Within
from harness.claims.judge import judge
from harness.model import App, Base, Cell, Edit, Environment, Metric, Request, Status, Strategy, Try, Unit
from harness.report.claims import command, render
from harness.store.run import CellInfo, Manifest, read_run
from harness.store.writer import RunWriter

MB = 1e6
SIZE = Metric(name="size.transfer", unit=Unit.BYTES, deterministic=True, help="")
PULL = Metric(name="pull.empty.total", unit=Unit.SECONDS, help="")
PACKAGES = Metric(name="surface.packages", unit=Unit.COUNT, help="")
CONFIRMED, REFUTED, UNDECIDED = Answer.CONFIRMED, Answer.REFUTED, Answer.UNDECIDED


@pytest.fixture
def write(tmp_path):
    """A run of samples, {cell: {metric: values}}, and of cells that cannot be made ready, {cell: reason}."""
    count = 0

    def written(samples, *, failures=(), host="one"):
        nonlocal count
        count += 1
        names = [*samples, *dict(failures)]
        cells = tuple(
            CellInfo(id=name, app=name.partition("-")[0], app_title="", strategy=name.partition("-")[2],
                     strategy_title="", rank=number)
            for number, name in enumerate(names)
        )  # fmt: skip
        manifest = Manifest(environment=Environment(facts={"host": host}), seed=1, metrics=(SIZE, PULL, PACKAGES),
                            cells=cells)  # fmt: skip
        plain = Try(cell="", probe="x", state="x", block=0, order=0, at=0.0, seconds=0.0, status=Status.OK)
        with RunWriter.create(tmp_path / str(count), manifest) as writer:
            for cell, metrics in samples.items():
                for metric, values in metrics.items():
                    for block, value in enumerate(values):
                        writer.append(replace(plain, cell=cell, block=block, values={metric: value}))
            for cell, reason in dict(failures).items():
                failed = {"status": Status.EXITED, "reason": reason, "log": "exec /server: no such file"}
                writer.append(replace(plain, cell=cell, probe="prepare", **failed))
        return read_run(writer.folder)

    return written


def verdict(runs, test, metric="size.transfer", cells=("*",)):
    interpretation = Interpretation(
        title="so", metric="" if isinstance(test, EndsAs) else metric, cells=cells, test=test
    )
    (judgement,) = judge([Claim(name="so", says="So it is.", interpretations=(interpretation,))], runs)
    return judgement.interpretations[0]


NEAR_TEN = Within(low=9 * MB, high=11 * MB, words="about 10 MB ± 10 %")


@pytest.mark.parametrize(("size", "answer"), [(10, CONFIRMED), (9, CONFIRMED), (12, REFUTED), (8.9, REFUTED)])
def test_an_exact_value_is_inside_or_outside(write, size, answer):
    assert verdict([write({"go-slim": {"size.transfer": [size * MB]}})], NEAR_TEN).answer is answer


@pytest.mark.parametrize(
    ("seconds", "answer"),
    [
        ([1.0, 1.1, 1.05, 1.02, 1.2, 1.3], CONFIRMED),
        ([3.0, 3.1, 3.05, 2.9, 2.8, 3.3], REFUTED),
        ([1.0, 1.1, 2.2, 1.3, 1.2, 1.4], UNDECIDED),
        ([1.0] * 5, UNDECIDED),
    ],
)
def test_a_duration_is_decided_by_its_interval(write, seconds, answer):
    test = Within(high=1.5, words="at most 1.5 s")
    assert verdict([write({"go-slim": {"pull.empty.total": seconds}})], test, "pull.empty.total").answer is answer


def test_counts_taken_once_are_what_they_are(write):
    run = write({"go-full": {"surface.packages": [90]}, "go-distroless": {"surface.packages": [0]}})
    assert verdict([run], Less(than=("*-full",)), "surface.packages", ("*-distroless",)).answer is CONFIRMED
    assert verdict([run], Within(low=0, high=0, words="exactly 0"), "surface.packages", ("*-distroless",)).answer is (
        CONFIRMED
    )


def test_if_there_is_none_to_begin_with_nothing_can_be_less(write):
    """Both have none, so the claim is not tested. The apps that have some decide."""
    none = {"go-full": {"surface.packages": [0]}, "go-distroless": {"surface.packages": [0]}}
    less = Less(than=("*-full",))
    judged = verdict([write(none)], less, "surface.packages", ("*-distroless",))
    assert judged.answer is Answer.UNTESTABLE
    assert judged.findings[0].numbers == "0 against 0, so there is none that could be less"
    some = {"java-full": {"surface.packages": [90]}, "java-distroless": {"surface.packages": [0]}}
    assert verdict([write(none | some)], less, "surface.packages", ("*-distroless",)).answer is CONFIRMED


def test_every_app_must_agree_and_one_that_does_not_refutes(write):
    sizes = {"go-full": 300, "go-slim": 100, "java-full": 300, "java-slim": 310}
    run = write({cell: {"size.transfer": [size * MB]} for cell, size in sizes.items()})
    judged = verdict([run], Less(than=("*-full",)), cells=("*-slim",))
    assert judged.answer is REFUTED
    assert [(finding.unit, finding.answer) for finding in judged.findings] == [
        ("go-slim", CONFIRMED), ("java-slim", REFUTED),
    ]  # fmt: skip
    assert "100 MB against 300 MB (0.33×)" in judged.findings[0].numbers


@pytest.mark.parametrize(("blocks", "factor", "answer"), [(8, 0.5, CONFIRMED), (5, 0.5, UNDECIDED),
                                                          (8, 1.001, REFUTED), (8, 2.0, REFUTED)])  # fmt: skip
def test_durations_are_compared_by_block_and_no_practical_difference_is_not_less(write, blocks, factor, answer):
    full = [1.0 + 0.01 * block for block in range(blocks)]
    slim = [factor * value * (1 + 0.002 * (number % 3)) for number, value in enumerate(full)]
    run = write({"go-full": {"pull.empty.total": full}, "go-slim": {"pull.empty.total": slim}})
    judged = verdict([run], Less(than=("*-full",)), "pull.empty.total", ("*-slim",))
    assert judged.answer is answer
    assert ("more block" in judged.findings[0].numbers) == (answer is UNDECIDED)


def followers(write, seconds):
    sizes = {"go-full": 300, "go-slim": 100, "go-scratch": 10, "go-distroless": 10.2}
    return write({
        cell: {"size.transfer": [size * MB],
               "pull.empty.total": [seconds[cell] * (1 + 0.001 * block) for block in range(8)]}
        for cell, size in sizes.items()
    })  # fmt: skip


@pytest.mark.parametrize(
    ("slim", "exceptions", "answer"), [(1.0, 0.0, CONFIRMED), (4.0, 0.0, REFUTED), (4.0, 0.2, CONFIRMED)]
)
def test_what_follows_another_metric(write, slim, exceptions, answer):
    """scratch and distroless are not far enough apart: five pairs count."""
    seconds = {"go-full": 3.0, "go-slim": slim, "go-scratch": 0.3, "go-distroless": 0.2}
    test = Follows(metric="size.transfer", apart=1.1, exceptions=exceptions)
    judged = verdict([followers(write, seconds)], test, "pull.empty.total")
    assert judged.answer is answer
    assert "of 5 pairs" in judged.findings[0].numbers


def test_the_same_within_a_tolerance(write):
    run = write({f"stages-serial-{n}": {"size.transfer": [10 * MB + n]} for n in (1, 2, 64)})
    assert verdict([run], Same(tolerance=0.01)).answer is CONFIRMED
    assert verdict([run], Same(tolerance=0.0)).answer is REFUTED
    assert verdict([run], Same(tolerance=0.0), cells=("stages-serial-2",)).findings == ()


def test_what_fails_says_what_a_user_sees(write):
    run = write({"go-scratch": {"size.transfer": [MB]}}, failures={"go-scratch-cgo": "exit code 1"})
    assert verdict([run], EndsAs(status=Status.OK), cells=("go-scratch",)).answer is CONFIRMED
    trap = verdict([run], EndsAs(status=None), cells=("go-scratch-cgo",))
    assert trap.answer is CONFIRMED
    assert trap.findings[0].numbers == "exited: exit code 1" and "no such file" in trap.findings[0].log
    assert verdict([run], EndsAs(status=Status.OK), cells=("go-scratch-cgo",)).answer is REFUTED
    assert verdict([run], EndsAs(status=Status.EXITED), cells=("go-scratch-cgo",)).answer is CONFIRMED
    assert verdict([run], EndsAs(status=Status.EXITED), cells=("go-scratch",)).answer is REFUTED
    assert verdict([run], EndsAs(status=Status.TIMEOUT), cells=("go-scratch-cgo",)).answer is UNDECIDED


def test_each_unit_is_judged_by_the_newest_run_that_has_it(write):
    old = write({"go-slim": {"size.transfer": [20 * MB]}, "java-slim": {"size.transfer": [10 * MB]}})
    new = write({"go-slim": {"size.transfer": [10 * MB]}})
    judged = verdict([old, new], NEAR_TEN)
    assert judged.answer is CONFIRMED
    assert {finding.unit: finding.run for finding in judged.findings} == {"go-slim": new.id, "java-slim": old.id}


def test_environments_are_never_joined_and_two_are_said(write):
    other = write({"go-slim": {"pull.empty.total": [1.0] * 6}, "java-slim": {"size.transfer": [MB]}}, host="other")
    here = write({"go-slim": {"size.transfer": [10 * MB]}})
    assert {finding.unit for finding in verdict([other, here], NEAR_TEN).findings} == {"go-slim"}
    interpretations = tuple(
        Interpretation(title=name, metric=name, cells=("*",), test=Within(words="any"))
        for name in ("size.transfer", "pull.empty.total")
    )
    (judgement,) = judge([Claim(name="so", says="So it is.", interpretations=interpretations)], [other, here])
    assert judgement.environments == (here.manifest.environment.fingerprint, other.manifest.environment.fingerprint)
    assert "different environments" in render([judgement])


def test_what_is_not_measured_is_undecided_and_says_what_would_decide_it(write):
    judged = verdict([write({"go-slim": {"size.transfer": [MB]}})], NEAR_TEN, "surface.shells", ("go-slim",))
    assert (judged.answer, judged.findings, judged.environment) == (UNDECIDED, (), "")
    assert verdict([], NEAR_TEN).answer is UNDECIDED
    (judgement,) = judge([Claim(name="so", says="So it is.", interpretations=(judged.interpretation,))], [])
    assert "this command decides it: tox -e bench -- -m surface -k go-slim" in render([judgement])
    assert "no probe gives surface.shells" in render([judgement], metrics=["size.transfer"])


def two_interpretations(*tests):
    return tuple(
        Interpretation(title=str(n), metric="size.transfer", cells=("*",), test=test) for n, test in enumerate(tests)
    )


def test_a_claim_that_is_true_of_one_interpretation_only_says_so(write):
    run = write({"go-slim": {"size.transfer": [10 * MB]}})
    far = Within(low=1e9, words="at least 1 GB")
    claim = Claim(name="so", says="So it is.", interpretations=two_interpretations(NEAR_TEN, far))
    (judgement,) = judge([claim], [run])
    assert judgement.answer is Answer.DEPENDS
    text = render([judgement], width=200)
    assert "DEPENDS ON THE INTERPRETATION: So it is." in text and f"(run {run.id})" in text
    open_too = Interpretation(title="?", metric="link.total", cells=("*",), test=far)
    (judgement,) = judge([replace(claim, interpretations=(claim.interpretations[0], open_too))], [run])
    assert judgement.answer is UNDECIDED


def catalogue():
    def app(name, default):
        nothing = Edit(file="", find="", replace="")
        return App(name=name, title="", language="", path=None, port=1, ready=Request(path="/"), verify=(),
                   source_change=nothing, dependency_change=nothing, default=default)  # fmt: skip

    def strategy(name, default):
        return Strategy(name=name, title="", summary="", trades="", path=None, rank=0, default=default)

    cells = tuple(
        Cell(app=a, strategy=s, dockerfile=None)
        for a in (app("go", True), app("java", False)) for s in (strategy("slim", True), strategy("trap", False))
    )  # fmt: skip
    return Catalogue(apps=(), strategies=(), bases=dict[str, Base](), release="", cells=cells)


@pytest.mark.parametrize(
    ("cells", "metric", "expected"),
    [
        (("go-slim",), "size.transfer", "tox -e bench -- -m size -k go-slim"),
        (("*-slim",), "size.transfer", "tox -e bench -- -m size -k slim"),
        (("*",), "size.transfer", "tox -e bench -- -m size"),
        (("java-slim",), "size.transfer", "tox -e bench -- --app java -m size -k java-slim"),
        (("go-trap",), "", "tox -e bench -- --strategy trap -m size -k go-trap"),
        (("go-slim",), "pull.empty.total", "tox -e bench -- -m pull -k go-slim --blocks 12"),
    ],
)
def test_the_command_that_would_decide(cells, metric, expected):
    test = NEAR_TEN if metric else EndsAs(status=Status.OK)
    assert command(Interpretation(title="", metric=metric, cells=cells, test=test), catalogue()) == expected


def test_the_command_for_comparisons_measures_both_sides():
    less = Interpretation(title="", metric="size.transfer", cells=("*-slim",), test=Less(than=("*-full",)))
    assert command(less) == 'tox -e bench -- -m size -k "slim or full"'
    both = Interpretation(title="", metric="pull.empty.total", cells=("*",),
                   test=Follows(metric="size.transfer", apart=1.1, exceptions=0))  # fmt: skip
    assert command(both) == 'tox -e bench -- -m "pull or size" --blocks 12'
    assert command(replace(less, decide="tare stages")) == "tare stages"
