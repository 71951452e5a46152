"""Known remedies: what was said leads to what is missing, and the remedy is in the Dockerfile with a comment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.image.dockerfile import instructions, stages
from harness.service.remedies import LIBRARIES, diagnosis, remedy

ROOT = Path(__file__).parents[2]
CASES = {  # what was said → what is missing, by kind of Dockerfile
    "python": {
        "ImportError: libpq.so.5: cannot open shared object file: No such file or directory": "libpq.so.5",
        "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer": "certificate",
        "zoneinfo._common.ZoneInfoNotFoundError: 'No time zone found with key Europe/Berlin'": "time zones",
        "KeyError: 'getpwuid(): uid not found: 65532'": "its user",
        "PermissionError: [Errno 13] Permission denied: '/app/cache/a.txt'": "a folder",
        "sqlite3.OperationalError: unable to open database file": "a folder",
        "locale.Error: unsupported locale setting": "a locale",
        "FileNotFoundError: [Errno 2] No such file or directory: '/bin/sh'": "a shell",
        "Error: pg_config executable not found.": "libpq's headers",
        "error: command 'gcc' failed: No such file or directory": "a C compiler",
        "Fontconfig error: Cannot load default config file": "fonts",
    },
    "go": {
        "panic: open /app/data/x.db: permission denied": "a folder",
        "unknown time zone Europe/Berlin": "time zones",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority": "certificate",
        "go: go.mod requires go >= 1.99 (running go 1.24; GOTOOLCHAIN=local)": "Go 1.99",
    },
    "java": {
        "java.lang.NoClassDefFoundError: java/sql/Driver": "java/sql/Driver",
        "java.lang.module.FindException: Module java.naming not found": "java.naming",
    },
    "node": {
        "gyp ERR! find Python": "a compiler",
        "Error: /app/node_modules/x/build/Release/better_sqlite3.node: invalid ELF header": "a native module",
    },
    "rust": {"Could not find directory of OpenSSL installation": "OpenSSL"},
}
STRATEGIES = ("full", "slim", "multi-stage", "distroless", "scratch")


def dockerfile(kind: str, strategy: str) -> str:
    return (ROOT / "variants" / strategy / f"{kind}.Dockerfile").read_text()


@pytest.mark.parametrize(("kind", "said"), [(kind, said) for kind, cases in CASES.items() for said in cases])
def test_what_was_said_has_a_remedy_in_some_strategy(kind, said, tmp_path):
    missing = CASES[kind][said]
    assert missing in diagnosis(f"Traceback\n{said}\n")
    found = {way: remedy(dockerfile(kind, way), way, f"Traceback\n{said}\n") for way in STRATEGIES}
    made = {way: each for way, each in found.items() if each}
    assert made, "no strategy has a remedy"
    for way, each in made.items():
        before, after = dockerfile(kind, way), each.text
        assert missing in each.missing
        assert "# Remedy: " in after
        assert "# Remedy: " not in before
        assert list(instructions(after))[-1].arguments == list(instructions(before))[-1].arguments
        assert stages(after)[-1].base == stages(before)[-1].base
        (tmp_path / f"{way}.Dockerfile").write_text(after)
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert program
    command = [program, "--no-color", "--config", str(ROOT / ".hadolint.yaml"), *map(str, tmp_path.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_library_comes_with_what_it_loads_where_no_package_manager_is():
    found = remedy(dockerfile("python", "scratch"), "scratch", "libpq.so.5: cannot open shared object file")
    assert found
    assert "--no-install-recommends libpq5" in found.text
    assert "COPY --from=remedy /remedy/ /" in found.text
    assert "AS remedy" not in remedy(dockerfile("python", "slim"), "slim", "libpq.so.5: cannot open shared").text


def test_an_unknown_library_or_symptom_has_no_remedy():
    text = dockerfile("python", "scratch")
    assert remedy(text, "scratch", "libnobody.so.9: cannot open shared object file") is None
    assert "libnobody.so.9" in diagnosis("libnobody.so.9: cannot open shared object file")
    assert remedy(text, "scratch", "it just does not work") is None
    assert diagnosis("it just does not work") == ""


def test_a_library_that_is_a_module_is_no_module_of_java():
    said = "Error: Module org.objectweb.asm not found, required by io.smallrye.config"
    assert diagnosis(said) == ""


def test_a_second_remedy_is_a_stage_of_its_own():
    once = remedy(dockerfile("python", "scratch"), "scratch", "libpq.so.5: cannot open shared object file").text
    twice = remedy(once, "scratch", "KeyError: 'getpwuid(): uid not found: 65532'").text
    assert "AS remedy\n" in twice
    assert "COPY --from=remedy /remedy/ /\n" in twice
    assert "AS remedy-2\n" in twice
    assert "COPY --from=remedy-2 /remedy/ /\n" in twice


def test_node_modules_of_the_build_lie_over_those_of_the_folder():
    said = "better_sqlite3.node: invalid ELF header"
    found = remedy(dockerfile("node", "scratch"), "scratch", said).text
    assert found.index("COPY . .") < found.index("COPY --from=build /app/node_modules")
    assert found.count("COPY . .") == 1


def test_openssl_is_linked_in_if_the_program_is_static():
    said = "error: failed to run custom build command for `openssl-sys v0.9.1`"
    assert "OPENSSL_STATIC=1" in remedy(dockerfile("rust", "scratch"), "scratch", said).text
    assert "OPENSSL_STATIC" not in remedy(dockerfile("rust", "slim"), "slim", said).text


def test_a_system_folder_does_not_become_writable():
    assert remedy(dockerfile("go", "slim"), "slim", "open /etc/x: permission denied") is None


def test_every_library_has_a_package():
    for name, package in LIBRARIES.items():
        assert ".so" in name
        assert package == package.lower()
