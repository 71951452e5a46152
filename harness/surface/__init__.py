"""What is inside an image and what could go wrong with it, read from the layers without running the image.

One forward walk of the saved stream serves everything: `examine` reads the relevant files as they pass, `inventory`
joins the findings with the tree that all layers make, `sbom` writes CycloneDX and SPDX, `layerreport` lists each
layer's step, bytes and waste. `inspection` is the entry point: one walk, all documents.
"""
