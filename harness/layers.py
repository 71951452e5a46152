"""What is inside an image: its layers read from the stream an engine saves, and the tree they make together.

Nothing is unpacked to disk and no content is kept: a layer is the list of its entries. The stream is read once,
forward only. It may be a docker-archive (manifest.json) or an OCI image layout (index.json), layers as they are
or gzipped or zstd-compressed, in any order of members. Nothing in it is trusted: whatever is broken or cut off is
a LayerError.

Specifications: OCI image-spec layer.md (layers, whiteouts), config.md (diff_id) and image-layout.md; Docker image
specification v1.2 (manifest.json). The tar format itself is read by harness/tarread.py.
"""
