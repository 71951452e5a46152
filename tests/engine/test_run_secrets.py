"""Secrets in the text of a Dockerfile reach the steps that a depot has settings for, and no other."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.engine.plan import RunStep
from harness.engine.run_secrets import run_steps, with_secrets

DOCKERFILE = """\
ARG BASE=debian
FROM ${BASE} AS build
ENV HOME=/home/app GOENV="$HOME/env"
ARG EXTRA=1
RUN --mount=type=cache,target=/root/.cache/ apt-get update \\
 && make
USER app
RUN ["/bin/x", "-c", "y"]

FROM build
run go build

FROM scratch
COPY --from=build /a /a
"""


def config_of(name: str) -> Mapping[str, object]:
    return {"Env": ["PATH=/bin", "HOME=/root"], "User": "base"} if name == "made:1" else {}


def steps() -> dict[int, RunStep]:
    return dict(run_steps(DOCKERFILE, arguments={"BASE": "made:1", "EXTRA": "2"}, config_of=config_of))


def test_a_step_has_the_user_and_the_variables_of_its_stage_and_base() -> None:
    found = steps()
    assert list(found) == [5, 8, 11]
    first, second, third = found.values()
    assert first.args == ("/bin/sh", "-c", "apt-get update  && make")
    assert first.env == {"PATH": "/bin", "HOME": "/home/app", "GOENV": "/root/env", "EXTRA": "2"}
    assert first.user == "base"
    assert first.mounted == {"/root/.cache"}
    assert (second.args, second.user) == (("/bin/x", "-c", "y"), "app")
    assert (third.args, third.user, third.env["HOME"]) == (("/bin/sh", "-c", "go build"), "app", "/home/app")


def test_only_the_first_line_of_a_step_is_changed() -> None:
    def secrets_for(step: RunStep) -> Mapping[str, str]:
        return {"/etc/x": "tare-x"} if "apt-get" in step.args[-1] else {}

    changed = with_secrets(DOCKERFILE, secrets_for, arguments={}, config_of=config_of)
    mount = " --mount=type=secret,id=tare-x,target=/etc/x,mode=0444"
    assert changed == DOCKERFILE.replace("RUN --mount=type=cache", f"RUN{mount} --mount=type=cache")


@pytest.mark.parametrize("text", ["", "RUN", "FROM", "FROM x\nENV\nUSER\nRUN", 'FROM x\nENV A="\nRUN [\n', "\0"])
def test_a_dockerfile_that_is_none_is_left_to_the_builder(text: str) -> None:
    assert with_secrets(text, lambda _: {}, arguments={}, config_of=config_of) == text
