"""The last lines of a run on the terminal: the table of each app as soon as it is measured, and how the run ended."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.decision.figures import Analysis
from harness.errors import TareError
from harness.report.documents import write_documents
from harness.report.table import render
from harness.run.deadline import Terminated
from harness.run.job import Reporter
from harness.store.run import Run, read_run, refreshed
from harness.text.display import Display

_INTERRUPTED, _TERMINATED = 128 + 2, 128 + 15  # exit codes, as shells have them
_UNFORESEEN = 3  # exit code, as pytest has it


class Ending(Reporter):
    """Shows each app's table once it is measured, and knows how the run ended, for the last lines on the terminal."""

    def __init__(self) -> None:
        self.display: Display | None = None
        self.folder: Path | None = None
        self.exit_code: int | None = None  # None: the exit code that the tests give
        self.why = ""
        self._missed: Mapping[str, Sequence[str]] = {}
        self._seconds = 0.0
        self._analysis: Analysis | None = None

    @property
    def is_early(self) -> bool:
        """Whether the run was stopped before its end."""
        return self.exit_code is not None

    def began(self, folder: Path) -> None:
        self.folder = folder

    def measured(self, folder: Path, app: str) -> None:
        analysis = self.read(folder)
        if self.display:
            self.display.close()
            self.display.say("\n" + tables(analysis, only=app))
        write_documents(folder, analysis)

    def read(self, folder: Path) -> Analysis:
        """The run as it is now. Its samples are read, and figures are computed, only if samples were added."""
        before = self._analysis
        if before is None or before.run.folder != folder:
            self._analysis = Analysis(read_run(folder))
        else:
            self._analysis = before.of(refreshed(before.run))
        return self._analysis

    def ended(self, missed: Mapping[str, Sequence[str]], seconds: float) -> None:
        self._missed, self._seconds = missed, seconds

    def missed(self, app: str) -> Sequence[str]:
        """The probes that have measured nothing of an app."""
        return self._missed.get(app, ())

    def stopped(self, error: BaseException) -> None:
        """The run was stopped by this."""
        if isinstance(error, TareError):
            self.exit_code, self.why = error.exit_code, str(error)
        elif isinstance(error, Exception):
            self.exit_code, self.why = _UNFORESEEN, f"An error that nobody foresaw: {type(error).__name__}: {error}"
        else:
            terminated = isinstance(error, Terminated)
            self.exit_code = _TERMINATED if terminated else _INTERRUPTED
            self.why = "The run was ended (SIGTERM)." if terminated else "The run was interrupted."

    def lines(self, run: Run) -> list[str]:
        """What was not reached, how the run ended, and how to go on."""
        found = [f"not reached: {app or 'all cells'}: {', '.join(names)}" for app, names in self._missed.items()]
        if self.why:
            found.append(self.why)
        if not self._missed and not self.why:
            return [*found, f"Stored in {run.folder}; `tare report {run.id}` shows this again."]
        budget = f" --budget {max(math.ceil(1.2 * self._seconds / 60), 1)}m" if self._missed else ""
        command = run.manifest.to_continue(run.id)
        return [*found, f"Every sample is kept in {run.folder}. To continue: {command}{budget}"]


def tables(analysis: Analysis, *, only: str | None = None) -> str:
    """The tables of a run, as wide as the terminal."""
    width = shutil.get_terminal_size((100, 40)).columns
    return render(analysis.run, width=width, only=only, analysis=analysis)
