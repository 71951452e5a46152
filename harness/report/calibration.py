"""How accurate the harness is in an environment, as people read it: docs/calibration.md, and a sentence for reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tabulate import tabulate

from harness.experiments.effects import WITHIN, Effect, Recovery, effects, newest
from harness.store.run import Run, read_run
from harness.text.units import counted

HEADERS = ("known effect", "metric", "expected", "measured", "interval", "n", "comes back")


def rows(found: Sequence[Effect]) -> list[tuple[str, ...]]:
    return [
        (
            item.name,
            item.how,
            _expected(item),
            "–" if item.measured is None else f"{_number(item.measured, item.unit)} {item.unit}",
            "" if item.low is None or item.high is None else f"{item.low:.3g} to {item.high:.3g}",
            str(item.n),
            item.outcome.value,
        )
        for item in found
    ]


def _expected(item: Effect) -> str:
    if item.unit == "blocks":
        return f"≤ {WITHIN} blocks"
    if item.outcome is Recovery.ABSENT and not item.expected:
        return "–"
    spread = f" ± {item.tolerance:.2g}" if item.tolerance and item.unit != "B" else ""
    return f"{_number(item.expected, item.unit)}{spread} {item.unit}"


def _number(value: float, unit: str) -> str:
    if unit in ("B", "blocks"):
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.2f}"


def document(run: Run) -> str:
    """docs/calibration.md of a run, in Markdown."""
    environment = run.manifest.environment
    facts = "; ".join(f"{name} {value}" for name, value in environment.facts.items())
    table = tabulate(rows(effects(run)), headers=HEADERS, tablefmt="github", disable_numparse=True)
    return f"""# Calibration: known effects and how exactly they come back

Each strategy in [calibration/](../calibration) differs from `plain` in one thing, and the cost of this thing is known.
The probes and the runner of every other run measure them. `tox -e calibrate` measures them again and writes this page.

{table}

Differences are paired by block and estimated by Hodges-Lehmann. "Not known yet" means that the estimate is outside the
tolerance, but its interval reaches into the tolerance or there is no interval. The samples are too noisy or too few.

Run {run.id}, environment {environment.fingerprint}: {facts}. {_load(run)}
"""


def _load(run: Run) -> str:
    """How quiet the machine was: the processor share of other programs just before the tries."""
    loads = [try_.load for try_ in run.tries()]
    return f"Other processes used {np.median(loads):.0%} of the processors just before a try (median; quiet is 5 %)."


def summary(found: Sequence[Effect]) -> str:
    """Two sentences for reports: how many of the known effects were found."""
    outcomes = [item.outcome for item in found]
    recovered, known = outcomes.count(Recovery.RECOVERED), len(outcomes) - outcomes.count(Recovery.ABSENT)
    said = f"Tare measured {counted(known, 'known effect')}."
    if recovered == known:
        return f"{said} {'Each' if known > 1 else 'The'} result was within its tolerance." if known else said
    return f"{said} The number of results within their tolerance is {recovered}."


def sentence(run: Run) -> str:
    """The text of a report about the calibration of its environment, which is stored beside the run."""
    folder = newest(run.folder.parent, run.manifest.environment.fingerprint)
    if folder is None:
        return (
            "No calibration of this environment is stored. `tox -e calibrate` measures effects of known size and shows"
            " how exactly Tare finds them."
        )
    return f"Calibration run {folder.name}: {summary(effects(read_run(folder)))}"
