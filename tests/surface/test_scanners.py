"""What scanners say, read as their documentation and releases write it; none of them is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.store.documents import CYCLONEDX, SPDX
from harness.store.writer import RunWriter
from harness.surface import scanners
from harness.surface.scanners import Scan, ScannerError, Vulnerability, installed, scan
from support.synthetic import write

GRYPE = {
    "matches": [
        {
            "vulnerability": {
                "id": "CVE-2025-9230",
                "severity": "High",
                "fix": {"versions": ["3.5.1-1+deb13u1"], "state": "fixed"},
            },
            "relatedVulnerabilities": [],
            "matchDetails": [{"type": "exact-indirect-match", "matcher": "dpkg-matcher"}],
            "artifact": {"name": "libssl3t64", "version": "3.5.1-1", "type": "deb"},
        },
        {
            "vulnerability": {
                "id": "CVE-2011-3374",
                "severity": "Negligible",
                "fix": {"versions": [], "state": "not-fixed"},
            },
            "artifact": {"name": "apt", "version": "3.0.3", "type": "deb"},
        },
    ],
    "descriptor": {
        "name": "grype",
        "version": "0.104.0",
        "db": {"status": {"schemaVersion": "v6.1.3", "built": "2025-11-20T06:15:57Z", "valid": True}},
    },
}
TRIVY = {
    "SchemaVersion": 2,
    "CreatedAt": "2025-11-20T10:00:00Z",
    "ArtifactName": "sbom.cyclonedx.json",
    "ArtifactType": "cyclonedx",
    "Results": [
        {
            "Target": "sbom.cyclonedx.json (debian 13)",
            "Class": "os-pkgs",
            "Type": "debian",
            "Vulnerabilities": [
                {
                    "VulnerabilityID": "CVE-2025-9230",
                    "PkgName": "libssl3t64",
                    "InstalledVersion": "3.5.1-1",
                    "FixedVersion": "3.5.1-1+deb13u1",
                    "Status": "fixed",
                    "Severity": "HIGH",
                }
            ],
        },
        {"Target": "Python", "Class": "lang-pkgs", "Type": "python-pkg"},
    ],
}
TRIVY_VERSION = {"Version": "0.67.2", "VulnerabilityDB": {"Version": 2, "UpdatedAt": "2025-11-20T06:25:31Z"}}
SCOUT = {
    "version": "2.1.0",
    "runs": [
        {
            "tool": {
                "driver": {
                    "fullName": "Docker Scout",
                    "name": "docker scout",
                    "version": "1.18.3",
                    "rules": [
                        {
                            "id": "CVE-2025-9230",
                            "properties": {
                                "affected_version": "<3.5.1-1+deb13u1",
                                "cvssV3_severity": "HIGH",
                                "fixed_version": "3.5.1-1+deb13u1",
                                "purls": ["pkg:deb/debian/openssl@3.5.1-1?os_distro=trixie"],
                            },
                        }
                    ],
                }
            },
            "results": [{"ruleId": "CVE-2025-9230", "ruleIndex": 0, "level": "error"}],
        }
    ],
}


def asked(scanner: str, **answers: object):
    """A scan whose commands are answered from `answers`, by a word of theirs."""
    commands = []

    def run(command):
        commands.append(list(command))
        return next(json.dumps(said).encode() for word, said in answers.items() if word in command)

    return scan(scanner, Path("a.cyclonedx.json"), Path("a.spdx.json"), run), commands


def test_grype_is_asked_about_the_bill_of_materials() -> None:
    found, commands = asked("grype", grype=GRYPE)
    assert commands == [["grype", "sbom:a.cyclonedx.json", "-q", "-o", "json"]]
    assert (found.version, found.database) == ("0.104.0", "2025-11-20T06:15:57Z")
    assert found.found == (
        Vulnerability(
            id="CVE-2025-9230", package="libssl3t64", installed="3.5.1-1", fixed="3.5.1-1+deb13u1", severity="high"
        ),
        Vulnerability(id="CVE-2011-3374", package="apt", installed="3.0.3", fixed="", severity="negligible"),
    )
    assert found.counts()["high"] == 1


def test_the_date_of_an_older_grype_database() -> None:
    older = {**GRYPE, "descriptor": {"name": "grype", "version": "0.80", "db": {"built": "2024-01-01T00:00:00Z"}}}
    assert asked("grype", grype=older)[0].database == "2024-01-01T00:00:00Z"


def test_trivy_is_asked_for_its_database_too() -> None:
    found, commands = asked("trivy", sbom=TRIVY, version=TRIVY_VERSION)
    assert [command[1] for command in commands] == ["sbom", "version"]
    assert (found.version, found.database, len(found.found)) == ("0.67.2", "2025-11-20T06:25:31Z", 1)
    assert found.found[0].severity == "high"


def test_docker_scouts_results_are_told_by_their_rules() -> None:
    found, _ = asked("docker scout", scout=SCOUT)
    assert (found.version, found.found) == (
        "1.18.3",
        (
            Vulnerability(
                id="CVE-2025-9230", package="openssl", installed="3.5.1-1", fixed="3.5.1-1+deb13u1", severity="high"
            ),
        ),
    )


@pytest.mark.parametrize("scanner", ["grype", "trivy", "docker scout"])
@pytest.mark.parametrize("said", [{}, [], {"runs": []}, {"matches": 1, "descriptor": {"version": 1}}])
def test_what_a_scanner_does_not_document_is_an_error(scanner: str, said: object) -> None:
    with pytest.raises(ScannerError, match="not in the documented format"):
        scan(scanner, Path("a"), Path("b"), lambda command: json.dumps(said).encode())


def test_a_machine_without_scanners_has_none() -> None:
    assert installed(lambda name: None) == ()


def test_after_a_resume_the_present_image_is_scanned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path)
    with RunWriter.resume(folder) as writer:
        for version in ("first", "second"):
            writer.artefact("go-slim", CYCLONEDX, version)
            writer.artefact("go-slim", SPDX, version)
    read: list[str] = []

    def grype(name: str, *bills: Path) -> Scan:
        read.extend(bill.read_text() for bill in bills)
        return Scan(scanner=name, version="1", database="", found=())

    monkeypatch.setattr(scanners, "installed", lambda: ["grype"])
    monkeypatch.setattr(scanners, "scan", grype)
    assert main(["scan", str(folder)]) == 0
    assert read == ["second", "second"] and "go-slim" in capsys.readouterr().out
