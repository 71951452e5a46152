"""The history: what the run folders say, found again quickly, never joined across environments or tracks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from harness.model import Environment, Metric, Status, Try, Unit
from harness.nights.history import History
from harness.nights.records import CONFIRM, FLOATING, GOOD, NEW, PINNED, Key
from harness.stats.intervals import Verdict, summarise
from harness.store.run import CellInfo, Manifest, read_run
from harness.store.writer import RunWriter

WARM = Metric(name="start.warm.total", unit=Unit.SECONDS, headline=True, help="To the first answer.")
SIZE = Metric(name="size.transfer", unit=Unit.BYTES, deterministic=True, headline=True, help="Bytes.")
HERE = Environment(facts={"kernel": "6.1"})


def manifest(cells: tuple[str, ...] = ("go-full",), environment: Environment = HERE, **plan: object) -> Manifest:
    return Manifest(
        environment=environment,
        seed=1,
        metrics=(WARM, SIZE),
        cells=tuple(
            CellInfo(id=cell, app="go", app_title="Go", strategy="full", strategy_title="Full", rank=0)
            for cell in cells
        ),
        plan=plan,
    )


def night(results: Path, times: dict[str, list[float]], size: float = 100.0, head: Manifest | None = None) -> Path:
    """A run with these warm starts by cell."""
    with RunWriter.create(results, head or manifest(tuple(times))) as writer:
        order = 0
        for cell, values in times.items():
            for block, value in enumerate(values):
                writer.append(
                    Try(
                        cell=cell,
                        probe="start",
                        state="warm",
                        block=block,
                        order=order,
                        at=1.8e9 + order,
                        seconds=1,
                        status=Status.OK,
                        values={"start.warm.total": value, **({} if block else {"size.transfer": size})},
                    )
                )
                order += 1
        return writer.folder


def key(environment: Environment = HERE, track: str = PINNED, metric: str = "start.warm.total") -> Key:
    return Key("go-full", metric, environment.fingerprint_of(SIZE if metric == SIZE.name else WARM), track)


def test_a_series_is_what_the_runs_hold(tmp_path):
    folders = [night(tmp_path, {"go-full": [0.1 + n / 100, 0.2, 0.3, 0.25, 0.21, 0.4]}) for n in range(3)]
    with History.open(tmp_path) as history:
        line = history.line(key())
        assert line.metric == WARM
        assert set(line.runs) == {folder.name for folder in folders}
        assert list(line.at) == sorted(line.at)
        for run, median, low, high, samples in zip(
            line.runs, line.median, line.low, line.high, line.samples, strict=True
        ):
            values = read_run(tmp_path / run).series()["go-full", "start.warm.total"].value
            summary = summarise(values)
            assert list(samples) == list(values)
            assert (median, low, high) == pytest.approx((summary.median, summary.low, summary.high))
        metrics = [k.metric for k in history.keys()]  # noqa: SIM118 - not a mapping
        assert metrics == ["size.transfer", "start.warm.total"]
        assert np.isnan(history.line(key(metric="size.transfer")).low).all()


def test_no_interval_where_few_samples_give_none(tmp_path):
    night(tmp_path, {"go-full": [0.1, 0.2]})
    with History.open(tmp_path) as history:
        assert np.isnan(history.line(key()).low).all()


def test_environments_and_tracks_are_never_joined(tmp_path):
    newer = Environment(facts={"kernel": "6.2"})
    night(tmp_path, {"go-full": [0.1]})
    night(tmp_path, {"go-full": [0.2]}, head=manifest(environment=newer))
    night(tmp_path, {"go-full": [0.3]}, head=manifest(track=FLOATING))
    with History.open(tmp_path) as history:
        medians = [list(history.line(k).median) for k in (key(), key(newer), key(track=FLOATING))]
        assert medians == [[0.1], [0.2], [0.3]]
        assert history.environments()[newer.fingerprint] == {"kernel": "6.2"}


def test_other_experiments_are_no_nights(tmp_path):
    night(tmp_path, {"go-full": [0.1]}, head=manifest(purpose="aa"))
    with History.open(tmp_path) as history:
        assert history.nights() == ()
        assert history.keys() == ()


def test_new_grown_copied_and_vanished_folders_are_noticed(tmp_path):
    first = night(tmp_path, {"go-full": [0.1]})
    with History.open(tmp_path) as history:
        assert len(history.nights()) == 1
    second = night(tmp_path, {"go-full": [0.2]})
    with RunWriter.resume(first) as writer:
        writer.append(
            Try(
                cell="go-full",
                probe="start",
                state="warm",
                block=1,
                order=1,
                at=1.8e9,
                seconds=1,
                status=Status.OK,
                values={"start.warm.total": 0.3},
            )
        )
    with History.open(tmp_path) as history:
        assert dict(zip(history.line(key()).runs, history.line(key()).n, strict=True)) == {
            first.name: 2,
            second.name: 1,
        }
    shutil.rmtree(first)
    with History.open(tmp_path) as history:
        assert history.line(key()).runs == (second.name,)


def test_a_lost_or_spoilt_index_is_rebuilt(tmp_path):
    night(tmp_path, {"go-full": [0.1, 0.2, 0.3]})
    with History.open(tmp_path) as history:
        before = history.line(key())
    index = tmp_path / ".index" / "history.sqlite"
    for spoil in (index.unlink, lambda: index.write_bytes(b"no database" * 1000)):
        spoil()
        with History.open(tmp_path) as history:
            after = history.line(key())
        assert after.runs == before.runs
        assert list(after.median) == list(before.median)


def test_one_broken_folder_does_not_hide_the_others(tmp_path):
    night(tmp_path, {"go-full": [0.1]})
    broken = night(tmp_path, {"go-full": [0.2]})
    (broken / "samples.jsonl").write_bytes(b"nonsense\n" * 2)
    with History.open(tmp_path) as history:
        assert len(history.nights()) == 1
        assert broken.name in history.warnings[0]


def test_failures_are_counted_by_reason(tmp_path):
    folder = night(tmp_path, {"go-full": [0.1]})
    with RunWriter.resume(folder) as writer:
        for block in (1, 2):
            writer.append(
                Try(
                    cell="go-full",
                    probe="start",
                    state="warm",
                    block=block,
                    order=block,
                    at=1.8e9,
                    seconds=1,
                    status=Status.TIMEOUT,
                    reason="no answer",
                )
            )
    with History.open(tmp_path) as history:
        (failure,) = history.failures()
        assert (failure.cell, failure.probe, failure.status, failure.count) == ("go-full", "start", "timeout", 2)


def test_an_a_b_is_read_as_a_confirmation(tmp_path):
    random = np.random.default_rng(1)
    good, new = (list(level * random.normal(1, 0.01, 8)) for level in (1.0, 1.2))
    cells = {"go-full" + GOOD: good, "go-full" + NEW: new}
    head = replace(manifest(tuple(cells)), plan={"purpose": CONFIRM, "night": "20300101-000000-abcd"})
    night(tmp_path, cells, head=head)
    with History.open(tmp_path) as history:
        found = {item.metric: item for item in history.confirmations()}
        assert found[WARM.name].night == "20300101-000000-abcd"
        assert found[WARM.name].cell == "go-full"
        assert found[WARM.name].ratio.verdict is Verdict.WORSE
        assert found[WARM.name].ratio.estimate == pytest.approx(1.2, rel=0.02)
        assert history.nights() == ()


def test_a_copied_folder_is_not_counted_again(tmp_path):
    folder = night(tmp_path, {"go-full": [0.1, 0.2]})
    shutil.copytree(folder, tmp_path / f"{folder.name}-copy")
    with History.open(tmp_path) as history:
        assert len(history.nights()) == 1
        assert "is a copy of the run" in history.warnings[0]


def test_a_folder_without_samples_is_one_warning(tmp_path):
    night(tmp_path, {"go-full": [0.1]})
    (night(tmp_path, {"go-full": [0.1]}) / "samples.jsonl").unlink()
    with History.open(tmp_path) as history:
        assert len(history.nights()) == 1
        assert len(history.warnings) == 1


def test_a_damaged_index_is_made_again(tmp_path):
    night(tmp_path, {"go-full": [0.1, 0.2]})
    History.open(tmp_path).close()
    path = tmp_path / ".index" / "history.sqlite"
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with History.open(tmp_path) as history:
        assert len(history.nights()) == 1


def test_an_a_b_that_continues_itself_is_read_once(tmp_path):
    cells = {"go-full" + GOOD: [1.0] * 8, "go-full" + NEW: [1.2] * 8}
    head = replace(manifest(tuple(cells)), plan={"purpose": CONFIRM, "night": "20300101-000000-abcd"})
    folders = [night(tmp_path, cells, head=head) for _ in range(2)]
    for folder, earlier in zip(folders, reversed(folders), strict=True):
        path = folder / "manifest.json"
        record = orjson.loads(path.read_bytes())
        record["plan"]["continues"] = earlier.name
        path.write_bytes(orjson.dumps(record))
    with History.open(tmp_path) as history:
        assert {item.ratio.n for item in history.confirmations() if item.metric == WARM.name} == {16}
