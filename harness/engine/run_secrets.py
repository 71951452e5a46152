"""Secrets mounted into the RUN steps of a Dockerfile's text, for a builder that hands out no plan of a build.

Buildah, which podman builds with, reads the Dockerfile itself. So the mounts of plan.py are written into the text, as
`RUN --mount=type=secret,…` that a Dockerfile may contain anyway. The user and the variables of a step are read from the
Dockerfile and from its base image, as far as they are written out there.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from harness.engine.plan import RunStep, SecretsFor
from harness.image.dockerfile import SCRATCH, Instruction, instructions

_RUN = re.compile(r"\s*RUN\b", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::?-(?P<default>[^}]*))?\}|(?P<plain>\w+))")
_MOUNT = " --mount=type=secret,id={id},target={path},mode=0444"

ConfigOf = Callable[[str], Mapping[str, object]]  # an image's config by its name; empty for an unknown image


def with_secrets(text: str, secrets_for: SecretsFor, *, arguments: Mapping[str, str], config_of: ConfigOf) -> str:
    """The Dockerfile with secrets mounted into its steps. `arguments` are the build's; `config_of` is asked for the
    images that FROM names.
    """
    lines = text.split("\n")
    for line, step in run_steps(text, arguments=arguments, config_of=config_of):
        mounts = "".join(_MOUNT.format(id=name, path=path) for path, name in sorted(secrets_for(step).items()))
        if found := _RUN.match(lines[line - 1]):
            lines[line - 1] = lines[line - 1][: found.end()] + mounts + lines[line - 1][found.end() :]
    return "\n".join(lines)


def run_steps(text: str, *, arguments: Mapping[str, str], config_of: ConfigOf) -> Iterator[tuple[int, RunStep]]:
    """Every RUN with the number of its first line."""
    words = dict(arguments)  # the variables that FROM lines see
    stages: dict[str, RunStep] = {}
    state, stage, number = RunStep(args=(), env={}), "", -1
    for instruction in instructions(text):
        match instruction.keyword:
            case "ARG" if number < 0:
                for name, default in _pairs(instruction.arguments):
                    words.setdefault(name, default)
            case "FROM":
                base, stage = _from(instruction, words)
                number += 1
                known = stages.get(base.lower())
                state = known or _of_image({} if base == SCRATCH else config_of(base))
            case "ENV" | "ARG":
                told = {name: _expanded(value, state.env) for name, value in _pairs(instruction.arguments)}
                if instruction.keyword == "ARG":
                    told = {name: arguments.get(name, value) for name, value in told.items()}
                    told = {name: value for name, value in told.items() if name not in state.env}
                state = replace(state, env={**state.env, **told})
            case "USER":
                state = replace(state, user=_expanded(instruction.arguments.strip(), state.env))
            case "RUN":
                yield instruction.line, _step(instruction, state)
        if number >= 0:
            stages |= {name: state for name in (stage, str(number)) if name}


def _from(instruction: Instruction, words: Mapping[str, str]) -> tuple[str, str]:
    """The image or stage that FROM names, and the name of the new stage."""
    named = [word for word in instruction.arguments.split() if not word.startswith("--")]
    base = _expanded(named[0].strip("\"'"), words) if named else ""
    return base, named[2].lower() if len(named) == 3 else ""


def _of_image(config: Mapping[str, object]) -> RunStep:
    env = config.get("Env")
    pairs = (str(pair).partition("=") for pair in env) if isinstance(env, list | tuple) else ()
    return RunStep(args=(), env={name: value for name, _, value in pairs}, user=str(config.get("User") or ""))


def _step(instruction: Instruction, state: RunStep) -> RunStep:
    command = instruction.arguments
    mounted = set()
    for flag in instruction.flags:
        command = command.lstrip()[len(flag) :]
        options = dict(part.partition("=")[::2] for part in flag.removeprefix("--mount=").split(","))
        target = next((options[key] for key in ("target", "dst", "destination") if key in options), "")
        mounted.add(_expanded(target, state.env).rstrip("/") or "/") if target else None
    command = "\n".join((command.strip(), *instruction.heredocs))
    args: tuple[str, ...] = ("/bin/sh", "-c", command)
    if command.startswith("["):
        with contextlib.suppress(ValueError):  # a shell command that begins with [
            args = tuple(str(word) for word in json.loads(command))
    return replace(state, args=args, mounted=frozenset(mounted))


def _pairs(text: str) -> list[tuple[str, str]]:
    """NAME=VALUE …, NAME, or the old form NAME VALUE of ENV."""
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    if words and "=" not in words[0]:
        return [(words[0], " ".join(words[1:]))]
    return [(name, value) for name, _, value in (word.partition("=") for word in words)]


def _expanded(text: str, env: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return env.get(found["braced"] or found["plain"]) or found["default"] or ""

    return _VARIABLE.sub(value, text)
