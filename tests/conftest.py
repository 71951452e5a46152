"""Fixtures of the live tests: one private engine for the whole session, the same way a run gets its own."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import hypothesis
import pytest

from support.servers import server_archive

# the machine may be shared and slow: an example that takes long is no failure
hypothesis.settings.register_profile("tare", deadline=None)
hypothesis.settings.load_profile("tare")

# tests build what they are about; those of kept images say so
os.environ["TARE_IMAGES"] = "anew"


@pytest.fixture(scope="session")
def live_settings():
    """Settings with the user's cache, so that bases and packages are fetched once."""
    from harness.settings import Settings

    return Settings.from_environ()


@pytest.fixture(scope="session")
def live_keeper(live_settings):
    from harness.host.keeper import Keeper

    with Keeper(live_settings.cache) as keeper:
        yield keeper


@pytest.fixture(scope="session")
def live_network(live_keeper):
    from harness.host.network import Network

    with Network(live_keeper) as network:
        yield network


@pytest.fixture(scope="session")
def live_endpoint(live_settings, live_keeper, live_network):
    """The endpoint of a private engine that all live tests share; TARE_ENGINE=private:28.5 and the like choose it."""
    from harness.engine.provision import provision
    from harness.lab.engine_packages import EnginePackages

    chosen = live_settings.engine_choice.kind == "private"
    provided = provision(
        live_settings if chosen else replace(live_settings, engine="private"),
        live_keeper,
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
