"""Fixtures of the live tests: one private engine for the whole session, the same way a run gets its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

# the machine may be shared and slow: an example that takes long is no failure
hypothesis.settings.register_profile("tare", deadline=None)
hypothesis.settings.load_profile("tare")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def live_settings(tmp_path_factory):
    """Settings with the user's cache, so that bases and packages are fetched once."""
    from harness.settings import Settings

    return Settings.from_environ()


@pytest.fixture(scope="session")
def live_keeper(live_settings):
    from harness.lab.keeper import Keeper

    with Keeper(live_settings.cache) as keeper:
        yield keeper


@pytest.fixture(scope="session")
def live_network(live_keeper):
    from harness.lab.network import Network

    with Network(live_keeper) as network:
        yield network


@pytest.fixture(scope="session")
def live_endpoint(live_settings, live_keeper, live_network):
    """The endpoint of a private engine, also as TARE_TEST_ENDPOINT."""
    from dataclasses import replace

    from harness.engine.provision import provision

    engine = provision(
        replace(live_settings, engine="private"), live_keeper, live_network, announce=lambda text: print(text, file=sys.stderr)
    )
    os.environ["TARE_TEST_ENDPOINT"] = engine.info.endpoint
    yield engine.info.endpoint
    engine.close()
    del os.environ["TARE_TEST_ENDPOINT"]
