"""The content of an image and how it runs, in a few words. For decision.md and report.html."""

from __future__ import annotations

from harness.decision.choice import listed
from harness.store.run import CellInfo, Run


def traits(run: Run, cell: CellInfo) -> list[str]:
    """The content of an image and how it runs, as far as it was measured: `has no shell`, `runs as root`."""

    def of(name: str) -> float | None:
        series = run.series().get((cell.id, name))
        return None if series is None else float(series.value[-1])

    words = []
    packages: float | None = None
    if (components := of("surface.components")) is not None:
        words.append("has 1 component" if components == 1 else f"has {components:.0f} components")
        if hidden := of("surface.hidden"):
            words[-1] += f", and {hidden:.0f} of them {'is' if hidden == 1 else 'are'} invisible to scanners"
    elif (packages := of("surface.packages")) is not None:
        words.append("declares 1 package" if packages == 1 else f"declares {packages:.0f} packages")
        if not packages:
            words[-1] = "has no list of packages, so a scanner finds none"
    blind = components is None and not packages  # a run of before components were traced
    if (pending := of("surface.pending")) is not None and not blind:
        fixes = "fix" if pending == 1 else "fixes"
        words.append(f"has {pending:.0f} pending security {fixes}" if pending else "has no pending security fix")
    shell = of("intruder.sh") if of("surface.shells") is None else of("surface.shells")
    if shell is not None:
        words.append("has a shell" if shell else "has no shell")
    if (root := of("surface.root")) is not None:
        words.append("runs as root" if root else "does not run as root")
    if (hardened := of("harden.all")) is not None:
        words.append(f"works {listed(list(_RESTRICTIONS.values()))}" if hardened else _restricted(run, cell))
    return words


_RESTRICTIONS = {
    "harden.readonly": "with a read-only root file system",
    "harden.capabilities": "without capabilities",
    "harden.privileges": "without new privileges",
    "harden.nonroot": "as a user that is not root",
    "harden.memory": "with little memory",
}


def _restricted(run: Run, cell: CellInfo) -> str:
    """The restrictions under which the app fails, and whether it fails under them with every strategy."""
    series = run.series()

    def fails(of: CellInfo) -> list[str] | None:
        if (of.id, "harden.all") not in series or series[of.id, "harden.all"].value[-1]:
            return None
        found = ((text, series.get((of.id, name))) for name, text in _RESTRICTIONS.items())
        return [text for text, samples in found if samples is not None and not samples.value[-1]]

    mine = fails(cell)
    cells = [other for other in run.manifest.cells if other.app == cell.app]
    everywhere = (
        " (this is so with every strategy)" if len(cells) > 1 and all(fails(other) == mine for other in cells) else ""
    )
    return f"does not work {listed(mine) if mine else 'under all restrictions together'}{everywhere}"
