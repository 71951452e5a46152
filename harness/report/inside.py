"""The content of images as text: the layers of one image, and why two images differ."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from statistics import median

from tabulate import tabulate

from harness.store.run import Run
from harness.surface.difference import ContentChange, ImageDifference
from harness.surface.stored import StoredImage

_STEP = 60  # characters of a step
_NAMED = 12  # packages and files that are listed by name


def layers_text(image: StoredImage, *, folders: int = 3) -> str:
    """A table of the layers, lowest first, each with its largest folders."""
    rows = [
        (
            layer["number"],
            textwrap.shorten(layer["step"] or layer["diff_id"][:19], _STEP, placeholder=" …"),
            _size(layer["packed"]),
            _size(layer["content"]),
            _size(layer["waste"]),
            layer["files"],
            "\n".join(f"{_size(size)}  /{path}" for path, size in layer["folders"][:folders]),
        )
        for layer in image.steps["layers"]
    ]
    headers = ("", "step", "packed", "content", "wasted", "files", "largest folders")
    table = tabulate(rows, headers=headers, disable_numparse=True)
    layers = image.steps["layers"]
    waste, content = sum(layer["waste"] for layer in layers), sum(layer["content"] for layer in layers)
    share = f"{waste / content:.1%}" if content else "0 %"
    efficiency = image.steps["efficiency"]
    return (
        f"{image.cell}: {len(layers)} layers\n\n{table}\n\n"
        f"wasted: {_size(waste)} of {_size(content)} ({share}), because later layers overwrite or delete it\n"
        f"efficiency by dive's definition: {efficiency:.4f}"
    )


def why_text(run: Run, before: StoredImage, after: StoredImage, found: ImageDifference) -> str:
    """From one cell to another: bytes by layer, package and file; the surface; build steps and start phases."""
    one, other = before.cell, after.cell
    lines = [f"{one} → {other}", "", _sizes(run, one, other, found), "", *_layers(one, other, found), ""]
    lines += _changed("packages", found.packages)
    lines += _changed("files of no package", found.files)
    if found.unnamed:
        lines += [f"smaller files of no package, together: {_signed(found.unnamed)}", ""]
    lines += _surface(one, other, found)
    lines += _phases(run, one, other)
    return "\n".join(lines).rstrip()


def _sizes(run: Run, one: str, other: str, found: ImageDifference) -> str:
    series = run.series()
    rows = []
    for metric, name in (("size.transfer", "bytes to fetch (compressed)"), ("size.unpacked", "bytes unpacked")):
        values = [series.get((cell, metric)) for cell in (one, other)]
        if values[0] is not None and values[1] is not None:
            old, new = (float(value.value[-1]) for value in values if value is not None)
            rows.append((name, _size(old), _size(new), _signed(new - old)))
    rows.append(("explained below", "", "", _signed(found.grows)))
    return tabulate(rows, headers=("", one, other, "difference"), disable_numparse=True)


def _layers(one: str, other: str, found: ImageDifference) -> list[str]:
    lines = []
    for title, layers in (("in both", found.shared), (one, found.only_before), (other, found.only_after)):
        content = sum(layer["content"] for layer in layers)
        lines.append(f"layers {'' if title == 'in both' else 'only in '}{title}: {len(layers)}, {_size(content)}")
        for layer in layers:
            step = textwrap.shorten(layer["step"] or layer["diff_id"][:19], _STEP, placeholder=" …")
            lines.append(f"    {_size(layer['content']):>9}  {step}")
    return lines


def _changed(title: str, changes: Sequence[ContentChange]) -> list[str]:
    if not changes:
        return []
    rows = [(_signed(change.grows), change.kind, change.name, _versions(change)) for change in changes[:_NAMED]]
    rest = changes[_NAMED:]
    if rest:
        rows.append((_signed(sum(change.grows for change in rest)), "", f"{len(rest)} more", ""))
    return [f"{title}:", tabulate(rows, tablefmt="plain", disable_numparse=True), ""]


def _versions(change: ContentChange) -> str:
    if change.before is None or change.after is None:
        return f"only {'after' if change.before is None else 'before'} {''.join(change.versions)}".strip()
    old, new = change.versions
    return f"{old} → {new}" if old != new else old


def _surface(one: str, other: str, found: ImageDifference) -> list[str]:
    if not found.counts and not found.tools:
        return ["surface: the same", ""]
    lines = [
        "surface:",
        tabulate(found.counts, headers=("", one, other), disable_numparse=True, missingval="not measured"),
        "",
    ]
    for kind, gone, new in found.tools:
        lines += [f"{kind} only in {cell}: {', '.join(names)}" for cell, names in ((one, gone), (other, new)) if names]
    return [*lines, ""]


def _phases(run: Run, one: str, other: str) -> list[str]:
    """Medians of the phases of builds from an empty cache and of starts, as far as both cells have them."""
    phases: dict[tuple[str, str], dict[str, list[float]]] = {}
    for try_ in run.tries(having=("build.cold", "start.cold.total", "start.warm.total")):
        if try_.cell in (one, other):
            of_state = phases.setdefault((f"{try_.probe} {try_.state}", try_.cell), {})
            for phase in try_.phases:
                of_state.setdefault(phase.name, []).append(phase.seconds)
    lines = []
    for state in dict.fromkeys(state for state, _ in phases):
        old, new = phases.get((state, one)), phases.get((state, other))
        if old and new:
            rows = [
                (textwrap.shorten(name, _STEP, placeholder=" …"), _seconds(old.get(name)), _seconds(new.get(name)))
                for name in dict.fromkeys((*old, *new))
            ]
            lines += [tabulate(rows, headers=(f"{state}, s", one, other), disable_numparse=True), ""]
    return lines


def _seconds(values: Iterable[float] | None) -> str:
    return "" if values is None else f"{median(values):.3f}"


def _size(size: float | None) -> str:
    """Decimal units, three digits."""
    if size is None:
        return ""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(size) >= factor:
            return f"{size / factor:.3g} {unit}" if abs(size) < 999.5 * factor else f"{size / factor:.0f} {unit}"
    return f"{size:.0f} B"


def _signed(size: float) -> str:
    return f"{'+' if size >= 0 else '−'}{_size(abs(size))}"
