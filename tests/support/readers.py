"""Every reader of stored data, with sound data for it: what is damaged in tests/test_fuzz.py and by fuzz_readers.py.

A reader may return anything, or raise TareError. Whatever else it raises is a finding.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from harness.catalogue.read import read as read_catalogue
from harness.claims.read import read_claims
from harness.cli import main
from harness.decision.doubts import planned_once
from harness.engine.buildkit_pb2 import StatusResponse, Vertex, VertexLog
from harness.engine.endpoint import _context, _current_context
from harness.engine.kept_root import _read as read_root
from harness.engine.trace import Trace
from harness.experiments.play_scenarios import Asked
from harness.host.lease import _parse, boot_id
from harness.image.layout import is_layout, read_layout, unpack
from harness.image.read import read_image
from harness.lab.bases.files import Store
from harness.lab.kept_images import Shelf
from harness.model import Phase, Status
from harness.nights.accepted import read_accepted
from harness.nights.bench import read_config
from harness.nights.budgets import check_budgets, read_budgets
from harness.nights.history import History
from harness.nights.images import SavedImages
from harness.probes import all_probes
from harness.run.images import Images
from harness.scenarios.layer_sizes import CellLayers, ImageLayers, LayerSize
from harness.store.run import read_run
from harness.store.writer import RunWriter
from harness.surface import osv
from harness.surface.stored import stored_image
from support.images import layer, saved
from support.mutations import Edit, damaged_bytes, damaged_json, damaged_lines, damaged_toml
from support.stored import MANIFEST, a_try
from support.synthetic import APPS, write

ROOT = Path(__file__).parents[2]
METRICS = [metric for probe in all_probes() for metric in probe.metrics]


@dataclass(frozen=True, slots=True)
class Reader:
    """`sound` makes sound data in an empty folder. `read` reads `file` of that folder and what stands beside it."""

    file: str
    damage: Callable[[bytes, list[Edit]], bytes]
    sound: Callable[[Path], None]
    read: Callable[[Path], object]
    examples: int = 10_000  # of the long form

    def attempt(self, folder: Path, sound: bytes, edits: list[Edit]) -> None:
        """Read damaged data. Raises what the reader raises."""
        (folder / self.file).parent.mkdir(parents=True, exist_ok=True)  # a reader may remove what it cannot use
        (folder / self.file).write_bytes(self.damage(sound, edits))
        self.read(folder)


def _run(folder: Path) -> None:
    """results/run, a small run with a failure, phases, and a resumed session."""
    with RunWriter.create(folder, MANIFEST, argv=["bench"]) as writer:
        writer.images({"go-full": "sha256:1"})
        writer.append(a_try(0, phases=(Phase("create", 0.0, 0.1),), notes={"a": "b"}))
        writer.append(a_try(1, status=Status.TIMEOUT, values={}, reason="slow", log="said"))
        writer.append(a_try(2, values={"start.warm.total": 0.3, "size.layers": 4.0}))
    writer.folder.rename(folder / "run")


def _read_run(folder: Path) -> None:
    run = read_run(folder / "run")
    list(run.tries())
    list(run.tries(having=["size.layers"]))
    run.tries_at([0, 2, 7])
    run.unmeasured()
    planned_once(run)


def _history(folder: Path) -> None:
    with History.open(folder) as history:
        history.nights(), history.environments(), history.confirmations(), history.failures()
        list(history.lines(samples=True))


def _indexed(folder: Path) -> None:
    _run(folder)
    _history(folder)


def _asked(kind: Callable[[object], object], note: str) -> tuple[Callable[[Path], None], Callable[[Path], object]]:
    """A run whose plan holds a request, and its reader."""
    notes = {
        "images": {"names": ["app:1"], "port": 80, "path": "/health"},
        "scenarios": {
            "question": {"wire": {"bits_per_second": 1e8, "rtt": 0.02}, "nodes": 3},
            "only": ["storage"],
        },
    }

    def sound(folder: Path) -> None:
        manifest = replace(MANIFEST, plan={note: notes[note], "probes": [{"name": "start", "blocks": 1}]})
        with RunWriter.create(folder, manifest) as writer:
            writer.append(a_try(0))
        writer.folder.rename(folder / "run")

    return sound, lambda folder: kind(read_run(folder / "run"))


def _toml(source: str) -> Callable[[Path], None]:
    return lambda folder: shutil.copy(ROOT / source, folder / "it.toml")


def _budgets(folder: Path) -> None:
    check_budgets(read_budgets(folder / "it.toml"), {"", "go-full", "go-distroless", "go-scratch"}, METRICS)


def _catalogue(folder: Path) -> None:
    shutil.copytree(ROOT / "tests/catalogue/cases/sound", folder, dirs_exist_ok=True)


def _trace(folder: Path) -> None:
    message = StatusResponse(
        vertexes=[Vertex(digest="sha256:1", name="[build 2/4] RUN x", inputs=["sha256:0"], error="no")],
        logs=[VertexLog(vertex="sha256:1", msg=b"line\r\n")],
    )
    message.vertexes[0].started.seconds, message.vertexes[0].completed.nanos = 1_700_000_000, 5
    (folder / "trace").write_bytes(message.SerializeToString())


def _read_trace(folder: Path) -> None:
    trace = Trace()
    with contextlib.suppress(ValueError):  # as it says
        trace.feed((folder / "trace").read_bytes())
    trace.steps(1.7e9), trace.log(3), trace.failed(), trace.running()


def _archive(folder: Path) -> None:
    said = {"User": "a", "Env": ["PATH=/bin"]}
    data = saved([layer({"etc/passwd": b"root:x:0:0::/:/bin/sh\n", "app": b"x" * 600})], config=said)
    (folder / "image.tar").write_bytes(data)


def _layout(folder: Path) -> None:
    blobs = folder / "layout" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for name, document in (
        ("1", {"architecture": "amd64", "config": {"ExposedPorts": {"80/tcp": {}}}}),
        ("3", {"config": {"digest": "sha256:1"}, "layers": [{"digest": "sha256:2"}]}),
        ("2", {}),
    ):
        (blobs / name).write_text(json.dumps(document))
    entry = {"digest": "sha256:3", "platform": {"os": "linux", "architecture": "amd64"}, "annotations": {"a": "b"}}
    (folder / "layout" / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "layout" / "manifest").write_bytes((blobs / "3").read_bytes())


def _read_manifest(folder: Path) -> None:
    (folder / "layout/blobs/sha256/3").write_bytes((folder / "layout/manifest").read_bytes())
    read_layout(folder / "layout", "amd64")


def _tarred(folder: Path) -> None:
    _layout(folder)
    with tarfile.open(folder / "layout.tar", "w") as archive:
        archive.add(folder / "layout", "")


def _unpack(folder: Path) -> None:
    if is_layout(folder / "layout.tar"):
        shutil.rmtree(folder / "out", ignore_errors=True)
        unpack(folder / "layout.tar", folder / "out")
        read_layout(folder / "out", "amd64")


def _layers(folder: Path) -> None:
    image = ImageLayers(config=5, layers=(LayerSize(digest="sha256:1", packed=9, base=True, diff_id="", content=4),))
    (folder / "layers.json").write_bytes(CellLayers(current=image, changed=image).to_json())


def _surface(folder: Path) -> None:
    _run(folder)
    own = folder / "run/artefacts/go-full"
    own.mkdir(parents=True)
    (own / "steps.json").write_text('{"schema": 1, "image": "a", "efficiency": 1.0, "layers": []}')
    (own / "surface.json").write_text('{"schema": 1, "packages": [{"package": {"name": "a", "version": "1"}}]}')


def _images(folder: Path) -> None:
    (folder / "go-full").mkdir()
    (folder / "go-full" / "1.tar").touch()
    (folder / "go-full" / "good").write_text('{"image": "sha256:1", "night": "n", "at": 1.0, "why": "x"}\n')


def _kept(folder: Path) -> None:
    (folder / "shelf/key").mkdir(parents=True)
    (folder / "shelf/key/record.json").write_text('{"image": "a", "diff_ids": ["b"], "log": "c", "at": 1.0}')


def _bill(folder: Path) -> None:
    purl = "pkg:deb/debian/a@1?distro=debian-13&upstream=b@2"
    (folder / "bill.json").write_text(json.dumps({"components": [{"purl": purl}, {"purl": "pkg:npm/x@1.0.0"}]}))
    ranges = [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}]
    affected = [{"package": {"ecosystem": "npm", "name": "x"}, "ranges": ranges, "versions": ["1.0.0"]}]
    debian = [{"events": [{"introduced": "0"}, {"fixed": "3"}], "type": "ECOSYSTEM"}]
    affected += [{"package": {"ecosystem": "Debian:13", "name": "b"}, "ranges": debian}]
    severity = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]
    record = {"id": "CVE-1", "modified": "2026", "affected": affected, "severity": severity}
    (folder / "osv.json").write_text(json.dumps(record | {"database_specific": {"severity": "HIGH"}}))


def _lease(folder: Path) -> None:
    head = {"version": 1, "boot": boot_id(), "pid": 1, "start": "2"}
    record = {"made": 0, "kind": "folder", "name": "/nowhere", "label": ""}
    (folder / "lease").write_text("".join(json.dumps(line) + "\n" for line in (head, record, {"undone": 0})))


def _docker(folder: Path) -> None:
    (folder / "config.json").write_text('{"currentContext": "far", "auths": {}}')


def _read_docker(folder: Path) -> None:
    environ = {"DOCKER_CONFIG": str(folder)}
    _context(_current_context(environ), environ)


def _made(folder: Path) -> None:
    (folder / "made").mkdir()
    one = {"diff_id": "sha256:1", "size": 1, "content": 1, "files": 1, "packed": 1}
    record = {"key": "key", "layer": one, "epoch": 1, "at": "now", "packages": 0, "lock": "x"}
    (folder / "made" / "key.json").write_text(json.dumps(record))


def _accepted(folder: Path) -> None:
    record = {"cell": "go-*", "metric": "size.*", "since": "run", "at": 1.0, "reason": "meant"}
    (folder / "accepted.jsonl").write_bytes(orjson.dumps(record) + b"\n" + orjson.dumps(record) + b"\n")


def _root(folder: Path) -> None:
    record = {"format": 3, "dockerd": "x", "images": {"sha256:1": 1.0}}
    (folder / "tare.json").write_text(json.dumps(record))


def _documents(folder: Path) -> None:
    write(folder / "results", apps={"go": APPS["go"]}, blocks=2).rename(folder / "run")


def _report(*words: str) -> Callable[[Path], None]:
    """A whole command on a run of which one file is damaged: it ends with an exit code."""

    def command(folder: Path) -> None:
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            code = main([word.replace("@", str(folder)) for word in words])
        assert code in (0, 1, 2, 3), code
        assert "Traceback" not in told.getvalue()

    return command


def _tare_report(*words: str, file: str = "run/manifest.json", damage: object = damaged_json) -> Reader:
    return Reader(file, damage, _documents, _report(*words), 1_000)  # type: ignore[arg-type]


READERS = {
    "manifest": Reader("run/manifest.json", damaged_json, _run, _read_run),
    "samples": Reader("run/samples.jsonl", damaged_lines, _run, _read_run),
    "sessions": Reader("run/sessions.jsonl", damaged_lines, _run, _read_run),
    "history of a manifest": Reader("run/manifest.json", damaged_json, _indexed, _history, 2_000),
    "history of samples": Reader("run/samples.jsonl", damaged_lines, _indexed, _history, 2_000),
    "index": Reader(".index/history.sqlite", damaged_bytes, _indexed, _history, 2_000),
    "plan of images": Reader("run/manifest.json", damaged_json, *_asked(Images.of, "images")),
    "plan of scenarios": Reader("run/manifest.json", damaged_json, *_asked(Asked.of, "scenarios")),
    "accepted changes": Reader(
        "accepted.jsonl",
        damaged_lines,
        _accepted,
        read_accepted,
    ),
    "budgets": Reader("it.toml", damaged_toml, _toml("budgets.toml"), _budgets, 1_000),
    "claims": Reader(
        "it.toml",
        damaged_toml,
        _toml("tests/golden/claims.toml"),
        lambda folder: read_claims(folder / "it.toml", METRICS),
        1_000,
    ),
    "nightly": Reader(
        "it.toml", damaged_toml, _toml("benchmarks/nightly.toml"), lambda folder: read_config(folder / "it.toml")
    ),
    "app": Reader("apps/echo/app.toml", damaged_toml, _catalogue, read_catalogue, 2_000),
    "bases": Reader("variants/bases.toml", damaged_toml, _catalogue, read_catalogue, 2_000),
    "trace": Reader("trace", damaged_bytes, _trace, _read_trace),
    "image archive": Reader(
        "image.tar", damaged_bytes, _archive, lambda folder: read_image([(folder / "image.tar").read_bytes()])
    ),
    "layout index": Reader(
        "layout/index.json", damaged_json, _layout, lambda folder: read_layout(folder / "layout", "amd64")
    ),
    "layout manifest": Reader("layout/manifest", damaged_json, _layout, _read_manifest),
    "layout archive": Reader("layout.tar", damaged_bytes, _tarred, _unpack, 2_000),
    "layers": Reader(
        "layers.json",
        damaged_json,
        _layers,
        lambda folder: CellLayers.from_json((folder / "layers.json").read_bytes()),
    ),
    "surface": Reader(
        "run/artefacts/go-full/surface.json",
        damaged_json,
        _surface,
        lambda folder: stored_image(read_run(folder / "run"), "go-full"),
        2_000,
    ),
    "good image": Reader("go-full/good", damaged_json, _images, lambda folder: SavedImages(folder).good("go-full")),
    "kept image": Reader(
        "shelf/key/record.json",
        damaged_json,
        _kept,
        lambda folder: Shelf(folder / "shelf", folder / "storage").has("key"),
    ),
    "kept root": Reader("tare.json", damaged_json, _root, read_root),
    "lease": Reader(
        "lease",
        damaged_lines,
        _lease,
        lambda folder: _parse((folder / "lease").read_text(errors="replace").splitlines()),
    ),
    "docker context": Reader("config.json", damaged_json, _docker, _read_docker),
    "made base": Reader("made/key.json", damaged_json, _made, lambda folder: Store(folder).find("key")),
    "osv records": Reader(
        "osv.json", damaged_json, _bill, lambda folder: osv.scan(folder / "bill.json", folder / "osv.json")
    ),
    "bill of materials": Reader(
        "bill.json", damaged_json, _bill, lambda folder: osv.scan(folder / "bill.json", folder / "osv.json")
    ),
    "tare report": _tare_report("report", "@/run"),
    "tare report --out": _tare_report("report", "@/run", "--out", "@/out", "--force"),
    "tare report of samples": _tare_report(
        "report", "@/run", "--out", "@/out", "--force", file="run/samples.jsonl", damage=damaged_lines
    ),
    "tare trend": _tare_report("trend", "--results", "@"),
    "tare export": _tare_report("export", "@/run", "--format", "csv", "--output", "@/it", "--force"),
}
