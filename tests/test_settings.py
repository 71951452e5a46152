"""What the environment variables may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.settings import EngineChoice, Settings, engine_choices


@pytest.mark.parametrize("text", engine_choices())
def test_every_choice_is_read_and_written(text):
    assert str(EngineChoice.parse(text)) == text
    assert Settings.from_environ({"TARE_ENGINE": text, "HOME": "/home"}).engine_choice == EngineChoice.parse(text)


def test_the_parts_of_a_choice():
    assert EngineChoice.parse("private:28.5+containerd") == EngineChoice("private", "28.5", "containerd")
    assert EngineChoice.parse("private") == EngineChoice("private", "", "classic")
    assert Settings.from_environ({"HOME": "/home"}).engine_choice.kind == "auto"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("docker", r"'docker' is not an engine.*auto, system, private, off, private:20\.10"),
        ("system:26.1", r"'system:26\.1' is not an engine"),
        ("private:", r"'private:' names no version.*Use private:20\.10, private:26\.1"),
        ("private:19.03", r"names no version.*private:28\.5\+containerd"),
        ("private:26.1+overlay2", r"'overlay2' is not an image store.*private:26\.1\+containerd"),
        ("private:26.1+", r"'' is not an image store"),
        ("private:20.10+containerd", r"20\.10 has no containerd image store.*private:26\.1\+containerd"),
        ("private+containerd", r"is not an engine"),
    ],
)
def test_a_choice_that_is_none_says_what_is(text, words):
    with pytest.raises(UsageError, match=rf"TARE_ENGINE: .*{words}"):
        Settings.from_environ({"TARE_ENGINE": text, "HOME": "/home"})


@given(st.text())
def test_no_text_is_a_traceback(text):
    try:
        choice = EngineChoice.parse(text)
    except UsageError:
        return
    assert str(choice) == text


def test_other_variables_name_their_choices():
    with pytest.raises(UsageError, match=r"TARE_LANE: 'x' is not a valid choice.*upstream"):
        Settings.from_environ({"TARE_LANE": "x", "HOME": "/home"})
