"""What a pull's values are, and which are absent."""

from __future__ import annotations

from harness.engine.contract import LayerPull, PullResult
from harness.image.manifest import Blob, ImageManifest
from harness.probes.pull import reading

MANIFEST = ImageManifest(
    "sha256:0",
    "",
    Blob("sha256:c", 1, ""),
    (Blob("sha256:aaa", 100, ""), Blob("sha256:bbb", 200, "")),
)


def test_phases_are_those_that_the_engine_said() -> None:
    layers = (
        LayerPull(layer="aaa", reused=True),
        LayerPull(layer="bbb", reused=False, download_start=0.1, download_end=0.5, extract_start=0.5, complete=0.75),
    )
    found = reading("pull.base", PullResult(seconds=1.0, layers=layers), MANIFEST)
    assert found.values == {
        "pull.base.total": 1.0,
        "pull.base.fetched": 200.0,
        "pull.base.download": 0.5,
        "pull.base.unpack": 0.25,
    }


def test_what_the_engine_did_not_say_is_absent_and_not_0() -> None:
    layers = (LayerPull(layer="aaa", reused=True), LayerPull(layer="bbb", reused=False))
    found = reading("pull.base", PullResult(seconds=1.0, layers=layers), MANIFEST)
    assert found.values == {"pull.base.total": 1.0, "pull.base.fetched": 200.0}
    assert found.phases == ()


def test_a_pull_of_nothing_new_took_no_time_to_unpack() -> None:
    layers = (LayerPull(layer="aaa", reused=True), LayerPull(layer="bbb", reused=True))
    found = reading("pull.base", PullResult(seconds=1.0, layers=layers), MANIFEST)
    assert found.values["pull.base.unpack"] == found.values["pull.base.download"] == 0.0
