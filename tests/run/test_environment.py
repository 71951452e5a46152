"""Facts of an environment that are worked out and not only read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.engine.programs import Programs
from harness.run.environment import gunzip


def programs(folder: Path, store: str, *names: str, containerd: str = "1.7.24~ds1") -> Programs:
    """Programs in a folder; containerd prints its version."""
    folder.mkdir()
    for name in (*names, "containerd"):
        says = f"containerd github.com/containerd/containerd {containerd} 1" if name == "containerd" else name
        (folder / name).write_text(f"#!/bin/sh\necho {says}\n")
        (folder / name).chmod(0o755)
    return Programs(folder=folder, store=store)


@pytest.mark.parametrize(
    ("store", "containerd", "names", "environ", "expected"),
    [
        ("classic", "2.1.9", ("unpigz", "igzip"), {}, "unpigz"),
        ("classic", "2.1.9", ("igzip",), {}, "built in"),
        ("classic", "1.7.24", ("unpigz",), {"MOBY_DISABLE_PIGZ": "1"}, "built in"),
        ("classic", "1.7.24", ("unpigz",), {"MOBY_DISABLE_PIGZ": "no"}, "unpigz"),
        ("classic", "1.7.24", ("unpigz",), {"CONTAINERD_DISABLE_PIGZ": "1"}, "unpigz"),
        ("containerd", "1.7.24", ("unpigz", "igzip"), {}, "unpigz"),
        ("containerd", "2.1.9+unknown", ("unpigz", "igzip"), {}, "igzip"),
        ("containerd", "2.1.9", ("unpigz", "igzip"), {"CONTAINERD_DISABLE_IGZIP": "1"}, "unpigz"),
        ("containerd", "2.1.9", ("unpigz",), {"CONTAINERD_DISABLE_PIGZ": "1"}, "built in"),
        ("containerd", "2.1.9", ("unpigz",), {"MOBY_DISABLE_PIGZ": "1"}, "unpigz"),
        ("containerd", "2.1.9", (), {}, "built in"),
    ],
)
def test_what_layers_are_unpacked_with(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
    containerd: str,
    names: tuple[str, ...],
    environ: Mapping[str, str],
    expected: str,
) -> None:
    made = programs(tmp_path / "bin", store, *names, containerd=containerd)
    monkeypatch.setattr(Programs, "path", property(lambda self: f"{self.folder}:/nowhere"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert gunzip(made, environ) == expected
