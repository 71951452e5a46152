"""The test bed while the tool that holds it open is still being made."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from harness.errors import LabError
from harness.lab.test_bed import TOOL_HOLDER, TestBed, in_background


class Engine:
    """An engine that has the tool's image as soon as somebody has made it."""

    info = type("Info", (), {"local": True})

    def __init__(self) -> None:
        self.made = threading.Event()

    def create(self, spec: object) -> str:
        assert self.made.is_set(), "the image was not there"
        return "holder"

    def start(self, container: str) -> None:
        pass

    def state(self, container: str) -> object:
        return type("State", (), {"running": True, "address": "10.0.0.2"})

    def remove(self, container: str) -> None:
        pass


@contextmanager
def bed(engine: Engine, make):  # type: ignore[no-untyped-def]
    with in_background(make) as holder:
        assert holder == TOOL_HOLDER
        yield TestBed(engine, [8080], holder)  # type: ignore[arg-type]


def test_a_test_bed_opens_once_the_tool_is_made() -> None:
    engine, go = Engine(), threading.Event()

    def make() -> None:
        go.wait(30)
        engine.made.set()

    with bed(engine, make) as first:
        beds = [first, first.another()]
        opened: list[str] = []
        threads = [threading.Thread(target=lambda each=each: opened.append(each.network)) for each in beds]
        for thread in threads:
            thread.start()
        assert not opened, "nothing opens before the tool is made"
        go.set()
        for thread in threads:
            thread.join(30)
        assert opened == ["container:holder"] * 2


def test_what_keeps_the_tool_from_being_made_is_raised_where_it_is_needed() -> None:
    def make() -> None:
        raise LabError("no compiler")

    with bed(Engine(), make) as never, pytest.raises(LabError, match="no compiler"):
        _ = never.network


def test_the_making_has_ended_before_the_engine_goes() -> None:
    engine = Engine()
    with bed(engine, lambda: threading.Event().wait(0.2) or engine.made.set()):
        pass
    assert engine.made.is_set()
