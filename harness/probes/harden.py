"""Harden: whether the app works under the restrictions that hardening guides ask for, found by trying.

The restrictions are those of the CIS Docker Benchmark (5.3, 5.10, 5.12, 5.25) and of Kubernetes' restricted Pod
Security Standard, and a memory limit with a fifth to spare. The app works if it gives its first valid answer and then
all the right answers. It is first tried under all restrictions at once: an app that works then works under each alone,
since no app fails because it is allowed more. If it does not work, it is tried under all restrictions except the
read-only root, the most frequent cause of failures. Only if that fails too, it is tried under each restriction alone,
because a start may take seconds. An app that takes several times as long as without restrictions does not work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from harness.cell.prepare import Prepared
from harness.cell.trial import as_it_is, peak, running, with_program
from harness.engine.contract import ContainerSpec
from harness.errors import EngineError, LabError, TryFailed
from harness.lab.lab import Lab
from harness.lab.reach import Reach
from harness.lab.state import RunState
from harness.lab.test_bed import tool_program
from harness.model import Direction, Metric, Status, Unit
from harness.probes.base import CellProbe, Probe, Reading, Visit, When, not_measured
from harness.store.format import encode

FILE = "harden.json"
SPARE = 1.2  # memory limit ÷ measured peak
NOBODY = "65532:65532"  # the user of the distroless images, for an image that names no user
_SLOWER = 4.0  # factor on its unrestricted start: no restriction makes an app that much slower, but a busy machine may
_LEAST_PATIENCE = 10.0  # s
_LEAST_MEMORY = 6 << 20  # B; engines accept no lower limit
_RESTRICTIONS = {
    "readonly": "with its root file system read-only",
    "capabilities": "with all capabilities dropped",
    "privileges": "without new privileges (no_new_privs)",
    "nonroot": "as a user that is not root: the image's own user, or 65532",
    "memory": f"with its memory limited to {SPARE:g} × its measured peak",
    "all": "under all of these restrictions at once",
}
_WRITABLE = "all but readonly"


class HardenProbe(CellProbe):
    name = "harden"
    activity = "starts"
    rank = 16
    states = ("restricted",)
    reports: ClassVar = {"restricted": "harden.all"}
    blocks = 1
    when = When.AFTER_FIRST_BLOCK
    guess = 2.5  # s of the run: cells are visited side by side
    metrics = tuple(
        Metric(
            name=f"harden.{name}",
            unit=Unit.BOOLEAN,
            direction=Direction.LARGER,
            headline=name == "all",
            help=f"1 if the app works {text}",
        )
        for name, text in _RESTRICTIONS.items()
    )

    def unmeasured(self, reach: Reach) -> Mapping[str, str]:
        unread = reach.tool or (f"{reach.files}, so peak memory cannot be read" if reach.files else "")
        return not_measured(unread, self.metrics)

    def visit_cell(self, lab: Lab, state: RunState, cell: Prepared) -> Visit:
        yield "restricted", lambda: self._measure(lab, state, cell)

    def _measure(self, lab: Lab, state: RunState, cell: Prepared) -> Reading:
        try:
            trials = _Trials(lab, cell, self._peak(lab, state, cell))
            trials.run()
        except (EngineError, LabError) as error:
            raise TryFailed(Status.ERROR, str(error)) from error
        values = {f"harden.{name}": float(not trials.reasons[name]) for name in _RESTRICTIONS}
        notes = {name: reason[:200] for name, reason in trials.reasons.items() if reason}
        record = {"schema": 1, "peak": trials.peak, "limit": trials.limit, "user": trials.user}
        return Reading(values, notes=notes, artefacts={FILE: encode({**record, "reasons": trials.reasons})})

    @staticmethod
    def _peak(lab: Lab, state: RunState, cell: Prepared) -> int:
        """Peak memory of the app after its right answers; another probe may have read it already."""
        name = cell.cell.id
        if not state.peak(name):
            spec = with_program(as_it_is(lab, cell), tool_program(lab.engine, lab.settings.cache))
            with running(lab, cell, spec) as container:
                state.note_peak(name, peak(lab, container))
        if not (found := state.peak(name)):
            raise TryFailed(Status.ERROR, "no process of the app could be read")
        return found


@dataclass(slots=True)
class _Trials:
    lab: Lab
    cell: Prepared
    peak: int  # B
    reasons: dict[str, str] = field(default_factory=dict)  # by restriction: why the app did not work; "" if it did
    limit: int = 0  # B
    user: str = ""

    def run(self) -> None:
        info = self.lab.engine.inspect(self.cell.image)
        own = str(info.config.get("User") or "") if info else ""
        self.user = own if own.partition(":")[0] not in ("", "0", "root") else NOBODY
        self.limit = max(math.ceil(SPARE * self.peak), _LEAST_MEMORY)
        plain = as_it_is(self.lab, self.cell)
        alone = {
            "readonly": replace(plain, read_only=True),
            "capabilities": replace(plain, cap_drop=["ALL"]),
            "privileges": replace(plain, security_opt=["no-new-privileges"]),
            "nonroot": replace(plain, user=self.user),
            "memory": replace(plain, memory=self.limit),
        }
        together = replace(
            plain,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            user=self.user,
            memory=self.limit,
        )
        works = self._try("all", together)
        works_writable = works or self._try(_WRITABLE, replace(together, read_only=False))
        for name, spec in alone.items():
            if works or (works_writable and name != "readonly"):
                self.reasons[name] = ""
            else:
                self._try(name, spec)
        self.reasons.pop(_WRITABLE, None)
        if self.reasons["readonly"]:  # the remedy of hardening guides
            self._try("readonly with a writable /tmp", replace(alone["readonly"], tmpfs={"/tmp": ""}))

    def _try(self, name: str, spec: ContainerSpec) -> bool:
        try:
            patience = max(_SLOWER * self.cell.started, _LEAST_PATIENCE)
            with running(self.lab, self.cell, spec, patience=patience):
                self.reasons[name] = ""
        except TryFailed as error:
            last = error.log.strip().rpartition("\n")[2]
            self.reasons[name] = f"{error.reason}: {last}" if last else error.reason
        return not self.reasons[name]


PROBES: tuple[Probe, ...] = (HardenProbe(),)
