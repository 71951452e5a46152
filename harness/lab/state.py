"""The state of a run: what one part finds out and another part needs later. It is made once a session and passed on."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

from harness.scenarios.pull_model import PullProfile
from harness.surface.inspection import Inspection
from harness.surface.layers import SeenLayers


class RunState:
    """Everything that changes while a session measures. Several threads may use it; cells are named by their id."""

    def __init__(self) -> None:
        # Cells share build stages, and a user's engine remembers other runs: no edit may repeat one that was built
        # before.
        self._edits = itertools.count(int(time.time() * 1000))
        self._guard = threading.Lock()
        self._kept: set[str] = set()
        self._answering: dict[str, str] = {}
        self._profiles: dict[str, PullProfile] = {}
        self._inspections: dict[str, Inspection] = {}
        self._peaks: dict[str, int] = {}
        self._rebuilt: dict[str, str] = {}
        self._shaped: frozenset[str] = frozenset()
        self.layers = SeenLayers()  # of images that were inspected; free it when all cells are prepared

    def next_edit(self) -> int:
        """The number of a source change that no build has seen."""
        return next(self._edits)

    # ── images ─────────────────────────────────────────────────────────────────────────────────────────────────

    def keep_images(self, *names: str) -> None:
        """Keep the images of these names for later runs."""
        with self._guard:
            self._kept.update(names)

    @property
    def kept_images(self) -> frozenset[str]:
        """The names of the images that are kept for later runs."""
        with self._guard:
            return frozenset(self._kept)

    def claim_change(self, app: str, cell: str) -> bool:
        """Whether this cell has to show that the changed image answers: one cell of each app does it for all."""
        with self._guard:
            return self._answering.setdefault(app, cell) == cell

    def release_change(self, app: str) -> None:
        """The cell that had claimed the app's change has failed, so the next one has to show it again."""
        with self._guard:
            self._answering.pop(app, None)

    def note_rebuilt(self, cell: str, image: str) -> None:
        """A second build of the cell gave this image, which differs from the first; "": they are the same."""
        self._rebuilt[cell] = image

    def rebuilt(self, cell: str) -> str | None:
        """The name of an image that a second build gave and that differs from the first; "": they were the same. None:
        there was no second build in this session."""
        return self._rebuilt.get(cell)

    # ── what probes find out about cells ──────────────────────────────────────────────────────────────────────────

    def inspection(self, cell: str, inspect: Callable[[], Inspection]) -> Inspection:
        """What is inside the cell's image: found out by `inspect` once, for all probes that ask."""
        if (found := self._inspections.get(cell)) is None:
            found = self._inspections[cell] = inspect()  # one thread works on a cell at a time
        return found

    def note_pull(self, cell: str, profile: PullProfile) -> None:
        """The profile of a pull to an empty node."""
        self._profiles[cell] = profile

    def pull_profile(self, cell: str) -> PullProfile | None:
        """The profile of the last pull to an empty node in this session."""
        return self._profiles.get(cell)

    def note_peak(self, cell: str, size: int) -> None:
        """Peak memory (B) that was read after all right answers."""
        self._peaks[cell] = max(size, self._peaks.get(cell, 0))

    def peak(self, cell: str) -> int:
        """The largest peak memory (B) that was read; 0 if none was."""
        return self._peaks.get(cell, 0)

    @property
    def shaped(self) -> frozenset[str]:
        """The cells that are pulled over a shaped link too, to check the pull model."""
        return self._shaped

    def shape(self, *cells: str) -> None:
        """Pull these cells over a shaped link too."""
        with self._guard:
            self._shaped |= frozenset(cells)
