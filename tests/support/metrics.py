"""Metrics of made-up runs, placed like those of the probes."""

from __future__ import annotations

from dataclasses import replace

from harness.model import Metric
from harness.probes import all_probes


def placed(*metrics: Metric) -> tuple[Metric, ...]:
    """With the group, probe, state and phases that the probes give metrics of these names."""
    known = {metric.name: metric for probe in all_probes() for metric in probe.metrics}
    found = []
    for metric in metrics:
        own = known[metric.name]
        found.append(replace(metric, group=own.group, probe=own.probe, state=own.state, phases=own.phases))
    return tuple(found)
