"""Where the bases and the strategies are, for commands that take a folder or an image of any place."""

from __future__ import annotations

from pathlib import Path

import harness


def checkout() -> Path:
    """The folder with variants/: the current folder, or the checkout that this program is installed from."""
    here = Path.cwd()
    return here if (here / "variants" / "bases.toml").is_file() else Path(harness.__file__).parents[1]
