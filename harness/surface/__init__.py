"""What is inside an image and what could go wrong with it, read from its layers without running it.

One forward walk of the stream an engine saves serves everything: `examine` looks into the files that say something as
they pass, `inventory` puts what it found together with the tree that all layers make, `sbom` writes it as CycloneDX
and SPDX, `layerreport` tells each layer's step, bytes and waste. `inspection` is the door: one walk, all documents.
"""
