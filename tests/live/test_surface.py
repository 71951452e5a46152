"""The contents of an image by Tare and by GNU's tools."""

from __future__ import annotations

import pytest

from harness.store.run import latest, read_run
from support.checkouts import bench, checkout
from support.gnu_tools import check, kept_of

pytestmark = pytest.mark.live
CELLS = ("go-scratch", "go-slim", "python-distroless")


def test_the_surface_of_an_image_is_what_gnu_tools_find_in_it(tmp_path, live_settings):
    folder = checkout(tmp_path / "tare", strategies=("scratch", "slim", "distroless"), apps=("go", "python"))
    done = bench(folder, "--blocks", "1", "-k", " or ".join(CELLS), "-m", "size or surface")
    assert done.returncode == 0, done.stdout + done.stderr
    run = read_run(latest(folder / "results"))
    images = {cell: image for session in run.sessions for cell, image in session.images.items()}
    assert set(images) == set(CELLS)
    for cell, image in images.items():
        size = {name: run.series()[cell, f"size.{name}"].value[0] for name in ("unpacked", "files", "waste")}
        kept = kept_of(live_settings.cache / "shelf", image)
        rows = check(kept, run.folder / "artefacts" / cell, size)
        assert not [(cell, row.what, row.ours, row.theirs, row.difference()) for row in rows if not row.agree]
        print(cell, {row.what: row.cells()[1] for row in rows})
