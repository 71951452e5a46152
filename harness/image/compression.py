"""Compressed layers: gzip through ISA-L, twice as fast as zlib, and zstd if a module for it is installed."""

from __future__ import annotations

import importlib
import io
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from isal import isal_zlib

from harness.image.tar import LayerError, Source

_GZIP = b"\x1f\x8b\x08"  # RFC 1952
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878
_GZIP_ONLY = 16 + zlib.MAX_WBITS  # from zlib's manual: no bare deflate
_INPUT = 1 << 14  # bytes of input at a time: the decompressor copies unused input, so small pieces bound hostile input
_OUTPUT = 1 << 20  # bytes taken from a decompressor at a time, whatever the input expands to


def is_compressed(head: bytes) -> bool:
    """Whether a stream that begins so is gzip or zstd."""
    return head.startswith((_GZIP, _ZSTD))


def inflate(head: bytes, pieces: Iterable[memoryview]) -> Iterator[bytes]:
    """The content of a compressed stream, in pieces of bounded size; `pieces` is the whole stream, `head` its
    beginning.

    Raises LayerError for a stream that is broken or cut off, and for zstd if no module can read it.
    """
    return _gunzip(pieces) if head.startswith(_GZIP) else _unzstd(pieces)


def _gunzip(pieces: Iterable[memoryview]) -> Iterator[bytes]:
    """One gzip member or several in a row, because pigz and estargz write many."""
    inflater = isal_zlib.decompressobj(wbits=_GZIP_ONLY)
    for piece in pieces:
        for start in range(0, len(piece), _INPUT):
            data: bytes | memoryview = piece[start : start + _INPUT]
            while data:
                if inflater.eof:
                    inflater = isal_zlib.decompressobj(wbits=_GZIP_ONLY)
                try:
                    content = inflater.decompress(data, _OUTPUT)
                except isal_zlib.error as error:  # type: ignore[misc]  # an instance, say its stubs
                    raise LayerError(f"broken gzip: {error}") from None
                if content:
                    yield content
                data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    if not inflater.eof:
        raise LayerError("the gzip stream ends too early")


def _unzstd(pieces: Iterable[memoryview]) -> Iterator[bytes]:
    reader, errors = _zstd_reader(_Raw(Source(pieces)))
    try:
        while content := reader.read(_OUTPUT):
            yield content
    except errors as error:
        raise LayerError(f"broken zstd: {error}") from None


def _zstd_reader(file: io.RawIOBase) -> tuple[Any, tuple[type[Exception], ...]]:
    """A readable file of the content, and the exceptions that it raises."""
    try:
        module = importlib.import_module("compression.zstd")  # Python ≥ 3.14
        return module.ZstdFile(file), (module.ZstdError, EOFError)
    except ImportError:
        pass
    try:
        module = importlib.import_module("zstandard")
        return module.ZstdDecompressor().stream_reader(file, read_across_frames=True), (module.ZstdError,)
    except ImportError:
        fix = "Install the Python package zstandard beside Tare, or use Python 3.14."
        raise LayerError("compressed with zstd, which this Python cannot read", fix=fix) from None


class _Raw(io.RawIOBase):
    """A source as the file object that zstd readers need."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.upto(len(buffer))
        buffer[: len(data)] = data
        return len(data)
