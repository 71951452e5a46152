"""Vulnerability scanners, if they are installed: grype, trivy, docker scout. They judge a stored bill of materials.

No scanner is needed. Each gets the SBOM that the surface probe kept, so a run can be scanned again on any day. Each
reports its version and the date of its database, because a count holds for an image at a date. Formats: grype's and
trivy's own JSON; docker scout's SARIF 2.1.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from harness.errors import TareError

_TIMEOUT = 300.0  # s; the first call may fetch a database
SEVERITIES = ("critical", "high", "medium", "low", "negligible", "unknown")


class ScannerError(TareError):
    """A scanner failed, or its output has another format than documented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vulnerability:
    id: str  # CVE-2025-1234
    package: str
    installed: str
    fixed: str  # the version that fixes it; "" if there is none
    severity: str  # of SEVERITIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one scanner found in one image. Sorted."""

    scanner: str
    version: str
    database: str  # when its database was made, as it reports; "" if it does not
    found: tuple[Vulnerability, ...]

    def counts(self) -> dict[str, int]:
        return {severity: sum(one.severity == severity for one in self.found) for severity in SEVERITIES}


def grype(said: Mapping[str, Any]) -> Scan:
    """`grype -o json`. Since version 0.88 the date of the database is in db.status.built, before in db.built."""
    descriptor = said["descriptor"]
    database = descriptor.get("db") or {}
    status = database.get("status") or database
    return Scan(
        scanner="grype",
        version=str(descriptor["version"]),
        database=str(status.get("built", "")),
        found=sorted_(
            Vulnerability(
                id=str(match["vulnerability"]["id"]),
                package=str(match["artifact"]["name"]),
                installed=str(match["artifact"]["version"]),
                fixed=", ".join(match["vulnerability"].get("fix", {}).get("versions") or ()),
                severity=_severity(match["vulnerability"].get("severity")),
            )
            for match in said["matches"]
        ),
    )


def trivy(said: Mapping[str, Any], about: Mapping[str, Any]) -> Scan:
    """`trivy … --format json`, and `trivy version --format json`, which is the only source of the database's date."""
    return Scan(
        scanner="trivy",
        version=str(about["Version"]),
        database=str((about.get("VulnerabilityDB") or {}).get("UpdatedAt", "")),
        found=sorted_(
            Vulnerability(
                id=str(one["VulnerabilityID"]),
                package=str(one["PkgName"]),
                installed=str(one["InstalledVersion"]),
                fixed=str(one.get("FixedVersion", "")),
                severity=_severity(one.get("Severity")),
            )
            for result in said.get("Results") or ()
            for one in result.get("Vulnerabilities") or ()
        ),
    )


def scout(said: Mapping[str, Any]) -> Scan:
    """`docker scout cves --format sarif`: each result refers to a rule, whose properties contain the rest. Its database
    is a service, so its date is the time of the request.
    """
    (run,) = said["runs"]
    driver = run["tool"]["driver"]
    rules = {rule["id"]: rule.get("properties") or {} for rule in driver.get("rules") or ()}
    found = []
    for result in run.get("results") or ():
        properties = rules.get(result["ruleId"], {})
        for purl in properties.get("purls") or ("",):
            name, _, version = str(purl).partition("?")[0].rpartition("@")
            fixed = str(properties.get("fixed_version", ""))
            found.append(
                Vulnerability(
                    id=str(result["ruleId"]),
                    package=name.rpartition("/")[2],
                    installed=version,
                    fixed="" if fixed == "not fixed" else fixed,
                    severity=_severity(properties.get("cvssV3_severity")),
                )
            )
    return Scan(scanner="docker scout", version=str(driver.get("version", "")), database="", found=sorted_(found))


Run = Callable[[Sequence[str]], bytes]  # a command's standard output


def installed(which: Callable[[str], str | None] = shutil.which) -> tuple[str, ...]:
    """Names of the scanners that this machine has. Docker scout is a plug-in, so its version has to be asked for."""
    names = [name for name in ("grype", "trivy") if which(name)]
    if which("docker"):
        done = subprocess.run(["docker", "scout", "version"], capture_output=True, check=False, timeout=_TIMEOUT)
        names += ["docker scout"] if done.returncode == 0 else []
    return tuple(names)


def scan(scanner: str, cyclonedx: Path, spdx: Path, run: Run | None = None) -> Scan:
    """Ask one scanner about an image's bill of materials. Raises ScannerError."""
    ask = run or _run
    try:
        if scanner == "grype":
            return grype(orjson.loads(ask(["grype", f"sbom:{cyclonedx}", "-q", "-o", "json"])))
        if scanner == "trivy":
            said = ask(["trivy", "sbom", "--quiet", "--format", "json", str(cyclonedx)])
            return trivy(orjson.loads(said), orjson.loads(ask(["trivy", "version", "--format", "json"])))
        return scout(orjson.loads(ask(["docker", "scout", "cves", "--format", "sarif", f"sbom://{spdx}"])))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        fix = "The format may be newer than this Tare."
        raise ScannerError(f"the output is not in the documented format: {error!r}", where=scanner, fix=fix) from error


def _run(command: Sequence[str]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ScannerError(f"cannot be run: {error}", where=command[0], fix="Run it by hand.") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ScannerError(f"exit status {done.returncode}: {last}", where=" ".join(command), fix="Run it by hand.")
    return done.stdout


def _severity(said: object) -> str:
    name = str(said or "").lower()
    return name if name in SEVERITIES else "unknown"


def sorted_(found: Iterable[Vulnerability]) -> tuple[Vulnerability, ...]:
    """The gravest first; a finding with several places once."""
    return tuple(sorted(set(found), key=_order))


def _order(one: Vulnerability) -> tuple[int, str, str, str]:
    return SEVERITIES.index(one.severity), one.id, one.package, one.installed
