"""The measured parts of a stored run: the input of harness/scenarios/formulas.py, read from the run's folder.

A resumed run builds its images anew, so a cell may have several `layers.json`. A pull belongs to the one that has its
layers, and the newest one has the sizes of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.errors import StoreError
from harness.model import Try
from harness.scenarios.formulas import Estimate, Parts, Typical, of_samples
from harness.scenarios.layer_sizes import FILE, CellLayers, ImageLayers, profile_of
from harness.scenarios.pull_model import PullProfile
from harness.store.documents import versions
from harness.store.run import Run, Series

_PULLS = {f"pull.{state}.total": state for state in ("empty", "previous", "base")}


def measured_parts(run: Run) -> dict[str, Parts]:
    """Parts of every cell of the run, by its id. Raises StoreError if a layers.json is damaged."""
    images = {cell.id: _images(run, cell.id) for cell in run.manifest.cells}
    pulls: dict[tuple[str, str], list[PullProfile]] = {}
    for try_ in run.tries(having=_PULLS):
        for metric in _PULLS.keys() & try_.values.keys():
            if pulled := _profile(try_, metric, images.get(try_.cell, ())):
                pulls.setdefault((try_.cell, _PULLS[metric]), []).append(pulled)
    series = run.series()

    def samples(cell: str, metric: str) -> Estimate | None:
        found = series.get((cell, metric))
        return None if found is None else of_samples(found.value.tolist())

    result = {}
    for cell in run.manifest.cells:
        start, start_of = _start(series, cell.id)
        reproducible = series.get((cell.id, "build.reproducible"))
        result[cell.id] = Parts(
            cell=cell.id,
            app=cell.app,
            strategy=cell.strategy,
            empty=Typical.of(pulls.get((cell.id, "empty"), ())),
            update=Typical.of(pulls.get((cell.id, "previous"), ())),
            base=Typical.of(pulls.get((cell.id, "base"), ())),
            start=start,
            start_of=start_of,
            cold=samples(cell.id, "build.cold"),
            source=samples(cell.id, "build.source"),
            reproducible=None if reproducible is None else bool(reproducible.value.all()),
            images=images[cell.id][-1] if images[cell.id] else None,
        )
    return result


def _images(run: Run, cell: str) -> tuple[CellLayers, ...]:
    """All records, oldest first."""
    found = []
    for path in versions(run.folder, cell, FILE):
        try:
            found.append(CellLayers.from_json(path.read_bytes(), where=str(path)))
        except OSError as error:
            raise StoreError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return tuple(found)


def _profile(pull: Try, metric: str, images: Sequence[CellLayers]) -> PullProfile | None:
    """By the newest record that has the layers of this pull."""
    wanted = "changed" if metric == "pull.previous.total" else "current"
    for parts in reversed(images):
        image: ImageLayers = getattr(parts, wanted)
        found = profile_of(pull, pull.values[metric], image)
        if found and (metric != "pull.empty.total" or len(found.layers) == len(image.layers)):
            return found
    return None


def _start(series: Mapping[tuple[str, str], Series], cell: str) -> tuple[Estimate | None, str]:
    """Seconds from the pull's end to the first valid answer: from deploys if there are any, because an image that was
    just pulled starts differently; otherwise from starts with a warm page cache.
    """
    total, pull = series.get((cell, "deploy.total")), series.get((cell, "deploy.pull"))
    if total is not None and pull is not None:
        _, left, right = np.intersect1d(total.order, pull.order, return_indices=True)
        return of_samples((total.value[left] - pull.value[right]).tolist()), "deploy.total − deploy.pull"
    warm = series.get((cell, "start.warm.total"))
    return (None, "") if warm is None else (of_samples(warm.value.tolist()), "start.warm.total")
