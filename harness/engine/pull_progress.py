"""Turns the engine's messages of a pull into the times of each layer.

The classic store sends a message when something happens. With containerd's image store the engine looks every 0.1 s at
what containerd has done (moby, daemon/containerd/progress.go): a layer that took 20 ms may seem to have taken 0.1 s or
none, and until 27.5 there is no message of unpacking at all. Such times are not kept, because they would be wrong.
"""

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

    def __init__(self, *, polled: bool = False) -> None:
        """`polled`: the engine only looks at intervals, so the times of its messages are not kept."""
        self._marks = {} if polled else _MARKS
        self._layers: dict[str, dict[str, float]] = {}
        self._reused: set[str] = set()
        self.digest = ""

    def feed(self, message: Mapping[str, object], at: float) -> None:
        """Take one message that came `at` seconds after t0. For a layer the first message of each kind counts."""
        layer, status = str(message.get("id") or ""), str(message.get("status") or "")
        if status.startswith("Digest: "):
            self.digest = status.removeprefix("Digest: ")
        elif layer and status == "Already exists":
            self._layers.setdefault(layer, {})
            self._reused.add(layer)
        elif layer and (mark := self._marks.get(status)):
            self._layers.setdefault(layer, {}).setdefault(mark, at)
        elif layer and (status in _LAYER or status in _MARKS):
            self._layers.setdefault(layer, {})

    def layers(self) -> tuple[LayerPull, ...]:
        """In the order in which the engine first named them."""
        return tuple(
            LayerPull(layer=layer, reused=True)
            if layer in self._reused
            else LayerPull(layer=layer, reused=False, **times)
            for layer, times in self._layers.items()
        )
