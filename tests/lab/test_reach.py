"""What an engine cannot give: each metric has a reason, and none is missing without one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.engine.fake.engine import FakeEngine
from harness.lab.reach import Reach
from harness.probes import all_probes
from harness.run.doctor import _unmeasured
from harness.text.units import shortened

HERE = replace(FakeEngine().info, local=True, image_store="classic")


def absent(reach: Reach) -> dict[str, str]:
    return {metric: reason for probe in all_probes() for metric, reason in probe.unmeasured(reach).items()}


def test_an_engine_on_this_machine_gives_everything() -> None:
    assert absent(Reach.of(HERE)) == {}
    assert absent(Reach()) == {}


def test_an_engine_elsewhere_gives_no_cold_start_no_slow_link_and_takes_no_file() -> None:
    found = absent(Reach.of(replace(HERE, local=False)))
    assert {"start.cold.total", "floor.cold.total", "link.total", "link.error", "intruder.program"} < set(found)
    assert {name for name in found if name.startswith("harden.")}
    assert not {"size.transfer", "pull.empty.total", "start.warm.total", "build.cold", "link.model100"} & set(found)
    assert all("another machine" in reason for reason in found.values())


@pytest.mark.parametrize(
    ("reach", "names"),
    [
        (Reach(node="no node"), {"pull.empty.total", "deploy.total", "link.model100"}),
        (Reach(tool="no tool"), {"floor.warm.total", "memory.ready", "intruder.program", "harden.all"}),
        (Reach(page_cache="kept"), {"start.cold.total"}),
        (Reach(phases="polled"), {"pull.empty.unpack", "pull.base.download"}),
    ],
)
def test_each_reason_has_its_metrics(reach: Reach, names: set[str]) -> None:
    assert names <= set(absent(reach))


def test_the_doctor_lists_metrics_with_their_reason() -> None:
    rows = dict(_unmeasured(replace(HERE, local=False)))
    assert "another machine" in rows["start.cold.*"]
    assert "another machine" in rows["harden.*"]
    assert "link.total" in rows


def test_names_that_begin_alike_are_written_as_one_pattern() -> None:
    every = ["a.x.one", "a.x.two", "a.y", "b"]
    assert shortened(["a.x.one", "a.x.two"], every) == ["a.x.*"]
    assert shortened(["a.x.one", "a.y"], every) == ["a.x.one", "a.y"]
    assert shortened(["a.x.one", "a.x.two", "a.y", "b"], every) == ["a.*", "b"]
