"""The configuration of a podman of our own is what its readers can read: TOML and CNI's JSON."""

from __future__ import annotations

import json
import tomllib
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace

from harness.engine.podman_service import command, configure
from harness.engine.programs import Programs


def test_containers_join_our_bridge_without_a_firewall_and_registries_of_the_subnet_need_no_tls(tmp_path: Path) -> None:
    programs = Programs(folder=tmp_path / "bin", kind="podman")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/seccomp.json").write_text("{}")
    bridge = SimpleNamespace(
        bridge="tare1", subnet=IPv4Network("10.1.2.0/24"), address="10.1.2.1", containers="10.1.2.128/25"
    )
    etc = configure(tmp_path, data=tmp_path / "d", registries="10.1.2.0/24", bridge=bridge, programs=programs)  # type: ignore[arg-type]
    registries = tomllib.loads((etc / "registries.conf").read_text())["registry"]
    assert {entry["location"] for entry in registries} == {"127.0.0.1", *map(str, IPv4Network("10.1.2.0/24").hosts())}
    assert all(entry["insecure"] for entry in registries)
    settings = tomllib.loads((etc / "containers.conf").read_text())
    assert settings["engine"]["lock_type"] == "file", "locks in shared memory would be shared with other podmans"
    assert settings["network"]["default_network"] == "tare"
    network = json.loads((etc / "networks/tare.conflist").read_text())
    assert [(plugin["type"], plugin["ipMasq"], plugin["isGateway"]) for plugin in network["plugins"]] == [
        ("bridge", False, False)
    ], "portmap and firewall would change this machine's rules"
    addresses = network["plugins"][0]["ipam"]["ranges"][0][0]
    assert (addresses["rangeStart"], addresses["rangeEnd"]) == ("10.1.2.129", "10.1.2.254")


def test_a_node_has_no_network_for_containers(tmp_path: Path) -> None:
    programs = Programs(folder=tmp_path / "bin", kind="podman")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/seccomp.json").write_text("{}")
    etc = configure(tmp_path, data=tmp_path / "d", registries="10.1.2.0/24", bridge=None, programs=programs)
    assert not list((etc / "networks").iterdir())
    assert "default_network" not in tomllib.loads((etc / "containers.conf").read_text())["network"]
    assert command(programs, tmp_path / "s")[1:] == ["system", "service", "--time=0", f"unix://{tmp_path}/s"]
