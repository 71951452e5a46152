"""What Tare can do with an engine and what it cannot, because the engine is on another machine or lacks something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from harness.engine.contract import EngineInfo

ELSEWHERE = "the engine runs on another machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Each field is a reason why something cannot be done; "" if it can be done."""

    page_cache: str = ""  # drop the page cache of the engine's kernel
    files: str = ""  # bring a file of this machine into a container
    tool: str = ""  # run the tool image
    node: str = ""  # pull to an engine that has nothing
    wire: str = ""  # put a slow link between a node and its registry
    phases: str = ""  # hear when a layer has arrived and when it is unpacked

    @classmethod
    def of(cls, info: EngineInfo, *, droppable: bool = True) -> Self:
        """The reach according to the engine's own information. `droppable`: this machine's page cache can be
        dropped.
        """
        away = "" if info.local else ELSEWHERE
        return cls(
            page_cache=f"{away}, and its page cache is not this machine's"
            if away
            else ""
            if droppable
            else "this machine's page cache cannot be dropped",
            files=f"{away}, so no file of this machine can be mounted" if away else "",
            wire=f"{away}, so no link of this machine leads to its registry" if away else "",
            phases="podman does not report when a layer has arrived"
            if info.kind == "podman"
            else "the engine looks at a pull only every 0.1 s"
            if info.image_store == "containerd"
            else "",
        )
