"""How often change detection is wrong, and how soon it is right, over generated series; beside two libraries.

    python benchmarks/trend_simulation.py            the tables of docs/trend.md, as Markdown
    python benchmarks/trend_simulation.py --check    exit code 1 where the tables in docs/trend.md are others

What is simulated is one night's whole decision: suspicion, the A/B measured the same night, control of false
discoveries. ruptures and apache-otava are compared where they can be imported; they need not be installed.

Noise is that of a night's median, 2 %: independent; with 5 % of the nights 10–50 % too slow; or remembering the
night before (AR(1), ρ = 0.5). The A/B has 12 pairs of samples, each with 2 % noise. All of it is seeded.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.model import Direction
from harness.stats import changepoints as trend
from harness.stats.intervals import Verdict, confirm, ratio
from harness.store.run import Series

SERIES = 1000
NOISE = 0.02
BASELINES = (20, 30, 60)  # nights
PAIRS = 12  # as benchmarks/nightly.toml asks for
NOISES = ("independent", "5 % spikes", "AR(0.5)")
DOCUMENT = Path(__file__).parents[1] / "docs" / "trend.md"
BEGIN, END = "<!-- simulation -->", "<!-- /simulation -->"

Floats = NDArray[np.float64]


def noise(kind: str, random: np.random.Generator, nights: int, series: int = SERIES) -> Floats:
    """Logarithms of nightly medians, series × nights, without any change."""
    base = random.normal(0, NOISE, (series, nights))
    if kind == "AR(0.5)":
        for night in range(1, nights):
            base[:, night] = 0.5 * base[:, night - 1] + np.sqrt(0.75) * base[:, night]
    if kind == "5 % spikes":
        base += np.where(random.random(base.shape) < 0.05, np.log1p(random.uniform(0.1, 0.5, base.shape)), 0)
    return base


def suspected(levels: Floats) -> NDArray[np.bool_]:
    """`trend.suspect` of many series at once (a test holds the two together)."""
    p, shift, _ = trend.tail_test(levels)
    return ((p <= trend.SUSPICIOUS) & (shift >= np.log1p(trend.SUSPICIOUS_SHIFT))) | trend.jumped(levels)


def alarmed(suspects: NDArray[np.bool_], true: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Which suspects an A/B of the same night confirms, when the images' ratio truly is `true`."""
    blocks = np.arange(PAIRS, dtype=np.int32)
    times = np.zeros(PAIRS)

    def samples(level: float) -> Series:
        return Series(np.exp(random.normal(level, NOISE, PAIRS)), blocks, blocks, times)

    answers = {}
    for index in np.flatnonzero(suspects):
        answer = ratio(samples(0.0), samples(np.log(true)), direction=Direction.SMALLER)
        assert answer is not None
        answers[int(index)] = answer
    result = np.zeros_like(suspects)
    for index, answer in confirm(answers).items():
        result[index] = answer.verdict is Verdict.WORSE
    return result


def false_alarms(kind: str, baseline: int, nights: int = 10) -> tuple[float, float]:
    """Suspicions and alarms per 100 change-free series-nights."""
    random = np.random.default_rng(1)
    levels = noise(kind, random, baseline + nights)
    suspicions = alarms = 0
    for night in range(1, nights + 1):
        found = suspected(levels[:, night : baseline + night])
        suspicions += int(found.sum())
        alarms += int(alarmed(found, 1.0, random).sum())
    return 100 * suspicions / (SERIES * nights), 100 * alarms / (SERIES * nights)


def detection(kind: str, baseline: int, change: float, nights: int = 5) -> list[float]:
    """Share of series alarmed by the end of each of the nights after a change."""
    random = np.random.default_rng(2)
    levels = noise(kind, random, baseline + nights)
    levels[:, baseline:] += np.log1p(change)
    known = np.zeros(SERIES, bool)
    shares = []
    for night in range(1, nights + 1):
        found = suspected(levels[:, : baseline + night]) & ~known
        known |= alarmed(found, 1 + change, random)
        shares.append(float(known.mean()))
    return shares


def looking_back(
    kind: str, nights: int, methods: dict[str, Callable[[Floats], Sequence[int]]], series: int
) -> list[float]:
    """Share of change-free series in which each method finds a change."""
    levels = np.exp(noise(kind, np.random.default_rng(3), nights, series))
    return [float(np.mean([bool(find(row)) for row in levels])) for find in methods.values()]


def found_after(
    nights: int, change: float, methods: dict[str, Callable[[Floats], Sequence[int]]], series: int
) -> list[float]:
    """Share of series of 60 nights, the last ones changed, where a change is found within 3 nights of the true one."""
    levels = noise("independent", np.random.default_rng(4), 60, series)
    levels[:, 60 - nights :] += np.log1p(change)
    found = [
        [any(abs(i - (60 - nights)) <= 3 for i in find(row)) for row in np.exp(levels)] for find in methods.values()
    ]
    return [float(np.mean(one)) for one in found]


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


def tables(series: int = SERIES) -> str:
    """All tables as Markdown."""
    lines = [
        "Change-free, 1 000 series × 10 nights each, per 100 series-nights:",
        "",
        "| noise | " + " | ".join(f"suspicions, alarms: baseline {n}" for n in BASELINES) + " |",
        "|---|" + "---|" * len(BASELINES),
    ]
    for kind in NOISES:
        cells = [false_alarms(kind, n) for n in BASELINES]
        lines.append(f"| {kind} | " + " | ".join(f"{s:.2f}, {a:.2f}" for s, a in cells) + " |")
    lines += [
        "",
        "A change at 2 % noise, share of 1 000 series alarmed by night:",
        "",
        "| change, noise, baseline | night 1 | night 2 | night 3 | night 4 | night 5 |",
        "|---|---|---|---|---|---|",
    ]
    for change in (0.05, 0.10):
        for kind in NOISES:
            for baseline in BASELINES:
                shares = " | ".join(map(_per_cent, detection(kind, baseline, change)))
                lines.append(f"| +{change:.0%}, {kind}, {baseline} | {shares} |")
    ways = methods()
    lines += ["", f"Looking back, one series at a time ({series} series each):", ""]
    lines += ["| | " + " | ".join(ways) + " |", "|---|" + "---|" * len(ways)]
    for kind in NOISES:
        for nights in (60, 120):
            row = " | ".join(map(_per_cent, looking_back(kind, nights, ways, series)))
            lines.append(f"| change-free, {kind}, {nights} nights: series with a change | {row} |")
    for change in (0.05, 0.10):
        for nights in (3, 5, 10, 20):
            row = " | ".join(map(_per_cent, found_after(nights, change, ways, series)))
            lines.append(f"| +{change:.0%} in the last {nights} of 60 nights: found | {row} |")
    return "\n".join(lines)


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
