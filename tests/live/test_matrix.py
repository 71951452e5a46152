"""The main job as a user runs it, on a real engine: small catalogues, every kind of failure, a kill, a resume."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import docker
import pytest

from harness.model import Status
from harness.run.workers import PREPARE
from harness.settings import LABEL
from harness.store.run import latest, read_run
from support.checkouts import LIMIT, app, bench, checkout, keeping, left_behind, traces

pytestmark = pytest.mark.live


GREETER = """
[env]
GREETER = "{greeter}"

[[service]]
name = "greeter"
title = "A greeter"
base = "os-slim"
port = 7000
command = ["perl", "-MIO::Socket::INET", "-e", '''$s = IO::Socket::INET->new(LocalPort => 7000, Listen => 9) or die;
  while ($c = $s->accept) { print $c "hello"; close $c }''']

[ready]
"""
ASK = """func main() {
\tconnection, err := net.Dial("tcp", os.Getenv("GREETER"))
\tif err != nil {
\t\tpanic(err)
\t}
\tgreeting, err := io.ReadAll(connection)
\tif string(greeting) != "hello" {
\t\tpanic(err)
\t}
"""


def test_a_service_beside_an_app_is_there_on_the_stage_and_on_nodes(tmp_path):
    folder = checkout(tmp_path / "tare", strategies=("scratch",))
    app(
        folder,
        "greeted",
        ("app.toml", "[ready]\n", GREETER),
        ("main.go", "func main() {\n", ASK),
        ("main.go", "import (", 'import (\n\t"io"'),
    )
    before = traces()
    done = bench(folder, "--blocks", "1", "-k", "greeted", "-m", "start or memory or deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    run = read_run(latest(folder / "results"))
    for metric in ("start.warm.total", "memory.ready", "deploy.total"):
        assert len(run.series()["greeted-scratch", metric].value) == 1
    assert run.manifest.cells[0].beside == ("A greeter",)
    assert "A greeter runs in a separate container" in done.stdout
    assert left_behind(before) == set()


def test_an_ecosystem_that_cannot_be_reached_fails_its_cells_alone(tmp_path):
    folder = checkout(tmp_path / "tare", strategies=("multi-stage",), apps=("go", "python"))
    environ = keeping(PIP_INDEX_URL="http://127.0.0.1:9/simple")  # RFC 863: nobody listens there
    command = [sys.executable, "-m", "harness", "bench", "--blocks", "1", "-m", "size or start"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    run = read_run(latest(folder / "results"))
    assert {cell for cell, _ in run.series() if cell} == {"go-multi-stage"}
    (failure,) = run.failures
    assert (failure.cell, failure.probe) == ("python-multi-stage", PREPARE)
    assert failure.reason.startswith("127.0.0.1:9 could not be reached for packages: build failed at RUN")
    assert "python-multi-stage" in done.stdout


def test_a_changed_image_shares_its_layers_whoever_builds_beside_it(tmp_path):
    """Docker 20.10 misses its build cache if another build uses the same base at that time."""
    folder = checkout(tmp_path / "tare", strategies=("slim",), apps=("go", "python"))
    done = bench(folder, "--blocks", "1", "-m", "size or pull")
    assert done.returncode == 0, done.stdout + done.stderr
    series = read_run(latest(folder / "results")).series()
    for name in ("go-slim", "python-slim"):
        fetched, whole = (series[name, metric].value[0] for metric in ("pull.previous.fetched", "size.transfer"))
        assert 0 < fetched < whole / 5


def test_an_image_is_kept_for_later_runs_as_long_as_it_is_sound(tmp_path, live_settings):
    folder = checkout(tmp_path / "tare", strategies=("scratch",))
    source = folder / "apps/go/main.go"
    source.write_text(source.read_text() + f"// {tmp_path}\n")  # one never built before

    def run() -> tuple[str, str, dict[str, float]]:
        """The findings about the image, its id, and all exact values."""
        done = bench(folder, "--blocks", "1", "-m", "size or pull")
        assert done.returncode == 0, done.stdout + done.stderr
        record = read_run(latest(folder / "results"))
        exact = ("size.", "pull.current.fetched", "pull.previous.fetched", "pull.base.fetched")
        values = {k[1]: float(s.value[0]) for k, s in record.series().items() if k[1].startswith(exact)}
        lines = (done.stdout + done.stderr).splitlines()
        said = next(line for line in lines if "go-scratch: " in line and "verified" in line)
        return said, record.sessions[0].images["go-scratch"], values

    said, *first = run()
    assert "built, verified and pushed" in said
    said, *again = run()
    assert "kept from" in said
    assert again == first
    assert list((live_settings.cache / "engines").glob("kept-*"))  # so that it is not unpacked again

    shelf = live_settings.cache / "shelf"
    newest = max(shelf.iterdir(), key=lambda entry: entry.stat().st_mtime)
    for blob in (newest / "blobs").iterdir():
        blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    said, *_ = run()
    assert "built, verified and pushed" in said


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    """One run over a sound app and one of every failure, under two probes."""
    folder = checkout(tmp_path_factory.mktemp("matrix") / "tare", strategies=("scratch",))
    silent = "func main() {\n\tfor {\n\t\ttime.Sleep(time.Hour)\n\t}\n"
    app(
        folder,
        "silent",
        ("main.go", "func main() {", silent),
        ("app.toml", "start_timeout = 30", "start_timeout = 2"),
    )
    app(folder, "exits", ("main.go", "func main() {", 'func main() {\n\tprintln("no configuration")\n\tos.Exit(3)\n'))
    app(folder, "wrong", ("app.toml", "count = 9592", "count = 9593"))
    app(folder, "unbuildable", ("main.go", "package main", "package main\n\nthis is no Go\n"))
    app(folder, "misspelt", ("app.toml", "port = 8080", "prot = 8080"))
    (folder / "variants" / "broken").mkdir()
    (folder / "variants" / "broken" / "variant.toml").write_text('title = "Broken\n')
    before = traces()
    done = bench(folder, "--blocks", "2", "-m", "size or start or build")
    return folder, done, left_behind(before)


def test_the_sound_cell_is_measured_and_the_exit_code_tells_of_the_others(matrix):
    folder, done, _ = matrix
    assert done.returncode == 1, done.stdout + done.stderr
    run = read_run(latest(folder / "results"))
    assert {cell for cell, _ in run.series()} == {"", "go-scratch"}
    for metric in ("start.warm.total", "start.cold.total", "build.cold", "build.source"):
        assert len(run.series()["go-scratch", metric].value) == 2
    assert run.series()["", "floor.warm.total"].value.min() > 0


@pytest.mark.parametrize(
    ("name", "status", "reason", "log"),
    [
        ("silent", Status.TIMEOUT, "no answer on port 8080 within 2 s", ""),
        ("exits", Status.EXITED, "exit code 3", "no configuration"),
        ("wrong", Status.WRONG_ANSWER, "expected 9593", ""),
        ("unbuildable", Status.ERROR, "build failed", "syntax error"),
    ],
)
def test_a_failing_app_is_a_record_with_reason_and_log(matrix, name, status, reason, log):
    folder, done, _ = matrix
    (failure,) = [t for t in read_run(latest(folder / "results")).failures if t.cell == f"{name}-scratch"]
    assert (failure.probe, failure.status) == (PREPARE, status)
    assert reason in failure.reason
    assert log in failure.log
    assert f"{name}-scratch" in done.stdout


def test_broken_files_are_told_with_file_and_line(matrix):
    _, done, _ = matrix
    text = done.stdout + done.stderr
    assert "misspelt/app.toml:" in text
    assert "prot" in text
    assert "broken/variant.toml:1" in text
    assert "Traceback" not in text


def test_nothing_is_left_behind(matrix):
    assert matrix[2] == set()


def test_pytest_words_select_and_listing_touches_no_engine(matrix):
    folder = matrix[0]
    environ = keeping(TARE_ENGINE="off")
    command = [sys.executable, "-m", "harness", "bench", "--co", "-k", "go and scratch", "-m", "start"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    listed = [line for line in done.stdout.splitlines() if "::" in line]
    assert [line.partition("[")[2] for line in listed] == ["go-scratch-start-cold]", "go-scratch-start-warm]"]


def test_the_tables_come_again_from_the_folder_alone(matrix):
    folder = matrix[0]
    environ = keeping(TARE_ENGINE="off")
    command = [sys.executable, "-m", "harness", "report"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    assert "start.warm.total" in done.stdout
    assert "no answer on port 8080" in done.stdout


def test_no_engine_is_one_clear_error(matrix):
    environ = keeping(TARE_ENGINE="off")
    command = [sys.executable, "-m", "harness", "bench", "-m", "size"]
    done = subprocess.run(command, cwd=matrix[0], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no engine is allowed" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_pytest_benchmark_gets_the_recorded_durations_and_can_compare(tmp_path):
    folder = checkout(tmp_path / "tare", strategies=("scratch",))
    done = bench(folder, "--blocks", "2", "-m", "start", "--benchmark-json", "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    run = read_run(latest(folder / "results"))
    stored = {metric: list(series.value) for (name, metric), series in run.series().items() if name == "go-scratch"}
    for entry in json.loads((folder / "out.json").read_text())["benchmarks"]:
        assert entry["stats"]["data"] == pytest.approx(stored[entry["extra_info"]["metric"]])
    compared = subprocess.run(
        [str(Path(sys.executable).parent / "pytest-benchmark"), "compare", "out.json"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert compared.returncode == 0, compared.stdout + compared.stderr


def test_a_base_that_cannot_be_had_fails_its_cells_and_a_second_run_needs_no_network(tmp_path):
    folder = checkout(tmp_path / "tare", strategies=("scratch", "distroless"))
    bases = folder / "variants" / "bases.toml"
    text = bases.read_text()
    table = text.index("[base.distroless-static]")
    package = text.index("packages = [", table) + len("packages = [")
    bases.write_text(f'{text[:package]}"no-such-package-anywhere", {text[package:]}')
    done = bench(folder, "--blocks", "1", "-m", "size or build")
    assert done.returncode == 1, done.stdout + done.stderr
    run = read_run(latest(folder / "results"))
    assert {cell for cell, _ in run.series()} == {"go-scratch"}
    (failure,) = run.failures
    assert failure.cell == "go-distroless"
    assert "no-such-package-anywhere" in failure.reason
    # what was fetched once is enough: no way out of this network namespace, not even to a name server
    command = f"ip link set lo up && exec {sys.executable} -m harness bench --blocks 1 -m 'size or build' -k scratch"
    cut = ["unshare", "--net", "sh", "-c", command]
    done = subprocess.run(cut, cwd=folder, env=keeping(), capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(read_run(latest(folder / "results")).series()["go-scratch", "build.cold"].value) == 1


def test_a_users_engine_is_used_and_left_as_it_was(live_endpoint, tmp_path):
    """What the user has there stays, also its build cache; what a killed run of ours left goes."""
    user = docker.APIClient(live_endpoint, version="auto")
    rubbish = io.BytesIO()
    with tarfile.open(fileobj=rubbish, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    user.import_image_from_data(rubbish.getvalue(), repository="users/thing", tag="1")
    theirs = user.create_container("users/thing:1", ["/none"])["Id"]
    ours = user.create_container("users/thing:1", ["/none"], labels={LABEL: "1"})["Id"]
    before = {image["Id"] for image in user.images()}
    others = before - {image["Id"] for image in user.images(filters={"label": LABEL})}
    folder = checkout(tmp_path / "tare", strategies=("scratch",))
    environ = keeping(TARE_ENGINE="system", DOCKER_HOST=live_endpoint)
    command = [sys.executable, "-m", "harness", "bench", "--blocks", "2", "-m", "size or start or pull or build"]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        left = {container["Id"] for container in user.containers(all=True)}
        assert theirs in left
        assert ours not in left
        after = {image["Id"] for image in user.images()}
        assert after - before == set()
        assert others - after == set()  # images of ours that other tests left in this engine may go
    finally:
        user.remove_container(theirs)
        user.remove_image("users/thing:1")
        user.close()
    facts = read_run(latest(folder / "results")).manifest.environment.facts
    assert facts["cold build"] == "no cache used"
    assert len(read_run(latest(folder / "results")).series()["go-scratch", "build.cold"].value) == 2


@pytest.mark.parametrize("kind", ["dind", "layers"])
def test_other_kinds_of_node_are_recorded_as_such(tmp_path, kind):
    folder = checkout(tmp_path / "tare", strategies=("scratch",))
    environ = keeping(TARE_NODE=kind)
    command = [sys.executable, "-m", "harness", "bench", "--blocks", "2", "-m", "pull or deploy or start"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run = read_run(latest(folder / "results"))
    assert run.manifest.environment.facts["node"] == kind
    for metric in ("pull.empty.total", "pull.previous.total", "deploy.total", "start.warm.total"):
        assert list(run.series()["go-scratch", metric].block) == [0, 1]
    fetched = run.series()["go-scratch", "pull.empty.fetched"].value
    assert (fetched > 1_000_000).all()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_loses_nothing_leaves_nothing_and_completes(tmp_path, number):
    folder = checkout(tmp_path / "tare", strategies=("scratch",))
    before = traces()
    arguments = ["--blocks", "3", "-m", "start or pull"]
    command = [sys.executable, "-m", "harness", "bench", *arguments]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=keeping(), stdout=log, stderr=log)
    deadline = time.monotonic() + LIMIT
    while samples(folder) < 5:
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)
    process.send_signal(number)
    process.wait(120)
    kept = (latest(folder / "results") / "samples.jsonl").read_bytes()
    for _ in range(300):  # the guardian works after the harness is gone
        if not left_behind(before):
            break
        time.sleep(0.1)
    assert left_behind(before) == set()
    if number == signal.SIGINT:
        assert "--resume" in (folder / "log").read_text()
    done = bench(folder, *arguments, "--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    run = read_run(latest(folder / "results"))
    assert (run.folder / "samples.jsonl").read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    keys = [(t.cell, t.probe, t.state, t.block) for t in run.tries() if t.probe != PREPARE]
    assert len(keys) == len(set(keys))
    assert list(run.series()["go-scratch", "pull.empty.total"].block) == [0, 1, 2]
    assert left_behind(before) == set()


def samples(folder: Path) -> int:
    files = list((folder / "results").glob("*/samples.jsonl"))
    return files[0].read_bytes().count(b"\n") if files else 0
