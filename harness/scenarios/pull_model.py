"""How long a pull takes over a wire of given speed, from one unshaped pull. Pure: no input, no output.

The behaviour of engines (from moby's xfer/download.go and the progress messages of 20.10): at most three layers
download at a time, a slot is free as soon as its layer has arrived, and layers are unpacked strictly in order, each as
soon as it and the one below it are there:

    complete[i] = max(complete[i - 1], arrived[i]) + unpack[i]

The unshaped pull gives `unpack`, solved from the same line, so that the model repeats that pull exactly when given its
arrivals. The downloads share the wire fairly. Bandwidth is *payload*, the bytes inside TCP, as lab.link shapes it. It
is 94 to 96 % of a real link's nominal speed; the rest is frames and headers (measured: 95.2 with tbf).

Not in the model: an engine that cannot process bytes as fast as they arrive (above about 1 Gbit/s), slow start, and
unpacking slowed by downloads on few cores beyond what the unshaped pull already contains.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.engine.contract import LayerPull, PullResult
from harness.errors import LabError
from harness.model import Phase

if TYPE_CHECKING:
    from harness.image.manifest import Blob

PARALLEL = 3  # layers at a time: dockerd's default of max-concurrent-downloads, and containerd's
# Counted on dockerd 20.10 with nine tiny layers behind a round-trip time of 0.3 s: they arrived after 10, 12 and 14
# trips, three at a time. TLS costs more; a registry that is far away has its round trips in `lead` already.
LEAD_TRIPS = 8.0  # before the first layer is requested: connections, scheme, ping, manifest, config
LAYER_TRIPS = 2.0  # from a layer's slot to its first byte: a new connection, then the request


@dataclass(frozen=True, slots=True)
class LayerCost:
    """The cost of a layer: `bytes` on the wire, and seconds of unpacking once it and the layer below have arrived."""

    digest: str
    bytes: int
    unpack: float


@dataclass(frozen=True, slots=True)
class PullProfile:
    """An image in the model: layers (lowest first), and the seconds before the first and after the last."""

    layers: tuple[LayerCost, ...]
    lead: float
    tail: float

    @property
    def overhead(self) -> float:
        return self.lead + self.tail


@dataclass(frozen=True, slots=True)
class Prediction:
    """`seconds` is the whole pull, `downloaded` when the last layer has arrived; phases as a pull is recorded."""

    seconds: float
    downloaded: float
    phases: tuple[Phase, ...]


def profile(pull: PullResult, layers: Sequence[Blob], *, partial: bool = False) -> PullProfile:
    """The profile of an image from an unshaped pull of it. `layers` are those of its manifest, lowest first.

    If `partial`, the node may have had some of the layers: the profile has the layers that were fetched. Else the pull
    was into an empty node, and LabError is raised if it did not fetch every layer.

    Engines print the first digits of the *blob's* digest. If the engine did not say when layers were complete (it does
    not with containerd's image store), the time of the whole pull is spread over the layers by their size.
    """
    fetched = _fetched(pull, layers, partial=partial)
    if not fetched:
        return PullProfile((), pull.seconds, 0.0)
    if not heard(pull):
        return _profile_of_total(pull.seconds, [blob for blob, _ in fetched])
    costs: list[LayerCost] = []
    seen: set[str] = set()
    first_start, last_complete = math.inf, 0.0
    for blob, found in fetched:
        if blob.digest in seen:  # fetched once; the time of its second unpacking is included in the first
            costs.append(LayerCost(blob.digest, 0, 0.0))
            continue
        seen.add(blob.digest)
        complete = found.complete
        assert complete is not None, "every layer was heard of"
        arrived = _first(found.download_end, found.extract_start, complete)
        first_start = min(first_start, _first(found.download_start, arrived))
        costs.append(LayerCost(blob.digest, blob.size, max(complete - max(last_complete, arrived), 0.0)))
        last_complete = max(last_complete, complete)
    return PullProfile(tuple(costs), first_start, max(pull.seconds - last_complete, 0.0))


def heard(pull: PullResult) -> bool:
    """Whether the engine reported for every fetched layer when it was complete."""
    return all(layer.reused or layer.complete is not None for layer in pull.layers)


def is_layer(printed: str, digest: str) -> bool:
    """Whether `printed`, a layer as an engine names it in a pull, is the layer of the blob `digest`."""
    algorithm, _, digits = digest.partition(":")
    return digits.startswith(printed.removeprefix(f"{algorithm}:"))


def _fetched(pull: PullResult, layers: Sequence[Blob], *, partial: bool) -> list[tuple[Blob, LayerPull]]:
    """The layers that the pull fetched, in the image's order, each with its times in the pull."""
    fetched = []
    for blob in layers:
        found = next((layer for layer in pull.layers if is_layer(layer.layer, blob.digest)), None)
        if found is not None and not found.reused:
            fetched.append((blob, found))
        elif not partial:
            state = "does not mention" if found is None else "did not fetch"
            raise LabError(
                f"the pull {state} layer {blob.digest[:19]}",
                fix="Profile a pull of the same image to an empty machine.",
            )
    return fetched


