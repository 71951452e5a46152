"""Python's collector of cycles, held back where hundreds of thousands of objects are made and none is in a cycle."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_guard = threading.Lock()
_holders = 0
_ran = True  # before the first of them


@contextmanager
def held_back() -> Iterator[None]:
    """No collection meanwhile, in any thread; reference counts free what is dropped as ever.

    The collector would go through all that is kept again and again, a fifth of the time of walking an image.
    """
    global _holders, _ran
    with _guard:
        if not _holders:
            _ran = gc.isenabled()
            gc.disable()
        _holders += 1
    try:
        yield
    finally:
        with _guard:
            _holders -= 1
            if not _holders and _ran:
                gc.enable()
