"""The cache is a folder of ours alone: it says so in a file, which backup programs know too, and other users of the
machine cannot read it. https://bford.info/cachedir/
"""

from __future__ import annotations

from pathlib import Path

_TAG = "CACHEDIR.TAG"
_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"  # MD5 of ".IsCacheDirectory", as the page above says


def open_cache(folder: Path) -> None:
    """Make the folder if it is missing, and mark it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    tag = folder / _TAG
    if not tag.exists():
        tag.write_text(f"{_SIGNATURE}\n# This folder is the cache of Tare. `tare clean --cache` removes it.\n")


def is_cache(folder: Path) -> bool:
    """Whether the folder was marked, or holds nothing."""
    try:
        return (folder / _TAG).read_text(errors="replace").startswith(_SIGNATURE)
    except FileNotFoundError:
        return folder.is_dir() and not any(folder.iterdir())
