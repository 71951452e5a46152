"""A calibration run: its effects are judged, the newest is found, the page has its form; and a short real run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.catalogue.read import read
from harness.experiments import effects as calibration
from harness.experiments.effects import Effect, Recovery, effects, newest
from harness.model import Environment, Metric, Phase, Status, Try, Unit
from harness.probes.link import MEASURED
from harness.report.calibration import document, rows
from harness.report.table import render
from harness.store.run import CellInfo, Manifest, latest, read_run
from harness.store.writer import RunWriter
from support.checkouts import keeping, stamp

ROOT = Path(__file__).parents[2]
NAMES = ("plain", "late", "shift", "memory", "layer", "sleep")
METRICS = ("start.warm.total", "memory.ready", "build.cold", "size.unpacked", "size.transfer", "registry.stored")


def stored(
    results: Path, *, delay: float = 0.1, found: float = 1.05, layer: int = 50_000_000, where: str = "x"
) -> Path:
    """A calibration run of ten blocks with known values."""
    manifest = Manifest(
        environment=Environment(facts={"engine": where}),
        seed=1,
        metrics=tuple(Metric(name=name, unit=Unit.SECONDS, help="") for name in METRICS),
        cells=tuple(
            CellInfo(id=f"knobs-{n}", app="knobs", app_title="", strategy=n, strategy_title="", rank=rank)
            for rank, n in enumerate(NAMES)
        ),
    )
    with RunWriter.create(results / calibration.FOLDER, manifest) as writer:
        order = 0

        def put(name: str, block: int, values: dict[str, float], phases: tuple[Phase, ...] = ()) -> None:
            nonlocal order
            probe = "link" if phases else next(iter(values)).partition(".")[0]
            writer.append(
                Try(
                    cell=f"knobs-{name}",
                    probe=probe,
                    state="any",
                    block=block,
                    order=order,
                    at=0.0,
                    seconds=1.0,
                    status=Status.OK,
                    values=values,
                    phases=phases,
                )
            )
            order += 1

        for block in range(10):
            start = 0.2 + 0.001 * block
            put("plain", block, {"start.warm.total": start})
            put("late", block, {"start.warm.total": start + delay})
            put("shift", block, {"start.warm.total": start * found})
            put("plain", block, {"memory.ready": 5e6 + block})
            put("memory", block, {"memory.ready": 69e6 + block})
            put("plain", block, {"build.cold": 8.0 + 0.1 * block})
            put("sleep", block, {"build.cold": 10.0 + 0.1 * block})
        for name, size in (("plain", 0), ("layer", layer)):
            values = {
                "size.unpacked": 1e6 + size,
                "size.transfer": 6e5 + size + 9000,
                "registry.stored": 6e5 + size + 9000,
            }
            for metric, value in values.items():
                put(name, 0, {metric: value})
        bits = (6e5 + layer + 9000) * 8
        put("layer", 0, {"link.total": 4.5}, (Phase("download a", 0.1, 0.1), Phase("download b", 0.1, bits / 1e8)))
    return writer.folder


def test_effects_that_come_back_do(tmp_path):
    found = effects(read_run(stored(tmp_path)))
    assert {item.outcome for item in found} == {Recovery.RECOVERED}
    assert len(found) == 8
    late = found[0]
    assert (late.measured, late.low, late.n) == (pytest.approx(100.0), pytest.approx(100.0), 10)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"delay": 0.105}, "100 ms before listening"),
        ({"layer": 49_999_999}, "50 MB of random bytes, unpacked"),
    ],
)
def test_effects_that_do_not_come_back_are_told(tmp_path, changes, name):
    missed = [item.name for item in effects(read_run(stored(tmp_path, **changes))) if item.outcome is Recovery.MISSED]
    assert missed == [name]


def test_a_shift_never_found_is_no_number_before_all_blocks_were_looked_at(tmp_path):
    (shift,) = [item for item in effects(read_run(stored(tmp_path, found=1.0))) if item.unit == "blocks"]
    assert shift.outcome is Recovery.ABSENT


def test_noise_is_no_failure_and_no_success():
    known = {"name": "", "how": "", "unit": "ms", "expected": 100.0, "tolerance": 2.0, "n": 8}
    assert Effect(**known, measured=101.9).outcome is Recovery.RECOVERED
    assert Effect(**known, measured=103.0, low=101.0, high=105.0).outcome is Recovery.UNSURE
    assert Effect(**known, measured=103.0, low=102.5, high=105.0).outcome is Recovery.MISSED
    assert Effect(**known, measured=103.0).outcome is Recovery.UNSURE, "no interval: too few blocks"
    assert Effect(**known, measured=103.0, exact=True).outcome is Recovery.MISSED
    assert Effect(**known).outcome is Recovery.ABSENT


def test_the_newest_of_an_environment_is_found(tmp_path):
    assert newest(tmp_path, "none") is None
    first, _ = stored(tmp_path, where="here"), stored(tmp_path, where="there")
    here = read_run(first).manifest.environment.fingerprint
    assert newest(tmp_path, here) == first
    again = stored(tmp_path, where="here")
    assert newest(tmp_path, here) in (first, again)  # one second has one name of time, and chance decides the rest
    assert newest(tmp_path, "none") is None


def test_the_page_is_current_in_form(tmp_path):
    """Its rows and headings are those the code writes today; its numbers are of the run it names."""

    def form(text: str) -> list[str]:
        lines = [line for line in text.splitlines() if line.startswith(("#", "| "))]
        return [line.split("|")[1].strip() if line.startswith("|") else line for line in lines]

    page = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert form(page) == form(document(read_run(stored(tmp_path))))


def test_the_link_is_the_one_that_is_measured():
    assert calibration.LINK == MEASURED


def test_the_catalogue_of_effects_is_sound():
    catalogue = read(ROOT / "calibration")
    assert not catalogue.problems
    assert {cell.id for cell in catalogue.cells} == {f"knobs-{name}" for name in NAMES} - {calibration.SHIFT}
    assert catalogue.release == read(ROOT).release


def test_every_report_names_the_last_calibration(tmp_path):
    folder = stored(tmp_path)
    shutil.copytree(folder, tmp_path / folder.name)  # as if it were a run of apps in the same environment
    text = " ".join(render(read_run(tmp_path / folder.name)).split())
    assert (
        f"Calibration run {folder.name}: Tare measured 8 known effects. Each result was within its tolerance." in text
    )
    shutil.rmtree(folder)
    assert "No calibration of this environment is stored" in " ".join(render(read_run(tmp_path / folder.name)).split())


@pytest.mark.live
def test_known_effects_come_back_in_the_short_form(tmp_path):
    """What is exact comes back exactly; of what is timed on a shared machine nothing is refuted."""
    checkout = tmp_path / "tare"
    shutil.copytree(ROOT / "calibration", checkout / "calibration")
    stamp(checkout)
    command = [sys.executable, "-m", "harness", "calibrate", "--short", "--results", str(tmp_path)]
    done = subprocess.run(
        command, cwd=checkout, env=keeping(), capture_output=True, text=True, timeout=900, check=False
    )
    found = effects(read_run(latest(tmp_path / calibration.FOLDER)))
    report = "\n".join(" | ".join(row) for row in rows(found)) + done.stdout + done.stderr
    exact = [item for item in found if item.unit == "B"]
    assert [item.outcome for item in exact] == [Recovery.RECOVERED] * 3, report
    assert not [item.name for item in found if item.outcome is Recovery.MISSED], report
    absent = [item.name for item in found if item.outcome is Recovery.ABSENT]
    assert len(absent) == 1, report  # the 5 % shift
