"""A run folder that is being written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.store.writer import RunWriter
from support.stored import MANIFEST


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    with RunWriter.create(tmp_path / "results", MANIFEST, argv=["tare", "bench"]) as writer:
        yield writer
