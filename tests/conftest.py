"""What all tests have in common: time-outs, one browser, and one private engine for the whole session."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace

import hypothesis
import pytest

from support.browser import Browser, browser
from support.servers import server_archive

# The machine may be shared and slow: an example that takes long is no failure. At every edit a quarter of the usual
# number of examples is tried, for a property that does not choose its own number.
hypothesis.settings.register_profile("whole", deadline=None)
hypothesis.settings.register_profile("edit", deadline=None, max_examples=25)


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("edit" if "not simulation" in config.option.markexpr else "whole")


# tests build their images; tests of kept images say so
os.environ["TARE_IMAGES"] = "anew"


# A shell ignores these signals in what it starts in the background, and every program that a test starts inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Seconds that a test may take on a slow and busy machine. They are not in pyproject.toml, because `tare bench`
# reads that file. The first live test of a session also fetches packages and makes bases.
TIMEOUT = 300
LIVE_TIMEOUT = 1200


@pytest.hookimpl(tryfirst=True)  # before -m chooses by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test gets a time-out; tests in a browser are not in the set for every edit."""
    for item in items:
        if not item.get_closest_marker("timeout"):
            live = item.get_closest_marker("live")
            item.add_marker(pytest.mark.timeout(LIVE_TIMEOUT if live else TIMEOUT))
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.simulation)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="session")
def live_settings():
    """Settings with the user's cache, so that bases and packages are fetched once."""
    from harness.settings import Settings

    return Settings.from_environ()


@pytest.fixture(scope="session")
def live_reaper(live_settings):
    from harness.host.reaper import Reaper

    with Reaper(live_settings.cache) as reaper:
        yield reaper


@pytest.fixture(scope="session")
def live_network(live_reaper):
    from harness.host.network import Network

    with Network(live_reaper) as network:
        yield network


@pytest.fixture(scope="session")
def live_endpoint(live_settings, live_reaper, live_network):
    """The endpoint of a private engine that all live tests share; TARE_ENGINE=private:28.5 and the like choose it."""
    from harness.engine.provision import provision
    from harness.lab.engine_packages import EnginePackages

    chosen = live_settings.engine_choice.kind == "private"
    provided = provision(
        live_settings if chosen else replace(live_settings, engine="private"),
        live_reaper,
        live_network,
        announce=lambda text: print(text, file=sys.stderr),
        unpacker=EnginePackages(live_settings.cache) if chosen else None,
        release="trixie",
    )
    yield provided.engine.info.endpoint
    provided.engine.close()


@pytest.fixture(scope="module")
def live_engine(live_endpoint):
    """A client of that engine, which must be left as it was found."""
    from harness.engine.docker import DockerEngine
    from support.engine_contract import leaving_nothing

    engine = DockerEngine(live_endpoint, origin="private")
    with leaving_nothing(engine):
        yield engine
    engine.close()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return server_archive(tmp_path_factory.mktemp("server"))
