"""Secrets get into a plan, and nothing else of it changes."""

from __future__ import annotations

import hashlib

from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given
from hypothesis import strategies as st

from harness.engine.buildkit_pb2 import Definition, Input, Mount, Op
from harness.engine.plan import RunStep, with_secrets

# field 11 of an Op (its constraints) and of metadata is not known here: it must come back as it was
UNKNOWN = bytes([11 << 3 | 2, 3]) + b"abc"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def run(command: str, *inputs: bytes, mounts: tuple[Mount, ...] = (), user: str = "") -> bytes:
    op = Op.FromString(UNKNOWN)
    op.inputs.extend(Input(digest=digest(data), index=1) for data in inputs)
    op.exec.meta.args.extend(command.split())
    op.exec.meta.env.extend(["A=b=c", "HOME=/h"])
    op.exec.meta.user = user
    op.exec.mounts.append(Mount(dest="/", output=0))
    op.exec.mounts.extend(mounts)
    return op.SerializeToString()


def definition(*ops: bytes) -> Definition:
    found = Definition(ops=ops)
    for data in ops:
        found.metadata[digest(data)].MergeFromString(UNKNOWN)
        found.source.locations[digest(data)].MergeFromString(UNKNOWN)
    return found


def unknown(message: Op) -> list[tuple[int, bytes]]:
    return [(entry.field_number, entry.data) for entry in UnknownFieldSet(message)]


def test_a_secret_is_mounted_and_all_that_stands_on_the_step_follows() -> None:
    base = Op.FromString(UNKNOWN).SerializeToString()
    one = run("pip install", base)
    two = run("echo", base, one)
    aside = run("true", base)
    end = Op(inputs=[Input(digest=digest(two)), Input(digest=digest(aside))]).SerializeToString()
    plan = definition(base, one, two, aside, end)
    changed = with_secrets(plan, lambda step: {"/etc/pip.conf": "tare-pip"} if "pip" in step.args else {})
    ops = [Op.FromString(data) for data in changed.ops]
    assert changed.ops[0] == base
    assert changed.ops[3] == aside
    (mount,) = ops[1].exec.mounts[1:]
    assert (mount.dest, mount.input, mount.mount_type, mount.secret.id) == ("/etc/pip.conf", -1, 1, "tare-pip")
    assert (mount.secret.mode, mount.secret.optional, mount.output) == (0o444, False, 0)
    assert [entry.digest for entry in ops[2].inputs] == [digest(base), digest(changed.ops[1])]
    assert [entry.digest for entry in ops[4].inputs] == [digest(changed.ops[2]), digest(aside)]
    assert set(changed.metadata) == set(changed.source.locations) == set(map(digest, changed.ops))
    assert all(unknown(op) == [(11, b"abc")] for op in ops[:4])
    assert all(unknown(found) == [(11, b"abc")] for found in changed.metadata.values())
    del ops[1].exec.mounts[1:]
    assert ops[1].SerializeToString() == one


def test_a_step_is_told_what_it_runs_as_and_what_is_mounted() -> None:
    seen: list[RunStep] = []
    data = run("npm ci", mounts=(Mount(dest="/root/.npm/"),), user="app")
    plan = definition(data)

    def look(step: RunStep) -> dict[str, str]:
        seen.append(step)
        return {}

    assert with_secrets(plan, look) is plan
    assert seen == [
        RunStep(
            args=("npm", "ci"),
            env={"A": "b=c", "HOME": "/h"},
            user="app",
            mounted=frozenset({"/", "/root/.npm"}),
        )
    ]


def test_the_text_of_a_script_is_found_in_the_plan_that_makes_it() -> None:
    made = Op()
    action = made.file.actions.add()
    action.make_file.path, action.make_file.data = "/EOF", b"#!/bin/sh\npip install x\n"
    script = made.SerializeToString()
    data = run("/dev/pipes/EOF", script, mounts=(Mount(input=0, dest="/dev/pipes/"),))
    seen: list[str] = []
    with_secrets(definition(script, data), lambda step: seen.append(step.script) or {})
    assert seen == ["#!/bin/sh\npip install x\n"]


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6), st.sets(st.sampled_from(["a", "b", "c"])))
def test_every_input_of_a_changed_plan_is_in_it(commands: list[str], wanted: set[str]) -> None:
    ops: list[bytes] = []
    for command in commands:
        ops.append(run(f"{command} {len(ops)}", *ops[-2:]))
    plan = definition(*ops)
    changed = with_secrets(plan, lambda step: {"/x": "x"} if step.args[0] in wanted else {})
    assert (changed is plan) == (not wanted & set(commands))
    known = set()
    for data in changed.ops:
        assert {entry.digest for entry in Op.FromString(data).inputs} <= known
        known.add(digest(data))
    assert set(changed.metadata) == known
