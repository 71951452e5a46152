"""Images that are not built: from a docker archive, from the engine by name, and one that nobody has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cell.foreign import bring
from harness.engine.fake.engine import FakeEngine
from harness.errors import EngineError
from harness.image.context import BuildContext
from support.fake_lab import Apps, fake_lab, make_cell

IMAGE, REPOSITORY = "tare.local/cell/it:current", "tare.local/it"


@pytest.fixture
def lab(tmp_path):
    engine = FakeEngine(Apps(), origin="system", addresses=True)
    yield fake_lab(tmp_path, [], engine)
    engine.close()


def test_the_engine_has_it_by_name_and_keeps_it(lab, tmp_path):
    built = lab.engine.build(context=BuildContext.of_files({"a": b"a"}, dockerfile="FROM scratch"), tag="shop:1")
    cell = replace(make_cell(tmp_path, "it"), reference="shop:1")
    assert bring(lab, cell, image=IMAGE, repository=REPOSITORY) == (built.image, "shop:1 of the engine")
    assert lab.engine.inspect("shop:1")


def test_a_docker_archive_is_loaded(lab, tmp_path):
    built = lab.engine.build(context=BuildContext.of_files({"a": b"a"}, dockerfile="FROM scratch"), tag="shop:1")
    path = tmp_path / "shop.tar"
    path.write_bytes(b"".join(lab.engine.save("shop:1")))
    cell = replace(make_cell(tmp_path, "it"), archive=Path(path))
    assert bring(lab, cell, image=IMAGE, repository=REPOSITORY) == (built.image, "loaded from shop.tar")


def test_a_name_that_nobody_has_says_where_it_was_looked_for(lab, tmp_path):
    cell = replace(make_cell(tmp_path, "it"), reference="nowhere/shop:1")
    with pytest.raises(EngineError, match="neither an engine nor a registry has nowhere/shop:1"):
        bring(lab, cell, image=IMAGE, repository=REPOSITORY)
