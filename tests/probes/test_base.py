"""The metrics of all probes: each names its origin."""

from __future__ import annotations

import pytest

from harness.model import Metric
from harness.probes import all_probes
from harness.probes.base import Probe

METRICS = [pytest.param(probe, metric, id=metric.name) for probe in all_probes() for metric in probe.metrics]


@pytest.mark.parametrize(("probe", "metric"), METRICS)
def test_a_metric_carries_its_group_probe_and_state(probe: Probe, metric: Metric) -> None:
    assert metric.probe == probe.name
    assert metric.name.startswith(f"{metric.group}.")  # what people type with -m
    assert metric.state == "" or metric.state in probe.states


def test_no_two_metrics_have_the_same_name() -> None:
    names = [metric.name for probe in all_probes() for metric in probe.metrics]
    assert len(names) == len(set(names))


def test_a_metric_named_after_a_state_carries_that_state() -> None:
    for probe in all_probes():
        for metric in probe.metrics:
            named = [word for word in metric.name.split(".")[1:] if word in probe.states]
            assert not named or metric.state == named[0], metric.name
