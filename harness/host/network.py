"""A private network on this machine: a bridge with a free /24, for the private engine's containers and the nodes.

No firewall rule and no sysctl is touched. So guests reach nothing but this host's own address on the bridge, where
depot and registry listen. If the host's firewall filters bridged frames (a system Docker does), two guests may not
reach each other, but host and guests still do.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from harness.errors import LabError
from harness.host.reaper import Scope
from harness.host.undo import NET, find_program, run

_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))  # RFC 1918
_GUESSES = 100  # per range; on a host that routes little, the first is free
_LAST_NODE = 120  # nodes get .2 to .120, containers the upper half
CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21  # capability.h


class Network:
    """A bridge `tare<hex>` with a /24: this host has .1, nodes .2–.120, the private engine's containers .128/25.

    Raises LabError if that is `impossible` or if the kernel refuses. A context manager.
    """

    def __init__(self, reaper: Scope) -> None:
        if reason := self.impossible():
            raise LabError(f"no private network: {reason}")
        self.bridge = f"tare{secrets.token_hex(2)}"
        self._taken: set[str] = set()
        self._guard = threading.Lock()
        self._scope = reaper.scope()
        self._scope.link(self.bridge)
        try:
            self.subnet = free_subnet(used_networks())
            self.address = str(self.subnet[1])  # the address of this host
            self.containers = str(list(self.subnet.subnets(prefixlen_diff=1))[1])  # dockerd's --fixed-cidr
            # The bridge gets a hardware address of its own. Otherwise it takes the lowest address of its ports, which
            # changes as containers come and go, and a guest that has learnt the old address reaches nobody until its
            # neighbour entry expires.
            run("ip", "link", "add", self.bridge, "address", _hardware_address(), "type", "bridge")
            run("ip", "address", "add", f"{self.address}/{self.subnet.prefixlen}", "dev", self.bridge)
            run("ip", "link", "set", self.bridge, "up")
        except OSError as error:
            self._scope.close()
            raise LabError(f"no private network: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._scope.close()

    @staticmethod
    def impossible() -> str:
        """Why there can be no network of our own here; "" if there can be."""
        if not Path("/proc/self/status").exists():
            return "this is not Linux"
        if not capable(CAP_NET_ADMIN):
            return "it takes root" if os.geteuid() else "this container may not change its network (CAP_NET_ADMIN)"
        return "" if find_program("ip") else "the program ip is missing (Debian and Ubuntu: iproute2)"

    def allocate(self) -> str:
        """An address for a node, until it is released. Raises LabError if all are taken."""
        with self._guard:
            for number in range(2, _LAST_NODE + 1):
                address = str(self.subnet[number])
                if address not in self._taken:
                    self._taken.add(address)
                    return address
        raise LabError(
            "no address is left in the network",
            where=self.bridge,
            fix="End some of the empty machines before you start more.",
        )

    def release(self, address: str) -> None:
        with self._guard:
            self._taken.discard(address)


def _hardware_address() -> str:
    """A random locally administered unicast address (IEEE 802: second-lowest bit of the first octet set)."""
    return ":".join(f"{octet:02x}" for octet in (0x02, *secrets.token_bytes(5)))


def free_subnet(used: Iterable[IPv4Network]) -> IPv4Network:
    """A private /24 that overlaps none of `used`, at random, so that two harnesses hardly ever pick the same.

    Raises LabError if none is found.
    """
    used = tuple(used)
    for private in _PRIVATE:
        for _ in range(_GUESSES):
            guess = IPv4Network((int(private[0]) + 256 * secrets.randbelow(private.num_addresses // 256), 24))
            if not any(guess.overlaps(other) for other in used):
                return guess
    raise LabError(
        "this host already routes all private networks", fix="Free a /24 of 10.0.0.0/8, or set TARE_ENGINE=system."
    )


def address_towards(endpoint: str) -> str:
    """This machine's address on a bridge that a tcp:// endpoint is on, and on which only guests of this machine are:
    containers of that engine can ask it, and nobody outside of this machine can. "" if there is none.
    """
    host = urlsplit(endpoint).hostname
    if not host or not endpoint.startswith("tcp://"):
        return ""
    try:
        routes = json.loads(run("ip", "-json", "-4", "route", "get", socket.gethostbyname(host)) or "[]")
    except (OSError, ValueError):
        return ""
    bridge = NET / str(routes[0].get("dev")) if routes else NET
    ports = bridge / "brif"
    if not ports.is_dir() or any((NET / port.name / "device").exists() for port in ports.iterdir()):
        return ""
    return str(routes[0].get("prefsrc") or "")


def used_networks() -> list[IPv4Network]:
    """Every IPv4 network this host has an address in or a route to, except the default route."""
    links = json.loads(run("ip", "-json", "-4", "address", "show") or "[]")
    routes = json.loads(run("ip", "-json", "-4", "route", "show", "table", "all") or "[]")
    found = [f"{address['local']}/{address['prefixlen']}" for link in links for address in link.get("addr_info", ())]
    found += [route["dst"] for route in routes if route.get("dst", "default") != "default"]
    return [network for network in (IPv4Network(text, strict=False) for text in found) if network.prefixlen]


def capable(capability: int) -> bool:
    """Whether this process holds a capability: root in a container often lacks those of the host's root."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return False
