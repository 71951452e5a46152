"""Run folders: nothing is lost, nothing is rewritten, and broken data is reported."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.model import Phase, Status, Try
from harness.probes import all_probes
from harness.store import format as records
from harness.store.run import latest, list_runs, read_run, refreshed
from harness.store.writer import RunWriter
from support.stored import MANIFEST, a_try

SCHEMA_1 = Path(__file__).parents[1] / "data" / "schema-1" / "20261128-011030-3ceb"
finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
tries = st.builds(
    Try,
    cell=text,
    probe=text,
    state=text,
    block=st.integers(0, 2**31 - 1),
    order=st.integers(0, 2**31 - 1),
    at=finite,
    seconds=finite,
    status=st.sampled_from(Status),
    values=st.dictionaries(text, finite, max_size=4),
    phases=st.lists(st.builds(Phase, text, finite, finite), max_size=3).map(tuple),
    reason=text,
    log=text,
    load=finite,
    waited=finite,
    notes=st.dictionaries(text, text, max_size=2),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(tries, max_size=6, unique_by=lambda try_: try_.order))
def test_tries_come_back_as_they_were(written: list[Try]) -> None:
    with TemporaryDirectory() as folder:
        with RunWriter.create(Path(folder), MANIFEST) as writer:
            for try_ in written:
                writer.append(try_)
        run = read_run(writer.folder)
        assert list(run.tries()) == written
        assert list(run.failures) == [try_ for try_ in written if try_.status is not Status.OK]
        samples = sum(len(try_.values) for try_ in written if try_.status is Status.OK)
        assert sum(series.value.size for series in run.series().values()) == samples


def test_a_file_cut_at_any_byte_loses_at_most_the_last_record(writer: RunWriter) -> None:
    for order in range(4):
        writer.append(a_try(order, log="é\n" * order))
    writer.close()
    path = writer.folder / "samples.jsonl"
    whole = path.read_bytes()
    for cut in range(len(whole), -1, -19):
        path.write_bytes(whole[:cut])
        for aside in writer.folder.glob("*.torn-*"):
            aside.unlink()
        run = read_run(writer.folder)
        lines, torn = whole[:cut].count(b"\n"), not whole[:cut].endswith(b"\n") and cut > 0
        assert [try_.order for try_ in run.tries()] == list(range(lines))
        assert bool(run.warnings) == torn
        with RunWriter.resume(writer.folder) as again:
            assert bool(again.warnings) == torn
            again.append(a_try(99))
        kept = b"".join(aside.read_bytes() for aside in writer.folder.glob("*.torn-*"))
        assert path.read_bytes().startswith(whole[: cut - len(kept)]), "nothing before the tear may change"
        assert whole[:cut].endswith(kept), "what was torn is kept"
        assert [try_.order for try_ in read_run(writer.folder).tries()] == [*range(lines), 99]


@pytest.mark.parametrize("line", [b"{", b"5", b"{}", b'{"status": "ok", "cell": "a", "values": {"x": null}}'])
def test_a_corrupt_line_is_named(writer: RunWriter, line: bytes) -> None:
    writer.append(a_try(0))
    writer.close()
    path = writer.folder / "samples.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n" + path.read_bytes())
    with pytest.raises(StoreError) as error:
        read_run(writer.folder)
    assert error.value.where == f"{path}:2"


def test_the_manifest_comes_back(writer: RunWriter) -> None:
    assert read_run(writer.folder).manifest == writer.manifest
    assert replace(writer.manifest, run="", started=0.0) == MANIFEST
    assert writer.folder.name == writer.manifest.run


def test_members_a_newer_tare_added_are_passed_over(writer: RunWriter) -> None:
    path = writer.folder / "manifest.json"
    record = orjson.loads(path.read_bytes())
    record["colour"] = record["metrics"][0]["colour"] = record["cells"][0]["colour"] = "blue"
    path.write_bytes(orjson.dumps(record))
    assert read_run(writer.folder).manifest == writer.manifest


def test_a_newer_schema_is_refused(writer: RunWriter) -> None:
    path = writer.folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"schema": 3', b'"schema": 4'))
    with pytest.raises(StoreError, match=r"schema 4.*reads up to 3"):
        read_run(writer.folder)


def test_an_older_schema_is_read_and_not_resumed(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.append(a_try(values={"start.total": 0.25}))
    writer.append(a_try(1, status=Status.TIMEOUT, values={}, reason="slow"))
    writer.close()

    def rename(record: records.Record) -> records.Record:
        values = record.get("values", {})
        return {**record, "values": {name.replace("start.total", "start.warm.total"): values[name] for name in values}}

    renaming = records.Migration("start.total became start.warm.total", lambda record: {**record, "git": "old"}, rename)
    monkeypatch.setattr(records, "SCHEMA", 4)
    monkeypatch.setattr(records, "MIGRATIONS", (*records.MIGRATIONS, renaming))
    run = read_run(writer.folder)
    assert run.manifest.git == "old"
    assert [*run.series()] == [("go-full", "start.warm.total")]
    assert [*next(run.tries()).values] == ["start.warm.total"]
    with pytest.raises(StoreError, match="Start a new run"):
        RunWriter.resume(writer.folder)


def test_a_stored_run_of_schema_1_is_read_and_resumed(tmp_path: Path) -> None:
    """No sample has changed its form since, so new lines may follow the old ones."""
    folder = tmp_path / SCHEMA_1.name
    shutil.copytree(SCHEMA_1, folder)
    before = read_run(folder)
    assert (before.manifest.schema, before.manifest.plan["track"]) == (1, "floating")
    assert "lane" not in before.manifest.plan
    today = {metric.name: metric for probe in all_probes() for metric in probe.metrics}
    for metric in before.manifest.metrics:
        if metric.name in today:  # the facts in its name are in fields now
            own = today[metric.name]
            told = (metric.group, metric.probe, metric.phases, metric.state or own.state)
            assert told == (own.group, own.probe, own.phases, own.state), metric.name
    assert {metric.state for metric in before.manifest.metrics if metric.group == "deploy"} == {"empty"}
    assert len(before.failures) == 2 and before.series()["go-full", "start.warm.total"].value.size == 6
    with RunWriter.resume(folder) as writer:
        writer.append(a_try(99))
    after = read_run(folder)
    assert after.series()["go-full", "start.warm.total"].value.size == 7
    assert after.manifest == before.manifest


def test_series_are_in_order_however_their_tries_were_shaped(writer: RunWriter) -> None:
    for order in range(6):
        extra = {"start.warm.ready": 1.0} if order % 2 else {}
        writer.append(a_try(order, values={"start.warm.total": float(order), **extra}))
    writer.append(a_try(6, status=Status.EXITED, values={"start.warm.total": 9.0}))
    series = read_run(writer.folder).series()
    total = series["go-full", "start.warm.total"]
    np.testing.assert_array_equal(total.value, [0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(total.block, total.order)
    assert series["go-full", "start.warm.ready"].order.tolist() == [1, 3, 5]


@given(st.lists(st.integers(0, 60), unique=True, max_size=25), st.sets(st.integers(0, 60), max_size=8), st.booleans())
def test_tries_are_found_by_their_order(orders: list[int], wanted: set[int], shuffled: bool) -> None:
    """Also if cells that were prepared side by side were written out of order."""
    with TemporaryDirectory() as folder, RunWriter.create(Path(folder), MANIFEST) as writer:
        for order in orders if shuffled else sorted(orders):
            writer.append(a_try(order, log="x" * (order % 7)))
        found = read_run(writer.folder).tries_at(wanted)
    assert found == {order: a_try(order, log="x" * (order % 7)) for order in wanted & set(orders)}


def test_tries_are_left_out_by_their_metrics(writer: RunWriter) -> None:
    for order in range(3):
        writer.append(a_try(order))
    writer.append(a_try(3, values={"size.layers": 4.0}, log='mentions "start.warm.total"'))
    run = read_run(writer.folder)
    assert [try_.order for try_ in run.tries(having=["start.warm.total"])] == [0, 1, 2]
    assert [try_.order for try_ in run.tries(having=["size.layers", "none"])] == [3]


def test_runs_are_listed_by_time(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run is stored here"):
        latest(tmp_path)
    for name in ("20261123-184501-3f9a", "20261122-030000-aaaa", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    (tmp_path / "20261124-000000-dead").mkdir()  # killed before its manifest was written
    assert [path.name for path in list_runs(tmp_path)] == ["20261122-030000-aaaa", "20261123-184501-3f9a"]
    assert latest(tmp_path).name == "20261123-184501-3f9a"
    with pytest.raises(StoreError, match="this folder has no run"):
        read_run(tmp_path / "nowhere")


def test_a_line_that_is_there_twice_counts_once_and_is_reported(tmp_path):
    tries_of = [
        Try(
            cell="a",
            probe="start",
            state="warm",
            block=n,
            order=n,
            at=float(n),
            seconds=1.0,
            status=status,
            values=values,
        )
        for n, (status, values) in enumerate([(Status.OK, {"m": 1.0}), (Status.OK, {"m": 1.0}), (Status.TIMEOUT, {})])
    ]
    with RunWriter.create(tmp_path, MANIFEST) as writer:
        for try_ in tries_of:
            writer.append(try_)
    path = writer.folder / "samples.jsonl"
    path.write_bytes(path.read_bytes() * 2)
    run = read_run(writer.folder)
    assert run.series()["a", "m"].value.size == 2
    assert len(run.failures) == 1
    assert len(list(run.tries())) == 3
    assert any("3 lines are in the file twice" in warning for warning in run.warnings)


def test_a_run_is_read_again_only_if_a_try_was_added(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, MANIFEST) as writer:
        writer.append(a_try(0))
        before = read_run(writer.folder)
        assert refreshed(before).series() is before.series()
        writer.append(a_try(1))
        after = refreshed(before)
        assert after.series()["go-full", "start.warm.total"].value.size == 2
    ended = refreshed(after)
    assert ended.series() is after.series()
    assert ended.sessions[-1].outcome == "complete"
    assert ended.sessions == read_run(writer.folder).sessions


def test_a_run_says_the_command_that_continues_it():
    assert MANIFEST.to_continue("r") == "tox -e bench -- --resume r"
    own = replace(MANIFEST, plan={"command": "tox -e tare -- try 'my service'"})
    assert own.to_continue("r") == "tox -e tare -- try 'my service' --resume r"
