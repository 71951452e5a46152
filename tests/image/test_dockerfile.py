from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.image.dockerfile import base_arguments, instructions, last_stage_base, stages

FLAG = "--mount=type=secret,id=x,target=/x"


def read(text: str) -> list[tuple[str, str, int, int]]:
    return [(found.keyword, found.arguments, found.line, found.last_line) for found in instructions(text)]


def test_continuations_with_comments_and_empty_lines_inside():
    text = "# a comment\nFROM a\n\nrun one \\\n  # not this\n\n  two \\  \n  three\nCMD x\n"
    assert read(text) == [("FROM", "a", 2, 2), ("RUN", "one   two   three", 4, 8), ("CMD", "x", 9, 9)]


def test_a_keyword_alone_on_its_line():
    assert read("RUN \\\n echo\nRUN\\\n echo") == [("RUN", "echo", 1, 2), ("RUN", "echo", 3, 4)]
    assert read("RUN") == [("RUN", "", 1, 1)]


def test_an_escaped_escape_continues_nothing():
    assert read("RUN a\\\\\nCMD b") == [("RUN", "a\\\\", 1, 1), ("CMD", "b", 2, 2)]


def test_escape_directive_counts_only_ahead_of_everything():
    assert read("# syntax=x\n# escape=`\nRUN a `\n b\\\nCMD c") == [("RUN", "a  b\\", 3, 4), ("CMD", "c", 5, 5)]
    assert read("# said\n# escape=`\nRUN a \\\n b") == [("RUN", "a  b", 3, 4)]
    assert read("\n# escape=`\nRUN a \\\n b") == [("RUN", "a  b", 3, 4)]


def test_line_ends_of_windows():
    assert read("FROM a\r\nRUN b \\\r\n  c\r\n") == [("FROM", "a", 1, 1), ("RUN", "b   c", 2, 3)]


def test_bodies_of_here_documents_are_no_instructions():
    text = "RUN <<A cat <<-'B'\nFROM nowhere\nA\n\tRUN no\n\tB\nCOPY <<\"C\" /c\nFROM no\nC\nCMD x\n"
    found = list(instructions(text))
    assert [(item.keyword, item.heredocs) for item in found] == [
        ("RUN", ("FROM nowhere", "RUN no")),
        ("COPY", ("FROM no",)),
        ("CMD", ()),
    ]


def test_what_only_looks_like_a_here_document():
    assert [item.keyword for item in instructions("RUN cat <<<word\nCMD a")] == ["RUN", "CMD"]
    assert [item.keyword for item in instructions("RUN echo $((1<<FOO))\nFOO b\nCMD a")] == ["RUN", "FOO", "CMD"]
    assert [item.keyword for item in instructions("RUN cat <<NEVER\nCMD a")] == ["RUN", "CMD"]
    assert [item.keyword for item in instructions("LABEL a <<X\nX b\nCMD a")] == ["LABEL", "X", "CMD"]


def test_flags():
    run = next(instructions('RUN --mount=type=cache,target="/a b" \\\n  --network=none \\\n pip install --user x'))
    assert run.flags == ('--mount=type=cache,target="/a b"', "--network=none")


def test_stages_and_their_bases():
    text = "ARG V=1\nFROM --platform=linux/amd64 ${BASE_A} as Build\nRUN x\nFROM scratch\nCOPY --from=build /a /a\n"
    first, second = stages(text)
    assert (first.name, first.base, first.line) == ("build", "${BASE_A}", 2)
    assert [item.keyword for item in first.instructions] == ["RUN"]
    assert (second.name, second.base) == ("", "scratch")


def test_base_arguments_are_those_that_from_sees():
    text = 'ARG BASE_A=debian:x OTHER=1\nARG BASE_B="b:1"\nARG BASE_C\nFROM ${BASE_A}\nARG BASE_D=d\n'
    assert base_arguments(text) == {"BASE_A": "debian:x", "BASE_B": "b:1", "BASE_C": ""}


def test_last_stage_base_follows_stages():
    assert last_stage_base("FROM ${BASE_A} AS one\nFROM one AS two\nFROM $BASE_B AS other\nFROM Two\n") == "BASE_A"
    assert last_stage_base("FROM ${BASE_A:-debian}") == "BASE_A"
    assert last_stage_base("FROM a\nFROM scratch") == "scratch"
    assert last_stage_base("FROM debian:trixie") == "debian:trixie"
    assert last_stage_base("FROM x AS x") == "x"  # the image, not itself
    assert last_stage_base("FROM a AS x\nFROM x AS x\nFROM x") == "a"
    assert last_stage_base("RUN x") == ""


WORDS = ("FROM a", "RUN b", "run", "RUN", "  RUN x", "RUNX", "CMD", "E", "--mount=x", "# c", "# escape=`", " <<E", "é")
BREAKS = (" \\", "\\\\", "\\", "`", "\n", "\r\n", "\t", " ", "\x0b", "\u2028")
PIECES = st.lists(st.sampled_from(WORDS + BREAKS)).map("".join)


@given(PIECES | st.text())
def test_reading_never_fails_and_lines_ascend(text):
    found = list(instructions(text))
    lines = text.split("\n")
    for item in found:
        assert lines[item.line - 1].lstrip().upper().startswith(item.keyword)
    assert all(a.last_line < b.line for a, b in pairwise(found))
    assert stages(text) is not None and isinstance(last_stage_base(text), str)
