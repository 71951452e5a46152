"""ssh://: the user's own ssh forwards the engine's socket, or its words say why it cannot."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.engine.endpoint import Endpoint
from harness.engine.ssh import forwarded
from harness.errors import EngineUnavailable
from harness.host.reaper import Reaper
from harness.host.undo import find_program


@pytest.mark.parametrize("url", ["unix:///run/docker.sock", "tcp://host:2375"])
def test_any_other_endpoint_stays_as_it_is(tmp_path: Path, url: str) -> None:
    with Reaper(tmp_path) as reaper:
        assert forwarded(Endpoint(url), reaper) == Endpoint(url)


@pytest.mark.parametrize("url", ["ssh://", "ssh:///run/docker.sock", "ssh://-oProxyCommand=true"])
def test_an_address_without_a_host_is_refused(tmp_path: Path, url: str) -> None:
    with Reaper(tmp_path) as reaper, pytest.raises(EngineUnavailable, match="no host is named"):
        forwarded(Endpoint(url), reaper)


@pytest.mark.skipif(find_program("ssh") is None, reason="ssh is not installed")
def test_the_words_of_ssh_say_why_it_gives_no_connection(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with Reaper(tmp_path) as reaper, pytest.raises(EngineUnavailable, match=r"ssh gives no connection: .*refused"):
        forwarded(Endpoint(f"ssh://somebody@127.0.0.1:{port}"), reaper)
