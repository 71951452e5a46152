"""The JSON of every export: in ASCII, so that no control character of a name reaches a terminal as it is."""

from __future__ import annotations

import json


def harmless_json(document: object) -> str:
    """Characters outside ASCII are written as escapes of JSON, which every parser reads back."""
    return json.dumps(document, indent=2, allow_nan=False).replace("\x7f", "\\u007f")
