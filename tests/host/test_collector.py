"""Holding back the collector of cycles."""

from __future__ import annotations

import gc
import threading

import pytest

from harness.host.collector import held_back


@pytest.fixture(autouse=True)
def enabled():
    gc.enable()
    yield
    gc.enable()


def test_it_runs_again_when_the_last_holder_has_left_whatever_happened():
    with pytest.raises(KeyError), held_back():
        assert not gc.isenabled()
        with held_back():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_who_had_switched_it_off_finds_it_off():
    gc.disable()
    with held_back():
        pass
    assert not gc.isenabled()


def test_threads_hold_it_together():
    entered, leave = threading.Barrier(3), threading.Event()

    def hold():
        with held_back():
            entered.wait()
            leave.wait()

    threads = [threading.Thread(target=hold) for _ in range(2)]
    for thread in threads:
        thread.start()
    with held_back():
        entered.wait()
    assert not gc.isenabled()
    leave.set()
    for thread in threads:
        thread.join()
    assert gc.isenabled()
