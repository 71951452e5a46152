"""The port that an image says it listens on, read before a lab is opened: from its file, or from the user's engine."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.engine.connect import answering
from harness.errors import TareError
from harness.image.layout import DOCKER, is_layout, read_layout, unpack
from harness.lab.registry import host_architecture


def exposed(image: str) -> int:
    """The only TCP port that an image exposes; 0 if it exposes none or several, or if its config cannot be read yet."""
    try:
        config = _of_file(Path(image)) if Path(image).exists() else _of_engine(image)
    except (TareError, OSError, ValueError, LookupError, TypeError, tarfile.TarError):
        return 0  # a caller that needs the port asks for it; faults of the image are reported when it is fetched
    ports = [name.partition("/") for name in config.get("ExposedPorts") or ()]
    numbers = [int(number) for number, _, kind in ports if kind in ("", "tcp") and number.isdigit()]
    return numbers[0] if len(numbers) == 1 else 0


def _of_file(path: Path) -> Mapping[str, Any]:
    if not is_layout(path):
        with tarfile.open(path) as archive:
            manifest = json.load(_member(archive, DOCKER))
            document = json.load(_member(archive, manifest[0]["Config"]))
            return dict(document.get("config") or {})
    with tempfile.TemporaryDirectory(prefix="tare-layout-") as name:
        folder = path
        if not path.is_dir():
            folder = Path(name)
            unpack(path, folder)
        document = json.loads(read_layout(folder, host_architecture()).config.read_bytes())
        return dict(document.get("config") or {})


def _member(archive: tarfile.TarFile, name: str) -> Any:
    found = archive.extractfile(name)
    if found is None:
        raise LookupError(name)
    return found


def _of_engine(image: str) -> Mapping[str, Any]:
    engine = answering()
    if engine is None:
        return {}
    try:
        info = engine.inspect(image)
        return info.config if info else {}
    finally:
        engine.close()
