"""Reads from a run what the history needs: a night of each of its series, its failures, and the results of an A/B."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from harness.errors import StoreError
from harness.nights.records import GOOD, NEW, Confirmation
from harness.stats.intervals import compared, interval
from harness.store.run import Run, Series, read_run


def nights_of(
    series: Mapping[tuple[str, str], Series],
) -> Iterator[tuple[tuple[str, str], tuple[int, float, float | None, float | None, bytes]]]:
    """Count, median, interval and samples of each series. Series of one length are computed together."""
    by_length: dict[int, list[tuple[str, str]]] = {}
    for key, columns in series.items():
        by_length.setdefault(columns.value.size, []).append(key)
    for n, keys in by_length.items():
        values = np.stack([series[key].value for key in keys])
        ordered = np.sort(values, axis=1)
        medians = np.median(ordered, axis=1)
        low, high, _ = interval(ordered)
        rows = zip(keys, values, medians.tolist(), low.tolist(), high.tolist(), strict=True)
        for key, row, median, least, most in rows:
            known = least == least  # not NaN
            yield key, (n, median, least if known else None, most if known else None, row.astype("<f8").tobytes())


def failures_of(run: Run) -> Iterator[tuple[str, str, str, str, int]]:
    counts: dict[tuple[str, str, str, str], int] = {}
    for try_ in run.failures:
        key = try_.cell, try_.probe, try_.status.value, try_.reason
        counts[key] = counts.get(key, 0) + 1
    for (cell, probe, status, reason), count in counts.items():
        yield cell, probe, status, reason, count


def confirmations_of(run: Run) -> Iterator[Confirmation]:
    """The metrics an A/B was made for (all, if it does not say), compared by blocks, each judged by itself.

    A false discovery rate over the A/B would hide one slower metric among many that were only due. Suspicion and A/B
    together keep the promise of docs/trend.md, which holds for each series and night.
    """
    plan = run.manifest.plan
    night, asked, good_of = str(plan.get("night", "")), plan.get("metrics"), plan.get("good")
    bases = good_of if isinstance(good_of, Mapping) else {}
    metrics = {metric.name: metric for metric in run.manifest.metrics}
    series = _continued(run)
    for (name, metric), new in series.items():
        cell = name.removesuffix(NEW)
        good = series.get((cell + GOOD, metric))
        wanted = not isinstance(asked, list) or [cell, metric] in asked
        if not name.endswith(NEW) or good is None or metric not in metrics or not wanted:
            continue
        answer = compared(metrics[metric], good, new)
        if answer:
            base = str(bases.get(cell, ""))
            yield Confirmation(run=run.id, night=night, cell=cell, metric=metric, ratio=answer, base=base)


def _continued(run: Run, later: frozenset[str] = frozenset()) -> Mapping[tuple[str, str], Series]:
    """The samples of an A/B, after those of the A/B that it continues; a folder that is gone has none.

    `later` are the runs that continue this one: a run that claims to continue one of them is read as if it did not.
    """
    series = run.series()
    earlier, known = str(run.manifest.plan.get("continues", "")), later | {run.folder.name}
    if not earlier or earlier != Path(earlier).name or earlier in known:
        return series
    try:
        before = _continued(read_run(run.folder.parent / earlier), known)
    except StoreError:
        return series
    return {key: _after(before[key], new) if key in before else new for key, new in series.items()}


def _after(one: Series, other: Series) -> Series:
    """Both runs' samples; the blocks of the second are numbered after the blocks of the first."""
    first = int(one.block.max()) + 1 if one.block.size else 0
    return Series(
        value=np.concatenate([one.value, other.value]),
        block=np.concatenate([one.block, other.block + np.int32(first)]),
        order=np.concatenate([one.order, other.order]),
        at=np.concatenate([one.at, other.at]),
    )
