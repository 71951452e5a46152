"""Processor time of the whole inspection of images, by the code of this checkout or of revision 429dfd0.

    python benchmarks/inspect_images.py CACHE BASE:LAYER[,LAYER…] …

The lowest BASE layers are of the image's base. It prints the seconds of all images together: the walk, the inventory
with its tracing if the code traces, the layers, and the bills of materials. It is a file of its own, because the
older revision has other modules.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

try:
    from harness.engine.fake.engine import FakeEngine
    from harness.lab.origins import CellOrigins, KnownFiles
    from harness.surface.inspection import inspection_of
    from harness.surface.layers import SeenLayers, StoredLayer

    TRACES = True
except ImportError:
    from harness.imageread import read_layers
    from harness.surface.examine import Examiner
    from harness.surface.inspection import _inspection as inspection_of

    TRACES = False


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def inspect(base: int, layers: list[Path]) -> int:
    config = {"rootfs": {"diff_ids": [f"sha256:{number}" for number in range(len(layers))]}}
    known = {"name": "x", "image": "sha256:0", "packed": [1] * len(layers), "base": base}
    if TRACES:
        stored = [StoredLayer(digest=layer.name, open=partial(pieces, layer)) for layer in layers]
        seen = SEEN.read(config, stored, base=base)
        origins = CellOrigins(KNOWN.ensure(()), frozenset(), {}, seen.md5)
        found = inspection_of(seen.contents, **known, origins=origins)
    else:
        found = inspection_of(read_layers(config, map(pieces, layers), examine=Examiner()), **known)
    return len(found.documents())


if __name__ == "__main__":
    place, *images = sys.argv[1:]
    began = time.process_time()
    if TRACES:
        KNOWN, SEEN = KnownFiles(FakeEngine(), Path(place)), SeenLayers()
    for image in images:
        number, _, layers = image.partition(":")
        inspect(int(number), [Path(layer) for layer in layers.split(",")])
    print(time.process_time() - began)