def _profile_of_total(seconds: float, layers: Sequence[Blob]) -> PullProfile:
    """The profile of a pull of these layers if only the total is known.

    The whole unshaped pull counts as unpacking, because the link is as fast as the machine. So its download time is
    counted twice on a slow link; `link.error` shows by how much.
    """
    sizes = {blob.digest: blob.size for blob in layers}
    rate = seconds / max(sum(sizes.values()), 1)
    return PullProfile(tuple(LayerCost(digest, size, size * rate) for digest, size in sizes.items()), 0.0, 0.0)


def predict(
    profile: PullProfile,
    *,
    bits_per_second: float,
    rtt: float = 0.0,
    parallel: int = PARALLEL,
    reused: Collection[str] = frozenset(),
    nodes: int = 1,
) -> Prediction:
    """A pull over `bits_per_second` of payload with `rtt` seconds of round-trip time added.

    `reused` are digests of layers that the node already has. `nodes` pull the same image at the same time through the
    same wire: every connection gets an equal share, so each node gets its part and all end together.
    """
    if not (bits_per_second > 0 and rtt >= 0 and parallel >= 1 and nodes >= 1):
        raise ValueError(
            "a pull needs a bandwidth above 0, at least one slot and machine, and a round-trip time of at least 0"
        )
    layers = [layer for layer in profile.layers if layer.digest not in reused]
    begin = profile.lead + LEAD_TRIPS * rtt
    spans = _download(
        [layer.bytes for layer in layers],
        begin=begin,
        bytes_per_second=bits_per_second / 8 / nodes,
        latency=LAYER_TRIPS * rtt,
        parallel=parallel,
    )
    phases = [
        Phase(f"download {layer.digest}", start, end - start)
        for layer, (start, end) in zip(layers, spans, strict=True)
        if layer.bytes
    ]
    complete = begin
    for layer, (_, arrived) in zip(layers, spans, strict=True):
        start = max(complete, arrived)
        complete = start + layer.unpack
        phases.append(Phase(f"unpack {layer.digest}", start, layer.unpack))
    downloaded = max((end for _, end in spans), default=begin)
    return Prediction(complete + profile.tail, downloaded, tuple(phases))


def _download(
    sizes: Sequence[int], *, begin: float, bytes_per_second: float, latency: float, parallel: int
) -> list[tuple[float, float]]:
    """When each download takes its slot and when it is complete, s.

    Downloads take slots in order; each waits for `latency`, then all active downloads share the rate. An empty download
    takes neither slot nor time.
    """
    spans = [(begin, begin)] * len(sizes)
    queue = deque(index for index, size in enumerate(sizes) if size)
    waiting: dict[int, float] = {}  # download → when its first byte arrives
    flowing: dict[int, float] = {}  # download → remaining bytes
    now = begin
    while queue or waiting or flowing:
        while queue and len(waiting) + len(flowing) < parallel:
            index = queue.popleft()
            waiting[index] = now + latency
            spans[index] = (now, now)
        for index in [index for index, at in waiting.items() if at <= now]:
            del waiting[index]
            flowing[index] = float(sizes[index])
        next_start = min(waiting.values(), default=math.inf)
        if not flowing:
            now = next_start
            continue
        least = min(flowing.values())
        share = bytes_per_second / len(flowing)
        if now + least / share <= next_start:
            now += least / share
            done = [index for index, left in flowing.items() if left == least]
            for index in done:
                del flowing[index]
                spans[index] = (spans[index][0], now)
            flowing = {index: left - least for index, left in flowing.items()}
        else:
            flowed = share * (next_start - now)
            flowing = {index: max(left - flowed, 0.0) for index, left in flowing.items()}
            now = next_start
    return spans


def _first(*times: float | None) -> float:
    return next(time for time in times if time is not None)
