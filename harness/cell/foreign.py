"""Images that Tare did not build: taken from a file, from an engine, or from a registry.

A layout is uploaded to the lab's registry as it is and pulled from there: its blobs keep their bytes, and engines whose
classic image store cannot load a layout have it all the same.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.engine.connect import answering
from harness.engine.contract import Engine
from harness.errors import EngineError
from harness.image.layout import is_layout, read_layout, unpack
from harness.lab.lab import Lab
from harness.lab.upload import Uploader
from harness.model import Cell


def bring(lab: Lab, cell: Cell, *, image: str, repository: str) -> tuple[str, str]:
    """Have the run's engine know the cell's image as `image`; returns its id, and where it came from.

    `repository` is the cell's in the lab's registry. Raises UsageError, EngineError, LabError or OSError.
    """
    if cell.archive is None:
        return _by_name(lab.engine, cell.reference, image)
    if not is_layout(cell.archive):
        return lab.engine.load(cell.archive, tag=image), f"loaded from {cell.archive.name}"
    with tempfile.TemporaryDirectory(prefix="tare-layout-") as name:
        folder = cell.archive
        if not folder.is_dir():
            folder = Path(name)
            unpack(cell.archive, folder)
        found = read_layout(folder, lab.engine.info.architecture)
        Uploader(lab.registry.push).layout(repository, "current", found)
    reference = f"{lab.registry.push}/{repository}:current"
    lab.engine.pull(reference)
    lab.engine.tag(reference, image)
    lab.engine.remove_image(reference)
    return _id(lab.engine, image), f"loaded from the OCI layout {cell.archive.name}"


def _by_name(engine: Engine, reference: str, image: str) -> tuple[str, str]:
    """From the run's engine, or from the user's engine, or from the registry that the name leads to."""
    if engine.inspect(reference):
        engine.tag(reference, image)
        return _id(engine, image), f"{reference} of the engine"
    if engine.info.origin == "private" and (users := answering()):
        try:
            if users.inspect(reference):
                with tempfile.NamedTemporaryFile(prefix="tare-image-", suffix=".tar") as file:
                    for piece in users.save(reference):
                        file.write(piece)
                    file.flush()
                    return engine.load(Path(file.name), tag=image), f"{reference} of {users.info.endpoint}"
        finally:
            users.close()
    try:
        engine.pull(reference)
    except EngineError as error:
        what = f"neither an engine nor a registry has {reference}, and there is no such file: {error.what}"
        raise EngineError(what, fix="Check the name, or `docker save -o FILE IMAGE` and name the file.") from error
    engine.tag(reference, image)
    return _id(engine, image), f"pulled {reference}"


def _id(engine: Engine, image: str) -> str:
    info = engine.inspect(image)
    if info is None:
        raise EngineError("the image disappeared right after it was fetched", where=image)
    return info.id
