"""Verdicts on claims as text: every interpretation with its numbers, its run, and the commands that would decide the
rest.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache

from harness.catalogue.catalogue import Catalogue
from harness.claims.claim import Answer, Evidence, Follows, Interpretation, Judged, Judgement, Less
from harness.probes import all_probes

_SHOWN = 12  # findings of an interpretation that are listed; further findings are counted
_LOG_LINES = 4
_ENOUGH = 12  # blocks: from here on every p that a table may need can be reached (harness/stats/intervals.py)


def render(
    judgements: Sequence[Judgement],
    *,
    catalogue: Catalogue | None = None,
    metrics: Collection[str] = (),
    markdown: bool = False,
    width: int = 100,
) -> str:
    """All claims as text `width` columns wide, or as Markdown.

    `catalogue` shows what the commands must switch on, `metrics` are the names of the probes' metrics (none: not
    known).
    """
    counts = {answer: sum(each.answer is answer for each in judgements) for answer in Answer}
    total = ", ".join(f"{count} {answer}" for answer, count in counts.items() if count)
    blocks = [f"{len(judgements)} {'claim' if len(judgements) == 1 else 'claims'}: {total}"]
    for each in judgements:
        lines = _lines(each, catalogue, metrics)
        blocks.append("\n".join(_wrapped(lines, width, markdown)))
    return "\n\n".join(blocks)


def _wrapped(lines: Iterator[tuple[int, str]], width: int, markdown: bool) -> Iterator[str]:
    for depth, line in lines:
        if markdown:
            yield f"### {line}\n" if not depth else f"{'  ' * (depth - 1)}- {line}"
        else:
            indent = "  " * depth
            yield textwrap.fill(line, max(width, 40), initial_indent=indent, subsequent_indent=indent + "  ")


def _lines(judgement: Judgement, catalogue: Catalogue | None, metrics: Collection[str]) -> Iterator[tuple[int, str]]:
    """Depth and text of each line."""
    claim = judgement.claim
    yield 0, f"{judgement.answer.upper()}: {claim.says}"
    if claim.note:
        yield 1, claim.note
    if len(judgement.environments) > 1:
        prints = ", ".join(judgement.environments)
        yield 1, f"The interpretations come from different environments ({prints}), so they cannot be compared."
    for judged in judgement.interpretations:
        yield from _interpretation(judged, catalogue, metrics)


def _interpretation(judged: Judged, catalogue: Catalogue | None, metrics: Collection[str]) -> Iterator[tuple[int, str]]:
    interpretation = judged.interpretation
    name = interpretation.metric or "outcome"
    about = f"{name} of {', '.join(interpretation.cells)}: {interpretation.test.words}"
    yield 1, f"{judged.answer}: {interpretation.title} ({about})"
    for finding in judged.findings[:_SHOWN]:
        yield 2, f"{finding.unit}: {finding.numbers}, {finding.answer} (run {finding.run})"
        yield from ((3, line) for line in _tail(finding))
    if len(judged.findings) > _SHOWN:
        yield 2, f"and {len(judged.findings) - _SHOWN} more"
    if judged.answer is Answer.UNDECIDED:
        what = "too few samples" if judged.findings else "not measured"
        if metrics and interpretation.metric and not interpretation.decide and interpretation.metric not in metrics:
            yield 2, f"{what}; no probe gives {interpretation.metric}"
        else:
            yield 2, f"{what}; this command decides it: {command(interpretation, catalogue)}"


def _tail(finding: Evidence) -> list[str]:
    return [line.strip() for line in finding.log.splitlines() if line.strip()][-_LOG_LINES:]


def command(interpretation: Interpretation, catalogue: Catalogue | None = None) -> str:
    """The command that would measure an interpretation. It switches cells on that are off by default."""
    if interpretation.decide:
        return interpretation.decide
    test = interpretation.test
    patterns = (*interpretation.cells, *(test.than if isinstance(test, Less) else ()))
    metrics = [interpretation.metric, test.metric] if isinstance(test, Follows) else [interpretation.metric]
    known = _groups()
    probes = " or ".join(dict.fromkeys(known[metric][0] for metric in metrics if metric in known)) or "size"
    words = dict.fromkeys(pattern.strip("*-?") for pattern in patterns)
    parts = ["tox -e bench --", *_switches(patterns, catalogue), f'-m "{probes}"' if " " in probes else f"-m {probes}"]
    if all(words) and not any(set(word) & set("*?[") for word in words):
        narrowed = " or ".join(words)
        parts.append(f'-k "{narrowed}"' if " " in narrowed else f"-k {narrowed}")
    if not _is_exact(interpretation):
        parts.append(f"--blocks {_ENOUGH}")
    return " ".join(parts)


def _is_exact(interpretation: Interpretation) -> bool:
    """Whether one block decides it."""
    known = _groups()
    return interpretation.metric not in known or known[interpretation.metric][1] == 1


@cache
def _groups() -> Mapping[str, tuple[str, int | None]]:
    """The group of each metric, and in how many blocks its probe measures it."""
    return {metric.name: (metric.group, probe.blocks) for probe in all_probes() for metric in probe.metrics}


def _switches(patterns: Sequence[str], catalogue: Catalogue | None) -> Iterator[str]:
    """For each pattern without a cell that is on by default: the options that switch its cells on."""
    switches: dict[str, None] = {}
    for pattern in patterns:
        cells = [cell for cell in catalogue.cells if fnmatchcase(cell.id, pattern)] if catalogue else []
        if any(cell.app.default and cell.strategy.default for cell in cells):
            continue
        switches |= {f"--app {cell.app.name}": None for cell in cells if not cell.app.default}
        switches |= {f"--strategy {cell.strategy.name}": None for cell in cells if not cell.strategy.default}
    yield from switches
