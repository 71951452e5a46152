"""Measured parts from a run folder: samples become profiles, by the images they are of."""

from __future__ import annotations

import pytest

from harness.errors import StoreError
from harness.model import Environment, Phase, Status, Try
from harness.scenarios.formulas import SCENARIOS, LinkSpeed, Question, storage
from harness.scenarios.layer_sizes import CellLayers, ImageLayers, LayerSize
from harness.scenarios.measured import measured_parts
from harness.store.run import CellInfo, Manifest, read_run
from harness.store.writer import RunWriter

CELL = CellInfo(id="go-slim", app="go", app_title="Go", strategy="slim", strategy_title="Slim", rank=20)


def images(mark):
    base = LayerSize(digest="sha256:ba5e00000000", packed=100, base=True)
    one, two = (LayerSize(digest=f"sha256:{mark}{n}0000000000", packed=n, base=False) for n in (1, 2))
    return CellLayers(
        current=ImageLayers(config=9, layers=(base, one)), changed=ImageLayers(config=9, layers=(base, two))
    )


def pull(block, state, total, layers, **values):
    names = [layer.ljust(12, "0") for layer in layers]  # as long as engines print them
    phases = (
        *(Phase(f"download {name}", 0.1, 0.1) for name in names),
        *(Phase(f"unpack {name}", 0.2 + number, 1.0) for number, name in enumerate(names)),
    )
    return Try(cell="go-slim", probe="pull", state=state, block=block, order=block, at=0.0, seconds=1.0,
               status=Status.OK, values={f"pull.{state}.total": total} | values, phases=phases)  # fmt: skip


def one(probe, block, **values):
    return Try(cell="go-slim", probe=probe, state="x", block=block, order=block, at=0.0, seconds=1.0,
               status=Status.OK, values={name.replace("_", "."): value for name, value in values.items()})  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def written(tries, records=()):
        manifest = Manifest(environment=Environment(facts={}), seed=1, metrics=(), cells=(CELL,))
        with RunWriter.create(tmp_path, manifest) as writer:
            for record in records:
                writer.artefact("go-slim", "layers.json", record.to_json())
            for try_ in tries:
                writer.append(try_)
        return read_run(writer.folder)

    return written


def test_a_full_run_answers_every_scenario(write):
    tries = [pull(0, "empty", 3.0, ["ba5e00", "a10000"]), pull(0, "previous", 1.5, ["a20000"]),
             pull(0, "base", 1.4, ["a10000"]), one("deploy", 0, deploy_total=3.5, deploy_pull=3.1),
             one("build", 0, build_cold=20.0, build_source=4.0, build_reproducible=0.0)]  # fmt: skip
    parts = measured_parts(write(tries, [images("a")]))["go-slim"]
    assert [layer.bytes for layer in parts.empty.profile.layers] == [100, 1]
    assert [layer.bytes for layer in parts.update.profile.layers] == [2]
    assert parts.start.value == pytest.approx(0.4) and parts.start_of == "deploy.total − deploy.pull"
    assert parts.reproducible is False
    assert all(scenario.compute(parts, Question(wire=LinkSpeed(bits_per_second=1e6))) for scenario in SCENARIOS)
    assert storage([parts]).of(2) == 9 + 101 + 9 + 2


def test_pulls_of_a_resumed_run_belong_to_the_images_of_their_session(write):
    tries = [pull(0, "empty", 3.0, ["ba5e00", "a10000"]), pull(1, "empty", 4.0, ["ba5e00", "b10000"])]
    parts = measured_parts(write(tries, [images("a"), images("b")]))["go-slim"]
    assert parts.empty.n == 2
    assert parts.empty.profile.layers[1].digest == "sha256:b10000000000"


def test_a_run_without_the_record_has_no_profiles_but_what_else_was_measured(write):
    parts = measured_parts(write([pull(0, "empty", 3.0, ["ba5e00", "a10000"]), one("start", 0, start_warm_total=0.2)]))
    assert parts["go-slim"].empty is None and parts["go-slim"].images is None
    assert (parts["go-slim"].start.value, parts["go-slim"].start_of) == (0.2, "start.warm.total")


def test_an_empty_pull_of_which_a_layer_is_not_told_is_no_profile(write):
    assert measured_parts(write([pull(0, "empty", 3.0, ["ba5e00"])], [images("a")]))["go-slim"].empty is None


def test_a_damaged_record_is_said_with_its_file(write):
    run = write([], [images("a")])
    (run.folder / "artefacts" / "go-slim" / "layers.json").write_text("{")
    with pytest.raises(StoreError, match=r"go-slim/layers\.json"):
        measured_parts(run)
