"""From the engine's messages of a pull to the way of each layer."""

from __future__ import annotations

from collections.abc import Mapping

from harness.engine.contract import LayerPull

_LAYER = {"Pulling fs layer", "Waiting", "Verifying Checksum"}  # names a layer, marks no time we keep
_MARKS = {
    "Downloading": "download_start",
    "Download complete": "download_end",
    "Extracting": "extract_start",
    "Pull complete": "complete",
}


class PullLog:
    """Folds the messages of POST /images/create, each with its time since the pull's t0, into layers and digest."""

    def __init__(self) -> None:
        self._layers: dict[str, dict[str, float]] = {}
        self._reused: set[str] = set()
        self.digest = ""

    def feed(self, message: Mapping[str, object], at: float) -> None:
        """Take one message that came `at` seconds after t0. The first of its kind counts for a layer."""
        layer, status = str(message.get("id") or ""), str(message.get("status") or "")
        if status.startswith("Digest: "):
            self.digest = status.removeprefix("Digest: ")
        elif layer and status == "Already exists":
            self._layers.setdefault(layer, {})
            self._reused.add(layer)
        elif layer and (mark := _MARKS.get(status)):
            self._layers.setdefault(layer, {}).setdefault(mark, at)
        elif layer and status in _LAYER:
            self._layers.setdefault(layer, {})

    def layers(self) -> tuple[LayerPull, ...]:
        """In the order in which the engine first named them."""
        return tuple(
            LayerPull(layer=layer, reused=True)
            if layer in self._reused
            else LayerPull(layer=layer, reused=False, **times)
            for layer, times in self._layers.items()
        )
