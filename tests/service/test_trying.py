"""A service as cells: its own Dockerfile first, edits that were never built before, and a remedy that is tried once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from harness.catalogue.read import read
from harness.errors import TryFailed, UsageError
from harness.image.context import IGNORE, edited
from harness.model import Connection, Exit, Request, Status
from harness.report.documents import make
from harness.service.detect import detect
from harness.service.trying import Mender, app_of, generated, hand_out, plain_name, stand_in
from harness.store.run import read_run
from harness.text.display import Display

ROOT = Path(__file__).parents[2]
BASES = read(ROOT).bases
MAIN = 'package main\n\nfunc main() {\n\thttp.HandleFunc("/healthz", ok)\n\thttp.ListenAndServe(":9090", nil)\n}\n'


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "My_Service"
    place.mkdir()
    (place / "go.mod").write_text("module example.com/x\n\ngo 1.23\n")
    (place / "main.go").write_text(MAIN)
    return place


def test_the_own_dockerfile_is_the_row_that_others_are_compared_with(folder):
    own = 'FROM golang:1.24\nWORKDIR /src\nCOPY . .\nRUN go build -o /x .\nEXPOSE 9090\nCMD ["/x"]\n'
    (folder / "Dockerfile").write_text(own)
    with generated(read(ROOT), detect(folder)) as catalogue:
        yours, *others = catalogue.cells
        assert yours.id == "my-service-yours"
        assert yours.dockerfile.read_text() == own
        assert yours.stand_ins == {"golang:1.24": "sdk-go"}
        assert [cell.strategy.name for cell in others] == ["full", "slim", "multi-stage", "distroless", "scratch"]
        assert all(yours.strategy.rank < cell.strategy.rank for cell in others)
        assert all(cell.dockerfile.with_name(cell.dockerfile.name + IGNORE).is_file() for cell in others)
    assert sorted(path.name for path in folder.iterdir()) == ["Dockerfile", "go.mod", "main.go"]


def test_an_own_dockerignore_counts_for_every_row(folder):
    (folder / ".dockerignore").write_text("*.md\n")
    with generated(read(ROOT), detect(folder)) as catalogue:
        assert not any(cell.dockerfile.with_name(cell.dockerfile.name + IGNORE).exists() for cell in catalogue.cells)


def test_edits_are_texts_that_were_never_built_before(folder):
    app = app_of(detect(folder))
    assert edited(app, app.source_change, 7)["main.go"].decode().startswith("// edit 7\npackage main\n")
    assert edited(app, app.dependency_change, 7)["go.mod"].decode().startswith("// edit 7\nmodule ")


def test_readiness_is_the_health_path_or_the_port(folder):
    assert app_of(detect(folder)).verify == (Request("/healthz"),)
    (folder / "main.go").write_text(MAIN.replace("/healthz", "/"))
    assert app_of(detect(folder)).verify == (Request("/"),)
    for given in ({"health": "none"}, {}):
        app = app_of(detect(folder, given))
        assert (app.ready, app.verify) == (Connection(), ())
        (folder / "main.go").write_text(MAIN.replace("/healthz", "/orders"))
    job = app_of(detect(folder, job=True))
    assert (job.ready, job.port, job.env) == (Exit(), 0, {})


def test_only_the_strategies_that_are_asked_for(folder):
    service = detect(folder)
    with generated(read(ROOT), service, ["slim", "scratch"]) as catalogue:
        assert [cell.strategy.name for cell in catalogue.cells] == ["slim", "scratch"]
    with pytest.raises(UsageError, match="'slm' is no strategy"), generated(read(ROOT), service, ["slm"]):
        pass


@pytest.mark.parametrize(
    ("image", "role"),
    [
        ("python:3.12-slim", "runtime-python"),
        ("python:3.12", "sdk-python"),
        ("node:22-slim", "runtime-node"),
        ("debian:bookworm-slim", "os-slim"),
        ("debian", "os-full"),
        ("eclipse-temurin:17-jre", "runtime-java"),
        ("golang:1.22-alpine", ""),
        ("registry.test/own:1", ""),
        ("${BASE}", ""),
        ("scratch", ""),
    ],
)
def test_bases_that_stand_in_are_of_the_same_repository_and_flavour(image, role):
    assert stand_in(image, BASES) == role


def test_a_known_remedy_is_a_cell_of_its_own_and_keeps_the_ignored_files(folder):
    out = io.StringIO()
    mender = Mender(BASES, Display(out))
    with generated(read(ROOT), detect(folder)) as catalogue:
        cell = next(cell for cell in catalogue.cells if cell.strategy.name == "distroless")
        failed = TryFailed(Status.EXITED, "exit code 1", log="open /data/x.db: permission denied")
        mended = mender(cell, failed)
        assert mended
        other, why = mended
        assert other.id == cell.id
        assert "os-slim" in other.bases
        assert "# Remedy: the service writes to /data." in other.dockerfile.read_text()
        assert other.dockerfile.with_name(other.dockerfile.name + IGNORE).is_file()
        assert "may write to" in why
        assert mender(cell, TryFailed(Status.EXITED, "exit code 1", log="oops")) is None
    assert "it lacks a folder that it may write to" in out.getvalue()


def test_the_winner_is_handed_out_with_a_dockerignore(folder, tmp_path):
    run = read_run(ROOT / "docs" / "example" / "20261125-184745-f5e3")
    decision = make([run])
    take = next(choice.take for app, choice in decision.choices.items() if app)
    written = hand_out(decision, detect(folder), tmp_path)
    assert [path.name for path in written] == ["Dockerfile", ".dockerignore"]
    assert written[0].read_bytes() == (run.folder / "artefacts" / take.id / "Dockerfile").read_bytes()
    assert ".git\n" in written[1].read_text()
    (folder / ".dockerignore").write_text("*.md\n")
    assert hand_out(decision, detect(folder), tmp_path)[1].read_text() == "*.md\n"


def test_a_folder_without_sources_is_refused(tmp_path):
    (tmp_path / "go.mod").write_text("module x\n")
    with pytest.raises(UsageError, match="no source file"):
        app_of(detect(tmp_path, {"entry": "."}))


def test_a_name_of_an_app_is_made_of_any_folder():
    assert plain_name("My Service_2") == "my-service-2"
    assert plain_name("…") == "app"
