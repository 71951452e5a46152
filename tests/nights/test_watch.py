"""The report of a history: only the hidden effects of tests/support/nights.py; alarms, staleness, acceptance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import StoreError, UsageError
from harness.model import Direction, Environment, Metric, Status, Try, Unit
from harness.nights.accepted import Acceptance, accept, read_accepted
from harness.nights.alarms import Cause
from harness.nights.budgets import Budget, Severity
from harness.nights.history import History
from harness.nights.records import CONFIRM, GOOD, NEW, Confirmation, Failure, Key, Night, NightSeries
from harness.nights.stale import Stale
from harness.nights.watch import Watch, watch
from harness.stats.changepoints import ChangeKind
from harness.stats.intervals import Ratio, Verdict
from harness.store.run import Manifest
from harness.store.writer import RunWriter
from support.nights import CELLS, DAY, EFFECTS, FACTS, FIRST, FLOATING, METRICS, NEWER, PINNED, UPGRADED, World

WARM = next(metric for metric in METRICS if metric.name == "start.warm.total")
SIZE = METRICS[0]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("nights"))
    world.write()
    return world


def look(results: Path, **options: object) -> Watch:
    with History.open(results) as history:
        return watch(
            history.lines(),
            history.nights(),
            **{"budgets": (), "confirmations": history.confirmations(), "failures": history.failures(), **options},  # type: ignore[arg-type]
        )


def test_every_hidden_effect_is_found_and_nothing_else(world):
    found = look(world.results)
    expected = set()
    for effect in EFFECTS:
        for track in (PINNED, FLOATING) if not effect.track else (effect.track,):
            kind = ChangeKind.DRIFT if effect.drift else ChangeKind.EXACT if effect.more else ChangeKind.STEP
            facts = FACTS if effect.begin < UPGRADED else NEWER
            print_ = Environment(facts=facts).fingerprint_of(SIZE if effect.more else WARM)
            if effect.begin == UPGRADED and not effect.drift:
                continue  # a new environment has no before
            expected.add((effect.cell, effect.metric, track, print_, kind, effect.begin))
            if effect.end < UPGRADED or UPGRADED < effect.end < world.nights:
                expected.add((effect.cell, effect.metric, track, print_, kind, effect.end))
    unexpected = []
    for item in found.series:
        for change in item.changes:
            night = round((item.line.at[change.index] - FIRST) / DAY - 0.02)
            near = [
                known
                for known in expected
                if known[:5] == (item.key.cell, item.key.metric, item.key.track, item.key.fingerprint, change.kind)
                and abs(known[5] - night) <= 2
            ]
            if near:
                expected.remove(near[0])
            else:
                unexpected.append((item.key, change))
    assert not expected
    assert not unexpected
    assert found.stale == ()


def test_what_is_urgent_comes_first(world):
    urgencies = [item.urgency for item in look(world.results).series]
    assert urgencies == sorted(urgencies)
    assert urgencies[-1] == (5, 0.0)


def test_no_change_spans_an_accepted_night(world):
    since = world.runs[100, PINNED]
    marks = [Acceptance(cell="python-*", metric="start.cold.*", since=since, at=0.0, reason="a faster loader")]
    found = {item.key: item for item in look(world.results, accepted=marks).series}
    key = Key("python-distroless", "start.cold.total", Environment(facts=NEWER).fingerprint, PINNED)
    assert found[key].changes == ()
    (place,) = found[key].accepted
    assert found[key].line.runs[place] == since
    assert found[key].accepted[place] == "a faster loader"


# ── one series, made by hand ───────────────────────────────────────────────────────────────────────────────────────


def nights(count: int, **changes: object) -> list[Night]:
    return [
        replace(Night(run=f"n{i:03d}", started=FIRST + i * DAY, fingerprint="e", track=PINNED, git=""), **changes)  # type: ignore[arg-type]
        for i in range(count)
    ]


def line(values: list[float], metric: Metric = SIZE, cell: str = "go-full") -> NightSeries:
    median = np.array(values)
    return NightSeries(
        key=Key(cell, metric.name, "e", PINNED),
        metric=metric,
        runs=tuple(f"n{i:03d}" for i in range(len(values))),
        at=FIRST + DAY * np.arange(len(values)),
        n=np.full(len(values), 6),
        median=median,
        low=median * 0.99,
        high=median * 1.01,
    )


def judged(of: NightSeries, **options: object) -> Watch:
    return watch([of], nights(len(of.runs)), **{"budgets": (), **options})  # type: ignore[arg-type]


def test_a_size_beyond_its_budget_alarms_until_it_is_back():
    grown = judged(line([100, 100, 102, 102]))
    (item,) = grown.series
    assert grown.exit_code == 1
    assert item.alarm is not None
    assert (item.alarm.index, item.alarm.before, item.alarm.after, item.alarm.cause) == (2, 100, 102, Cause.GROWN)
    assert judged(line([100, 100, 102, 100])).exit_code == 0
    assert judged(line([100, 100, 100.5, 100.5])).exit_code == 0


def test_growth_in_small_steps_is_growth():
    assert judged(line([100, 100.4, 100.8, 101.2])).exit_code == 1


def test_what_is_accepted_alarms_no_more_but_growth_after_it_does():
    mark = Acceptance(cell="go-*", metric="size.*", since="n002", at=0, reason="the new feature")
    assert judged(line([100, 100, 102, 102]), accepted=[mark]).exit_code == 0
    assert judged(line([100, 100, 102, 104]), accepted=[mark]).exit_code == 1


def test_a_warning_is_no_alarm():
    budget = Budget(cells="*", metrics="size.*", growth=0.01, limit=None, severity=Severity.WARN)
    warned = judged(line([100, 103]), budgets=[budget])
    assert warned.exit_code == 0
    assert warned.series[0].alarm is not None


def test_a_limit_holds_for_sizes_at_once_and_for_durations_the_second_night():
    budget = Budget(cells="*", metrics="*", growth=None, limit=2.0, severity=Severity.HARD)
    assert judged(line([1.9, 2.01]), budgets=[budget]).exit_code == 1
    assert judged(line([1.9, 2.3], WARM), budgets=[budget]).exit_code == 0
    assert judged(line([1.9, 2.3, 2.3], WARM), budgets=[budget]).exit_code == 1
    assert judged(line([1.9, 2.01, 2.01], WARM), budgets=[budget]).exit_code == 0  # the interval holds the limit


def confirmation(night: str, estimate: float, verdict: Verdict = Verdict.WORSE) -> Confirmation:
    answer = Ratio(estimate=estimate, low=None, high=None, p=0.001, n=10, verdict=verdict)
    return Confirmation(run="ab", night=night, cell="go-full", metric=WARM.name, ratio=answer)


def slow(count: int = 23, factor: float = 1.1, at: int = 20) -> list[float]:
    values = np.exp(np.random.default_rng(3).normal(0, 0.01, count))
    values[at:] *= factor
    return list(values)


def test_a_duration_is_suspect_until_an_a_b_confirms_it():
    found = judged(line(slow(22), WARM))
    assert found.exit_code == 0
    assert found.series[0].suspicion is not None
    found = judged(line(slow(22), WARM), confirmations=[confirmation("n021", 1.1)])
    assert found.exit_code == 1
    assert found.series[0].suspicion is None
    alarm = found.series[0].alarm
    assert alarm is not None
    assert (alarm.cause, alarm.index) == (Cause.SLOWER, 21)
    assert alarm.ratio == pytest.approx(1.1, rel=0.03)
    for verdict in (Verdict.SAME, Verdict.UNDECIDED, Verdict.BETTER):
        found = judged(line(slow(22), WARM), confirmations=[confirmation("n021", 1.1, verdict)])
        assert found.exit_code == 0
        assert found.series[0].suspicion is not None
        assert found.series[0].answer is not None
        assert found.series[0].answer.ratio.verdict is verdict
    earlier = judged(line(slow(22), WARM), confirmations=[confirmation("n020", 1.1, Verdict.SAME)])
    assert earlier.series[0].answer is None  # tonight's was not asked


def test_of_the_rounds_of_an_a_b_only_the_last_counts():
    rounds = [confirmation("n021", 1.1), confirmation("n021", 1.02, Verdict.SAME)]
    assert judged(line(slow(22), WARM), confirmations=rounds).exit_code == 0
    assert judged(line(slow(22), WARM), confirmations=rounds[::-1]).exit_code == 1


def test_a_confirmed_duration_stays_open_until_it_recovers_or_is_accepted():
    confirmed = [confirmation("n021", 1.1)]
    assert judged(line(slow(40), WARM), confirmations=confirmed).exit_code == 1
    back = [*slow(23), *slow(10, 1.0)]
    assert judged(line(back, WARM), confirmations=confirmed).exit_code == 0
    mark = Acceptance(cell="*", metric="start.*", since="n022", at=0, reason="it does more now")
    assert judged(line(slow(40), WARM), confirmations=confirmed, accepted=[mark]).exit_code == 0


def test_what_only_describes_has_no_alarm():
    layers = replace(SIZE, name="size.layers", direction=Direction.NEITHER)
    found = judged(line([5, 9], layers))
    assert found.exit_code == 0
    assert [change.ratio for change in found.series[0].changes] == [1.8]


def test_an_old_environment_has_no_alarm():
    old = replace(line([100, 103]), key=Key("go-full", SIZE.name, "old", PINNED))
    assert watch([old], nights(2), budgets=()).exit_code == 0


# ── staleness ──────────────────────────────────────────────────────────────────────────────────────────────────────


def stale(of: Watch) -> str:
    return "\n".join(item.what for item in of.stale)


def test_missed_nights_are_told():
    steady = line([100.0] * 5)
    assert judged(steady).stale == ()
    assert judged(steady, now=FIRST + 4 * DAY + 3600).stale == ()
    late = judged(steady, now=FIRST + 33 * DAY)
    assert "29 days" in stale(late)
    assert late.exit_code == 3
    gap = nights(5)
    gap[-1] = replace(gap[-1], started=gap[-1].started + 3 * DAY)
    assert "4.0 days" in stale(watch([steady], gap, budgets=()))
    assert watch([], [], budgets=()).stale == (Stale(what="no night is stored"),)


def test_a_track_that_stopped_is_told():
    both = sorted([*nights(7), *nights(2, track=FLOATING)], key=lambda night: night.started)
    assert "track floating" in stale(watch([line([100.0] * 7)], both, budgets=()))


def test_a_series_that_stopped_is_told_with_its_cell():
    short = line([100.0] * 4)
    found = watch([short, line([100.0] * 5, cell="go-slim")], nights(5), budgets=())
    assert [item.cell for item in found.stale] == ["go-full"]
    assert "size.transfer" in stale(found)
    new_environment = [*nights(4), replace(nights(5)[4], fingerprint="other")]
    assert "go-full" in stale(watch([short], new_environment, budgets=()))


def test_a_cell_that_fails_night_after_night_is_told():
    failures = [
        Failure(run=f"n{i:03d}", cell="go-full", probe="start", status="timeout", reason="no answer", count=2)
        for i in (1, 3, 4)
    ]
    found = judged(line([100.0] * 5), failures=failures)
    assert "failed for 2 nights: timeout: no answer" in stale(found)
    assert judged(line([100.0] * 5), failures=failures[:2]).stale == ()


# ── accepting ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_accepted_changes_are_kept_in_order(tmp_path):
    assert read_accepted(tmp_path) == ()
    marks = [Acceptance(cell="go-*", metric="size.*", since=f"n{i}", at=float(i), reason=f"reason {i}") for i in (1, 2)]
    for mark in marks:
        accept(tmp_path, mark)
    assert read_accepted(tmp_path) == tuple(marks)


def test_no_reason_no_acceptance(tmp_path):
    with pytest.raises(UsageError, match="reason"):
        accept(tmp_path, Acceptance(cell="go-full", metric="size.*", since="n1", at=1.0, reason="  "))


def test_a_spoilt_line_of_accepted_changes_is_told(tmp_path):
    (tmp_path / "accepted.jsonl").write_text('{"cell": "go-full"}\n')
    with pytest.raises(StoreError, match=r"accepted.jsonl:1"):
        read_accepted(tmp_path)


def test_an_a_b_run_confirms_through_the_store(tmp_path):
    """A suspicion, the A/B run of that night, and the alarm: all by run folders."""
    for night, value in enumerate(slow(12, 1.3, at=11)):
        write(tmp_path, {"go-full": [value * x for x in (0.99, 1.0, 1.01, 1.0, 1.02, 0.98)]}, night)
    with History.open(tmp_path) as history:
        tonight = history.nights()[-1].run
    assert look(tmp_path).series[0].suspicion is not None
    pairs = {f"go-full{GOOD}": [1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.01], f"go-full{NEW}": [1.3] * 8}
    write(tmp_path, pairs, 11.1, purpose=CONFIRM, night=tonight)
    found = look(tmp_path)
    assert found.exit_code == 1
    alarm = found.series[0].alarm
    assert alarm is not None
    assert alarm.confirmation is not None
    assert alarm.confirmation.night == tonight


def write(
    results: Path,
    times: dict[str, list[float]],
    number: float,
    /,
    environment: Environment = Environment(facts=FACTS),  # noqa: B008 - frozen
    metric: Metric = WARM,
    **plan: object,
) -> None:
    from unittest import mock

    manifest = Manifest(environment=environment, seed=1, metrics=(metric,), cells=CELLS[:1], plan=plan)
    with (
        mock.patch("harness.store.writer.time.time", lambda: FIRST + number * DAY),
        RunWriter.create(results, manifest) as writer,
    ):
        for cell, values in times.items():
            for block, value in enumerate(values):
                writer.append(
                    Try(
                        cell=cell,
                        probe="start",
                        state="warm",
                        block=block,
                        order=block,
                        at=FIRST,
                        seconds=1,
                        status=Status.OK,
                        values={metric.name: value},
                    )
                )


def test_boolean_metrics_are_judged_like_exact_ones():
    root = Metric(name="surface.root", unit=Unit.BOOLEAN, deterministic=True, headline=True, help="runs as root")
    assert judged(line([0, 0, 1], root)).exit_code == 1
    assert judged(line([1, 1, 0], root)).exit_code == 0


def exact_world(kernels: list[str], sizes: list[float], results: Path) -> Watch:
    for number, (kernel, size) in enumerate(zip(kernels, sizes, strict=True)):
        environment = Environment(facts={**FACTS, "kernel": kernel})
        write(results, {"go-full": [size] * 6}, number, environment=environment, metric=SIZE)
    return look(results)


def test_a_size_keeps_its_history_when_the_kernel_changes(tmp_path, capsys):
    """30 nights of 100 MB, and 140 MB in the night of a new kernel: `trend` and `gate` both say 1."""
    from harness.cli import main

    budgets = tmp_path / "budgets.toml"
    budgets.write_text('[[budget]]\nmetrics = "size.*"\ngrowth = "2 %"\n')
    results = tmp_path / "results"
    found = exact_world(["6.12.1"] * 30 + ["6.12.3"], [1e8] * 30 + [1.4e8], results)
    (item,) = found.series
    assert len(item.line.runs) == 31
    assert found.exit_code == 1
    words = ["--results", str(results), "--budgets", str(budgets)]
    assert main(["trend", *words]) == 1
    base, head = item.line.runs[-2:]
    assert main(["gate", "--base", base, "--head", head, *words]) == 1
    assert "140" in capsys.readouterr().out


def test_two_machines_in_turns_keep_one_history_of_sizes_and_two_of_durations(tmp_path):
    for number in range(8):
        environment = Environment(facts={**FACTS, "processor": "ab"[number % 2]})
        for metric in (SIZE, WARM):
            write(
                tmp_path, {"go-full": [1.0] * 6}, number + (metric is SIZE) / 10, environment=environment, metric=metric
            )
    found = look(tmp_path)
    assert sorted((item.key.metric, len(item.line.runs), item.current) for item in found.series) == [
        ("size.transfer", 8, True),
        ("start.warm.total", 4, True),
        ("start.warm.total", 4, True),
    ]


def test_an_engine_of_another_patch_level_is_the_same_for_sizes():
    one, two, three = (Environment(facts={**FACTS, "engine": f"docker 27.{minor}"}) for minor in ("1.0", "1.2", "2.0"))
    assert one.fingerprint_of(SIZE) == two.fingerprint_of(SIZE) != three.fingerprint_of(SIZE)
    assert one.fingerprint_of(WARM) != two.fingerprint_of(WARM)


def test_a_retired_cell_is_said_once(tmp_path):
    lines = [line([100.0] * 4), line([100.0] * 8, cell="go-slim")]
    both, one = (frozenset(cells) for cells in (("go-full", "go-slim"), ("go-slim",)))
    planned = [
        replace(night, cells=both if place < 4 else one, metrics=frozenset([SIZE.name]), purpose="nightly")
        for place, night in enumerate(nights(8))
    ]
    said = [
        stale(watch([lines[0], replace(lines[1], runs=lines[1].runs[:n])], planned[:n], budgets=())) for n in (5, 6, 8)
    ]
    assert "go-full: is no longer in the plan" in said[0]
    assert said[1:] == ["", ""]
    mark = Acceptance(cell="go-full", metric="*", since="n004", at=0, reason="retired")
    first = [lines[0], replace(lines[1], runs=lines[1].runs[:5])]
    assert watch(first, planned[:5], budgets=(), accepted=[mark]).stale == ()
    failed = [replace(night, cells=both, metrics=frozenset([SIZE.name])) for night in planned]
    assert "go-full: not measured tonight" in stale(watch(lines, failed, budgets=()))
    mark = replace(mark, since="n007")
    assert watch(lines, failed, budgets=(), accepted=[mark]).stale == ()


def test_a_retired_cell_has_no_open_alarm():
    planned = [replace(night, cells=frozenset(["go-slim"])) for night in nights(4)]
    assert watch([line([100, 100, 103])], planned, budgets=()).exit_code != 1
