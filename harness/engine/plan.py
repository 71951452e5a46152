"""The plan of a build, as BuildKit's Dockerfile frontend makes it (LLB), and secrets mounted into its RUN steps.

A plan is a graph: each operation is a message that names its inputs by their digests. So a change of one operation
changes the digests of all operations above it. Parts that this module does not know are written back as they were read.
https://github.com/moby/buildkit/blob/master/solver/pb/ops.proto
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.engine.buildkit_pb2 import Definition, Mount, Op, SecretOpt

_SECRET = 1  # pb.MountType
_EMPTY = -1  # pb.Empty: a mount without an input
_MODE = 0o444  # the mode for a USER other than root


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """A RUN as it will be executed. `user` is the text of USER, "" for root; `env` includes the variables of the base
    image.

    `mounted` are the paths that have a mount already. `script` is the text of a here-document that the step
    executes as a program; "" for all other steps.
    """

    args: tuple[str, ...]
    env: Mapping[str, str]
    user: str = ""
    mounted: frozenset[str] = frozenset()
    script: str = ""


SecretsFor = Callable[[RunStep], Mapping[str, str]]  # path → id of the secret that is mounted there


def with_secrets(definition: Definition, secrets_for: SecretsFor) -> Definition:
    """The plan with secrets mounted into its steps; `definition` itself if no step wants one."""
    renamed: dict[str, str] = {}
    ops: dict[str, Op] = {}
    changed = Definition()
    for data in definition.ops:
        old = _digest(data)
        op = ops[old] = Op.FromString(data)
        touched = False
        for entry in op.inputs:
            if entry.digest in renamed:
                entry.digest, touched = renamed[entry.digest], True
        if op.HasField("exec"):
            wanted = secrets_for(_step(op, ops, renamed))
            touched |= bool(wanted)
            op.exec.mounts.extend(
                # output stays 0, as it does in BuildKit's own client (client/llb/exec.go)
                Mount(input=_EMPTY, dest=path, mount_type=_SECRET, secret=SecretOpt(id=name, mode=_MODE))
                for path, name in wanted.items()
            )
        new = op.SerializeToString(deterministic=True) if touched else data
        if touched:
            renamed[old] = _digest(new)
        changed.ops.append(new)
    if not renamed:
        return definition
    for name, metadata in definition.metadata.items():
        changed.metadata[renamed.get(name, name)].CopyFrom(metadata)
    changed.source.CopyFrom(definition.source)
    for name, now in renamed.items():
        if name in changed.source.locations:
            changed.source.locations[now].CopyFrom(definition.source.locations[name])
            del changed.source.locations[name]
    return changed


def _step(op: Op, ops: Mapping[str, Op], renamed: Mapping[str, str]) -> RunStep:
    meta = op.exec.meta
    return RunStep(
        args=tuple(meta.args),
        env=dict(pair.partition("=")[::2] for pair in meta.env),
        user=meta.user,
        mounted=frozenset(mount.dest.rstrip("/") or "/" for mount in op.exec.mounts),
        script=_script(op, ops, {new: old for old, new in renamed.items()}),
    )


def _script(op: Op, ops: Mapping[str, Op], original: Mapping[str, str]) -> str:
    """The file that a step executes, if the plan itself makes it: a here-document with a "#!" line."""
    program = op.exec.meta.args[0] if op.exec.meta.args else ""
    for mount in op.exec.mounts:
        if mount.input < 0 or not program.startswith(f"{mount.dest.rstrip('/')}/"):
            continue
        digest = op.inputs[mount.input].digest
        source = ops.get(original.get(digest, digest))
        for action in source.file.actions if source else ():
            if action.make_file.path.rpartition("/")[2] == program.rpartition("/")[2]:
                return action.make_file.data.decode(errors="replace")
    return ""


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
