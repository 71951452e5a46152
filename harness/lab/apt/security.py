"""The distribution's security index, as the host's own apt gets it: fetched once in a run, when it is first needed."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from harness.errors import BaseUnavailable, LabError
from harness.lab.apt.root import Apt, Isolated
from harness.lab.apt.sources import vendor
from harness.lab.bases.maker import architecture
from harness.surface.pending import Index, parse

_HELPER = "/usr/lib/apt/apt-helper"  # reads lists however apt has compressed them


class Security:
    """The index of a release. Its files are removed when the call that reads it ends."""

    def __init__(self, release: str) -> None:
        self._release = release
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._reason = ""

    def index(self) -> Index:
        """Raises LabError if it cannot be fetched; then it is not tried again."""
        with self._lock:
            if self._index is None and not self._reason:
                try:
                    self._index = self._read()
                except (LabError, OSError) as error:
                    self._reason = str(error)
            if self._index is None:
                raise LabError(f"the security index of {self._release} cannot be read: {self._reason}")
            return self._index

    def _read(self) -> Index:
        suite = f"{self._release}-security"
        isolated = Isolated()
        with tempfile.TemporaryDirectory(prefix="tare-security-") as name:
            folder = Path(name)
            apt = Apt(
                folder / "apt",
                folder / "debs",
                release=self._release,
                architecture=architecture(),
                isolated=isolated,
                only=(suite,),
            )
            apt.update()
            listed = apt.run("indextargets", "--format", "$(FILENAME)", "Created-By: Packages")
            versions: dict[tuple[str, str], str] = {}
            for path in listed.split():
                versions |= parse(isolated.run([_HELPER, "cat-file", path]))
            if not versions:
                raise BaseUnavailable(f"{suite} has no package lists", where="apt")
            return Index(distribution=vendor()[0], suite=suite, dated=apt.dates.get(suite, ""), versions=versions)
