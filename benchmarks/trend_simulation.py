"""How often a night is wrong, how soon it is right, and what that costs: the tables of docs/trend.md.

    python benchmarks/trend_simulation.py --write    put the tables into docs/trend.md (ten minutes)
    python benchmarks/trend_simulation.py --check    exit code 1 if the tables in docs/trend.md are others

The nights are those of benchmarks/simulated_nights.py. ruptures and apache-otava are compared if they can be imported;
they need not be installed.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from simulated_nights import BASELINE, NOISES, SERIES, Floats, creep, noise, quiet, step

from harness.stats import changepoints as trend

DOCUMENT = Path(__file__).parents[1] / "docs" / "trend.md"
BEGIN, END = "<!-- simulation -->", "<!-- /simulation -->"


def methods() -> dict[str, Callable[[Floats], Sequence[int]]]:
    """What looks back at one series and gives the nights of its changes."""
    known: dict[str, Callable[[Floats], Sequence[int]]] = {"Tare": _ours}
    try:
        import ruptures

        def pelt(values: Floats) -> Sequence[int]:
            # the penalty of BIC for a normal mean, 2·σ²·log n, σ from the differences of neighbours
            sigma = 1.4826 * np.median(np.abs(np.diff(values))) / np.sqrt(2)
            model = ruptures.Pelt(model="l2", min_size=2, jump=1).fit(values)
            return list(model.predict(pen=2 * sigma**2 * np.log(values.size))[:-1])

        known[f"ruptures {ruptures.__version__} PELT l2, BIC"] = pelt
    except ImportError:
        pass
    try:
        from importlib.metadata import version

        from otava.analysis import compute_change_points

        def otava(values: Floats) -> Sequence[int]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                points = compute_change_points(values.tolist())  # of an array it makes something else
            return [point.index for point in points[0]]

        known[f"apache-otava {version('apache-otava')}, defaults"] = otava
    except ImportError:
        pass
    return known


def _ours(values: Floats) -> Sequence[int]:
    """A series alone is the hardest family: nothing is controlled beside it."""
    (found,) = trend.discoveries([trend.changes(values)])
    return [change.index for change in found]


def _per_cent(share: float) -> str:
    return f"{100 * share:.1f} %"


def at_p(p: float, kind: str, series: int) -> tuple[float, float]:
    """A/Bs of suspects per 100 quiet series-nights, and the share alarmed by night 3, with this threshold."""
    chosen, trend.SUSPICIOUS = trend.SUSPICIOUS, p
    try:
        return quiet(kind, series=series // 2, nights=40)[1], step(kind, 0.05, nights=3, series=series)[2]
    finally:
        trend.SUSPICIOUS = chosen


def tables(series: int = SERIES) -> str:
    """All tables as Markdown, rows side by side on all processors."""
    with ProcessPoolExecutor() as pool:
        quiets = {
            (kind, size): pool.submit(quiet, kind, size=size, series=series)
            for kind in NOISES
            for size in (0.02, 0.005)
        }
        steps = {
            (change, size, kind, anew): pool.submit(step, kind, change, size=size, anew=anew, series=series)
            for change, size in ((0.05, 0.02), (0.10, 0.02), (0.05, 0.005))
            for kind in NOISES
            for anew in (True, False)
        }
        hidden = {kind: pool.submit(step, kind, 0.05, hidden=True, series=series) for kind in NOISES}
        creeps = {
            (kind, rise, every): pool.submit(creep, kind, rise, every, nights=85, series=series)
            for kind in NOISES
            for rise, every in ((0.01, 10), (0.001, 1))
        }
        costs = {p: [pool.submit(at_p, p, kind, series) for kind in NOISES] for p in (0.025, 0.05, 0.10, 0.15, 0.25)}
        edges = {
            change: pool.submit(step, "independent", change, nights=30, series=series // 2)
            for change in (0.01, 0.02, 0.03, 0.04, 0.05, 0.07)
        }
        lines = [
            f"No change at all: {series} series × 60 nights of each kind, per 100 series-nights.",
            "",
            "| noise | alarms | A/Bs of suspects | A/Bs that were due |",
            "|---|---|---|---|",
        ]
        for (kind, size), later in quiets.items():
            alarms, suspects, due = later.result()
            lines.append(f"| {size:.1%} {kind} | {alarms:.3f} | {suspects:.1f} | {due:.1f} |")
        lines += [
            "",
            f"A step after {BASELINE} nights: share of {series} series alarmed by night.",
            "",
            "| step, noise, image | night 1 | night 2 | night 3 | night 4 | night 5 |",
            "|---|---|---|---|---|---|",
        ]
        for (change, size, kind, anew), shares in steps.items():
            image = "new every night" if anew else "new with the step"
            lines.append(f"| +{change:.0%}, {size:.1%} {kind}, {image} | {_row(shares.result())} |")
        for kind, shares in hidden.items():
            lines.append(f"| +5%, 2.0% {kind}, a new kernel the same night | {_row(shares.result())} |")
        lines += [
            "",
            f"A creep, budget 3 %: {series} series.",
            "",
            "| creep, noise | alarmed before the budget is spent | before it is passed by half | median sum then |",
            "|---|---|---|---|",
        ]
        for (kind, rise, every), found in creeps.items():
            within, until, at = found.result()
            every_text = "a night" if every == 1 else f"every {every} nights"
            shares_text = f"{_per_cent(within)} | {_per_cent(until)}"
            lines.append(f"| +{rise:.1%} {every_text}, {kind} | {shares_text} | +{at:.1%} |")
        names = ", ".join(NOISES)
        lines += [
            "",
            f"What an earlier alarm costs: +5 % at 2 % noise in {series} series, by the p-value from which on a night "
            "is suspect. The chosen one is bold.",
            "",
            f"| p | A/Bs of suspects per 100 quiet series-nights: {names} | alarmed by night 3: {names} |",
            "|---|---|---|",
        ]
        for p, both in costs.items():
            pairs = [later.result() for later in both]
            mark = "**" if p == trend.SUSPICIOUS else ""
            price, reward = ", ".join(f"{a:.1f}" for a, _ in pairs), ", ".join(_per_cent(b) for _, b in pairs)
            lines.append(f"| {mark}{p}{mark} | {price} | {reward} |")
        lines += [
            "",
            f"A budget has an edge: a step at 2 % noise, budget 3 %, share of {series // 2} series alarmed by night.",
            "",
            "| step | night 3 | night 30 |",
            "|---|---|---|",
        ]
        for change, shares in edges.items():
            lines.append(f"| +{change:.0%} | {_per_cent(shares.result()[2])} | {_per_cent(shares.result()[29])} |")
    return "\n".join([*lines, *_looking_back(series)])


def _row(shares: Sequence[float]) -> str:
    return " | ".join(map(_per_cent, shares))


def _looking_back(series: int) -> list[str]:
    ways = methods()
    lines = ["", f"Looking back, one series at a time ({series} series each):", ""]
    lines += ["| | " + " | ".join(ways) + " |", "|---|" + "---|" * len(ways)]
    for kind in NOISES:
        for nights in (60, 120):
            levels = np.exp(noise(kind, np.random.default_rng(3), nights, series))
            row = " | ".join(_per_cent(float(np.mean([bool(find(one)) for one in levels]))) for find in ways.values())
            lines.append(f"| change-free, {kind}, {nights} nights: series with a change | {row} |")
    for change in (0.05, 0.10):
        for nights in (3, 5, 10, 20):
            level = noise("independent", np.random.default_rng(4), 60, series)
            level[:, 60 - nights :] += np.log1p(change)
            found = (
                np.mean([any(abs(i - (60 - nights)) <= 3 for i in find(one)) for one in np.exp(level)])
                for find in ways.values()
            )
            row = " | ".join(_per_cent(float(share)) for share in found)
            lines.append(f"| +{change:.0%} in the last {nights} of 60 nights: found | {row} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/trend.md")
    parser.add_argument("--check", action="store_true", help="compare docs/trend.md with what is computed now")
    options = parser.parse_args()
    text = tables()
    if options.write or options.check:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        stored, _, after = rest.partition(END)
        if options.check:
            return int(stored.strip() != text.strip())
        DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
