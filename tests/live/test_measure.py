"""`tare measure` as a user runs it, on a real engine: two versions, a job, and a service that only writes a log."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.store.run import latest, read_run
from support.checkouts import keeping, left_behind, traces
from support.images import File, layer, saved

pytestmark = pytest.mark.live
SOURCE = """
package main

import (
	"fmt"
	"net/http"
	"os"
)

var filler = make([]byte, 48<<20)

func main() {
	if len(os.Args) > 1 {
		for at := range filler {
			filler[at] = 1
		}
		fmt.Println("job done")
		return
	}
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("up")) })
	fmt.Println("listening soon")
	http.ListenAndServe(":8080", nil)
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("program")
    (folder / "main.go").write_text(SOURCE)
    environment = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    assert shutil.which("go"), "Go makes the program of the images"
    subprocess.run(["go", "build", "-o", "server", "main.go"], cwd=folder, env=environment, check=True)
    return (folder / "server").read_bytes()


def image(path: Path, program: bytes, *command: str, extra: bytes = b"") -> str:
    """A docker archive of the program. `extra` lies in a layer of its own."""
    layers = [layer({"server": File(program, mode=0o755)})]
    if extra:
        layers.append(layer({"extra": extra}))
    config = {"Entrypoint": ["/server", *command], "ExposedPorts": {"8080/tcp": {}}}
    path.write_bytes(saved(layers, config=config))
    return str(path)


def as_layout(docker_archive: Path, folder: Path) -> str:
    """The image of a docker archive as an OCI layout, its layers not compressed."""
    import tarfile

    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    with tarfile.open(docker_archive) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))
        config = json.load(archive.extractfile(manifest["Config"]))
        layers = [blob(archive.extractfile(name).read(), "layer.v1.tar") for name in manifest["Layers"]]
    config |= {"architecture": "amd64", "os": "linux"}
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), "config.v1+json"),
        "layers": layers,
    }
    index = {"schemaVersion": 2, "manifests": [blob(json.dumps(document).encode(), "manifest.v1+json")]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(folder)


def measure(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "measure", *arguments, "--blocks", "1"]
    return subprocess.run(command, cwd=folder, env=keeping(), capture_output=True, text=True, timeout=600, check=False)


def test_two_versions_side_by_side(tmp_path, program):
    first = image(tmp_path / "shop-1.tar", program)
    image(tmp_path / "shop-2.tar", program, extra=os.urandom(1 << 20))
    second = as_layout(tmp_path / "shop-2.tar", tmp_path / "shop-2")
    before = traces()
    done = measure(tmp_path, first, second, "--ready", "/health", "-m", "size,start,memory,deploy", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    cells = {cell["strategy"]: cell["metrics"] for cell in json.loads(done.stdout)["cells"]}
    assert set(cells) == {"shop-1", "shop-2"}
    assert cells["shop-2"]["size.layers"]["median"] == 2
    grown = cells["shop-2"]["size.unpacked"]["median"] - cells["shop-1"]["size.unpacked"]["median"]
    assert grown == 1 << 20
    for metric in ("start.warm.total", "memory.ready", "deploy.total", "pull.update.fetched"):
        assert cells["shop-2"][metric]["n"] == 1
    run = read_run(latest(tmp_path / "results"))
    assert (run.folder / "decision.md").exists()
    assert left_behind(before) == set()


def test_a_job_is_measured_until_it_exits(tmp_path, program):
    done = measure(tmp_path, image(tmp_path / "job.tar", program, "job"), "--until", "exit", "-m", "start,memory")
    assert done.returncode == 0, done.stdout + done.stderr
    values = read_run(latest(tmp_path / "results")).series()
    assert values["image-job", "memory.ready"].value[0] > 48 << 20  # B that it writes to
    assert ("image-job", "start.warm.total") in values
    assert "the end with exit code 0" in done.stdout


def test_a_log_line_is_a_start_and_a_wrong_one_says_so(tmp_path, program):
    archive = image(tmp_path / "shop.tar", program)
    done = measure(tmp_path, archive, "--ready-log", "listening", "-m", "start")
    assert done.returncode == 0, done.stdout + done.stderr
    done = measure(tmp_path, archive, "--ready-log", "never", "--timeout", "2", "-m", "start")
    assert done.returncode == 1
    assert "no log line with 'never' within 2 s" in done.stdout
    assert "listening soon" in done.stdout
