"""Damaged data of every kind: each reader gives a value or one clear error, whatever the data is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness.errors import TareError
from support.mutations import EDITS, PLACES
from support.readers import READERS

# one edit finds most, and several together find what one edit hides
EDITED = st.lists(st.tuples(st.integers(0, PLACES - 1), st.integers(0, EDITS - 1)), min_size=1, max_size=4)


def survives(name: str, folder: Path, examples: int) -> None:
    """Whatever a reader raises beside TareError ends the test, and so does an error that is not clear."""
    reader = READERS[name]
    reader.sound(folder)
    sound = (folder / reader.file).read_bytes()
    reader.attempt(folder, sound, [])  # what is not damaged is read

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[*HealthCheck],
    )
    @given(EDITED)
    def attempt(edits: list[tuple[int, int]]) -> None:
        try:
            reader.attempt(folder, sound, edits)
        except TareError as error:
            assert "\n" not in error.what, error
            assert str(error).endswith((".", "?")), f"it does not say what to do: {error}"

    attempt()


@pytest.mark.parametrize("name", READERS)
def test_damaged_data_is_one_clear_error(name: str, tmp_path: Path) -> None:
    survives(name, tmp_path, READERS[name].examples // 250)


@pytest.mark.simulation
@pytest.mark.parametrize("name", READERS)
def test_damaged_data_of_many_kinds_is_one_clear_error(name: str, tmp_path: Path) -> None:
    survives(name, tmp_path, READERS[name].examples)
