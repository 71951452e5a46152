"""Tables: what a reader must find in them, at every width."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UsageError
from harness.model import Direction, Environment, Metric, Status, Try, Unit
from harness.report.table import render
from harness.stats.intervals import Ratio, Verdict, summarise
from harness.store.run import CellInfo, Manifest, Run, read_run
from harness.store.writer import RunWriter
from harness.text.units import Scale, interval_text, ratio_text, scale
from support.metrics import placed

BYTES = Metric(name="size.transfer", unit=Unit.BYTES, deterministic=True, headline=True, help="bytes a client gets")
LAYERS = Metric(name="size.layers", unit=Unit.COUNT, deterministic=True, help="layers of the image")
BUILD = Metric(name="build.cold", unit=Unit.SECONDS, headline=True, help="a build from nothing")
REPEAT = Metric(
    name="build.reproducible", unit=Unit.BOOLEAN, direction=Direction.LARGER, deterministic=True, help="twice the same"
)
COLD = Metric(name="start.cold.total", unit=Unit.SECONDS, headline=True, help="to the first answer, cache dropped")
WARM = Metric(name="start.warm.total", unit=Unit.SECONDS, headline=True, help="to the first answer, cache warm")
FLOOR = Metric(name="floor.warm.total", unit=Unit.SECONDS, headline=True, help="the engine's own time")
DEPLOY = Metric(name="deploy.total", unit=Unit.SECONDS, headline=True, help="never measured here")
STRATEGIES = ("scratch", "full", "slim")  # not in the order of rank
RANK = {"full": 0, "slim": 10, "scratch": 50}


def manifest(kernel: str = "6.1") -> Manifest:
    return Manifest(
        environment=Environment(facts={"kernel": kernel, "storage driver": "overlay2"}),
        seed=42,
        metrics=placed(BYTES, LAYERS, BUILD, REPEAT, COLD, WARM, FLOOR, DEPLOY),
        cells=tuple(
            CellInfo(
                id=f"{app}-{name}", app=app, app_title=f"The {app} app", strategy=name, strategy_title=name, rank=rank
            )
            for app in ("go", "python")
            for name, rank in ((name, RANK[name]) for name in STRATEGIES)
        ),
        git="753f2c6a9b1e55",
    )


def fill(results: Path, manifest: Manifest, blocks: int = 8) -> Run:
    """python-scratch never builds, go-slim once has no answer in time, python-slim never starts cold."""
    random, order = np.random.default_rng(3), count()
    with RunWriter.create(results, manifest) as writer:

        def add(cell: str, probe: str, state: str, block: int, status: Status = Status.OK, **more: object) -> None:
            base = Try(
                cell=cell, probe=probe, state=state, block=block, order=next(order), at=0.0, seconds=1.0, status=status
            )
            writer.append(replace(base, **more))  # type: ignore[arg-type]

        for block in range(blocks):
            add("", "floor", "warm", block, values={"floor.warm.total": 0.25 + block / 1000})
            for cell in manifest.cells:
                noise = float(np.exp(random.normal(0, 0.01)))
                if cell.id == "python-scratch":
                    if block < 2:
                        failure = {"reason": "RUN pip install failed: exit code 1", "log": "one\ntwo\nerror: gcc | x\n"}
                        add(cell.id, "build", "cold", block, Status.ERROR, **failure)
                    continue
                if not block:
                    values = {"size.transfer": 312.4e6 / (1 + cell.rank), "size.layers": 7.0}
                    add(cell.id, "size", "", 0, values=values)
                add(cell.id, "build", "cold", block, values={"build.cold": 24 * noise / (1 + cell.rank / 10)})
                add(cell.id, "start", "warm", block, values={"start.warm.total": 0.271 * noise})
                if cell.id == "go-slim" and block == 4:
                    add(cell.id, "start", "cold", block, Status.TIMEOUT, reason="no answer within 30 s", log="hello")
                elif cell.id == "python-slim":
                    add(cell.id, "start", "cold", block, Status.EXITED, reason="ended with code 127")
                else:
                    add(cell.id, "start", "cold", block, values={"start.cold.total": 0.4 * noise})
    return read_run(writer.folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fill(tmp_path_factory.mktemp("results"), manifest())


def test_the_heading_tells_what_was_measured_where(run: Run) -> None:
    heading = " ".join(render(run, width=160).split("━━")[0].split())
    for fact in (run.id, run.manifest.environment.fingerprint, "kernel 6.1", "storage driver overlay2", "seed 42"):
        assert fact in heading
    assert "8 blocks (size 1)" in heading
    assert "git 753f2c6a9b1e" in heading
    assert "Not in this run: deploy.total" in heading


def test_rows_are_by_rank_and_compared_to_the_first(run: Run) -> None:
    lines = render(run, width=160).splitlines()
    rows = [line.split()[0] for line in lines if line.startswith(STRATEGIES)]
    assert rows == ["full", "slim", "scratch"] * 2
    full, slim, scratch = (next(line for line in lines if line.startswith(name)) for name in RANK)
    assert "312.4" in full
    assert "1×" in full
    assert "28.4 0.091×" in slim
    assert "0.17×" in scratch


def test_failures_stand_in_the_row_and_below(run: Run) -> None:
    go, python = render(run, width=120).split("━━ python")
    assert "¹" in next(line for line in go.splitlines() if line.startswith("slim"))
    assert "¹ go-slim: no answer within 30 s (start.cold ok 7, timeout 1)\n  │ hello" in go
    assert "scratch  error ¹: RUN pip install failed: exit code 1" in python
    assert "exited ²" in python
    assert "² python-slim: ended with code 127 (start.cold ok 0, exited 8)" in python
    assert "│ error: gcc | x" in python


@pytest.mark.parametrize("width", [80, 100, 120, 160])
@pytest.mark.parametrize("full", [False, True])
def test_no_line_is_wider_than_asked(run: Run, width: int, full: bool) -> None:
    text = render(run, width=width, full=full)
    assert max(map(len, text.splitlines())) <= width
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_every_metric_shown_is_explained_and_no_other(run: Run) -> None:
    text = render(run)
    for metric in (BYTES, BUILD, COLD, WARM):
        assert f"{metric.name} " in text
        assert metric.help in text
    assert LAYERS.help not in text
    assert LAYERS.help in render(run, full=True)


def test_metrics_are_chosen_by_pattern(run: Run) -> None:
    text = render(run, metrics=["start.*"])
    assert "start.warm.total" in text
    assert "size.transfer" not in text
    with pytest.raises(UsageError, match=r"no metric has the name 'strat\.\*'"):
        render(run, metrics=["strat.*"])


def test_the_floor_is_told_once_and_is_no_column(run: Run) -> None:
    assert render(run).count("floor") == 2  # "Engine's floor: floor.warm.total …"
    assert "Engine's floor: floor.warm.total 254 ms ±4" in render(run)


def test_markdown_is_a_page(run: Run) -> None:
    text = render(run, style="markdown")
    assert text.startswith(f"# Run {run.id}\n")
    assert "## python: The python app" in text
    assert "| full " in text
    assert "- ¹ go-slim: no answer within 30 s" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in tables}) == 1


def test_an_unfinished_run_is_reported(tmp_path: Path) -> None:
    run = fill(tmp_path, manifest(), blocks=0)
    assert "Nothing was measured yet." in render(run)
    with (run.folder / "samples.jsonl").open("ab") as file:
        file.write(b'{"cell"')
    assert "Warning:" in render(read_run(run.folder))


def test_a_deterministic_metric_that_changes_is_told(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, manifest()) as writer:
        for block in range(2):
            base = Try(
                cell="go-full", probe="size", state="", block=block, order=0, at=0.0, seconds=1.0, status=Status.OK
            )
            writer.append(replace(base, values={"size.transfer": 1e6 + block}))
    assert "Should be the same in every block, but is not: full size.transfer" in render(read_run(writer.folder))


@pytest.mark.parametrize(
    ("unit", "values", "expected"),
    [
        (Unit.SECONDS, [0.0741, 0.0801], ["74.1 ms", "80.1 ms"]),
        (Unit.SECONDS, [0.080, 3.252], ["80 ms", "3252 ms"]),
        (Unit.SECONDS, [3.254, 31.2], ["3.25 s", "31.20 s"]),
        (Unit.SECONDS, [2e-5], ["20.0 µs"]),
        (Unit.BYTES, [312.41e6, 4.2e6], ["312.4 MB", "4.2 MB"]),
        (Unit.BYTES, [2.5e9], ["2.50 GB"]),
        (Unit.BYTES, [4200.0], ["4.20 kB"]),
        (Unit.BYTES, [0.0, 12.0], ["0 B", "12 B"]),
        (Unit.COUNT, [7.0, 120.0], ["7 count", "120 count"]),
        (Unit.BOOLEAN, [1.0, 0.0], ["yes yes/no", "no yes/no"]),
        (Unit.RATIO, [-0.032], ["-3.20 %"]),
        (Unit.SECONDS, [0.0], ["0.00 s"]),
    ],
)
def test_values_are_written_as_people_read_them(unit: Unit, values: list[float], expected: list[str]) -> None:
    measure = scale(Metric(name="a.b", unit=unit, help=""), values)
    assert [f"{measure.text(value)} {measure.unit}" for value in values] == expected


def test_intervals_and_ratios_are_short() -> None:
    ms = Scale("ms", 1e3, 1)
    even, odd = summarise([0.0730, 0.0735, 0.0741, 0.0741, 0.0747, 0.0753]), summarise([0.074] * 5 + [0.080])
    assert interval_text(even, ms) == "±1.2"
    assert interval_text(odd, ms) == "[74.0–80.0]"
    assert interval_text(summarise([0.07400, 0.07401, 0.07402] * 2), ms) == "±0.1"
    assert interval_text(summarise([0.074]), ms) == ""

    def text(estimate: float, verdict: Verdict = Verdict.BETTER) -> str:
        return ratio_text(Ratio(estimate=estimate, low=None, high=None, p=0.01, n=8, verdict=verdict))

    assert [text(x) for x in (0.00123, 0.0254, 0.31, 1.234, 12.34, 123.4)] == [
        "0.0012×", "0.025×", "0.31×", "1.23×", "12.3×", "123×",
    ]  # fmt: skip
    assert text(0.0) == "0×"
    assert text(1.01, Verdict.SAME) == "≈1.01×"
    assert text(1.04, Verdict.UNDECIDED) == "1.04×?"
