"""A coverage-guided fuzzer of one reader of stored data: what it raises beside TareError is a finding.

    pip install atheris && python tests/support/fuzz_readers.py "plan of images" -max_total_time=60 -timeout=10

Not a test that pytest collects: atheris (libFuzzer below it) has wheels for some Pythons only. An input is a list of
edits of sound data, four bytes each, so that the fuzzer need not learn JSON. tests/test_fuzz.py makes such lists too.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

with atheris.instrument_imports(include=["harness"]):
    from harness.errors import TareError
    from support.readers import READERS

from support.mutations import EDITS, PLACES  # noqa: E402 - not of the code under test


def main() -> None:
    if sys.argv[1:2] == [] or sys.argv[1] not in READERS:
        sys.exit(f"name one of: {', '.join(READERS)}")
    reader = READERS[sys.argv.pop(1)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reader.sound(folder)
        sound = (folder / reader.file).read_bytes()

        def one_input(data: bytes) -> None:
            words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, min(len(data), 32) - 3, 4)]
            with contextlib.suppress(TareError):
                reader.attempt(folder, sound, [(word % PLACES, word // PLACES % EDITS) for word in words])

        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
