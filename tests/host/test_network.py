"""The private network: a free subnet, a bridge that comes and goes, addresses that are nobody else's."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import LabError
from harness.host import network as network_module
from harness.host.network import Network, free_subnet, used_networks
from harness.host.reaper import Reaper
from harness.host.undo import find_program, run

PRIVATE = [IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


@st.composite
def networks(draw):
    private = draw(st.sampled_from(PRIVATE))
    prefix = draw(st.integers(private.prefixlen, 32))
    offset = draw(st.integers(0, private.num_addresses - 1))
    return IPv4Network((int(private[0]) + offset, prefix), strict=False)


@settings(deadline=None)
@given(st.lists(networks(), max_size=8))
def test_subnet_is_private_and_overlaps_nothing(used):
    if all(any(private.subnet_of(network) for network in used) for private in PRIVATE):
        with pytest.raises(LabError):
            free_subnet(used)
        return
    try:
        subnet = free_subnet(used)
    except LabError:  # a range may be full of smaller networks too
        assert sum(network.num_addresses for network in used) >= PRIVATE[-1].num_addresses // 2
        return
    assert subnet.prefixlen == 24
    assert any(subnet.subnet_of(private) for private in PRIVATE)
    assert not any(subnet.overlaps(network) for network in used)


def test_full_host_is_told_what_to_do():
    with pytest.raises(LabError, match="TARE_ENGINE=system"):
        free_subnet(PRIVATE)


def test_used_networks_are_read_from_addresses_and_routes(monkeypatch):
    said = {
        "address": '[{}, {"addr_info": [{"local": "10.1.2.3", "prefixlen": 16}]}, {"addr_info": []}]',
        "route": '[{"dst": "default"}, {"dst": "172.17.0.0/16"}, {"dst": "10.9.9.9"}, {"dst": "0.0.0.0/0"}, {}]',
    }
    monkeypatch.setattr(network_module, "run", lambda *words: said["route" if "route" in words else "address"])
    assert list(map(str, used_networks())) == ["10.1.0.0/16", "172.17.0.0/16", "10.9.9.9/32"]


def test_without_the_right_there_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(network_module, "capable", lambda _: False)
    assert Network.impossible()
    with Reaper(tmp_path) as reaper, pytest.raises(LabError, match="no private network"):
        Network(reaper)


@pytest.mark.live
def test_bridge_is_there_until_the_end(live_network, tmp_path):
    with Reaper(tmp_path) as reaper, Network(reaper) as network:
        assert Path(f"/sys/class/net/{network.bridge}/bridge").is_dir()
        with socket.socket() as listener:
            listener.bind((network.address, 0))
        assert not network.subnet.overlaps(live_network.subnet)
        assert network.subnet in used_networks()
        assert IPv4Network(network.containers).subnet_of(network.subnet)
    assert not Path(f"/sys/class/net/{network.bridge}").exists()
    assert Path(f"/sys/class/net/{live_network.bridge}").exists()


@pytest.mark.live
def test_no_firewall_rule_and_no_sysctl_changes(tmp_path):
    def host() -> tuple[str, str]:
        forward = Path("/proc/sys/net/ipv4/ip_forward").read_text()
        return forward, run("iptables-save", check=False) if find_program("iptables-save") else ""

    before = host()
    with Reaper(tmp_path) as reaper, Network(reaper):
        assert host()[0] == before[0]
        assert rules(host()[1]) == rules(before[1])


def rules(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(("#", ":"))]


@pytest.mark.live
def test_addresses_are_unique_and_come_back(tmp_path):
    with Reaper(tmp_path) as reaper, Network(reaper) as network:
        taken = []
        with pytest.raises(LabError, match="no address is left"):
            while True:
                taken.append(network.allocate())
        assert len(set(taken)) == len(taken) == 119
        assert network.address not in taken
        assert not any(IPv4Network(network.containers).overlaps(IPv4Network(address)) for address in taken)
        network.release(taken[5])
        assert network.allocate() == taken[5]


@pytest.mark.live
def test_the_bridge_keeps_its_hardware_address_when_ports_come(tmp_path):
    """A lower address of a port must not become the bridge's: neighbours would lose it."""
    with Reaper(tmp_path) as reaper, Network(reaper) as network:
        own = Path(f"/sys/class/net/{network.bridge}/address")
        before = own.read_text()
        port = f"tarep{network.bridge[4:]}"
        reaper.link(port)
        run("ip", "link", "add", port, "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", f"{port}b")
        run("ip", "link", "set", port, "master", network.bridge, "up")
        assert own.read_text() == before
