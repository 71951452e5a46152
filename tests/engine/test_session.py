"""A build session serves what the engine asks for, in pieces as small as the engine likes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from h2.exceptions import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine import grpc
from harness.engine.buildkit_pb2 import (
    CredentialsRequest,
    CredentialsResponse,
    GetSecretRequest,
    GetSecretResponse,
    HealthCheckResponse,
    Packet,
)
from harness.engine.session import CREDENTIALS, FILES, HEALTH, SECRET, BuildSession
from harness.image.context_tree import FolderTree, MemoryTree
from support.grpc_peer import Caller


def caller(session: BuildSession, **options: int) -> Caller:
    return Caller(session.receive, session.output, **options)


def test_secrets_credentials_and_health() -> None:
    def credentials(host: str) -> tuple[str, str]:
        return ("user", "secret") if host == "registry.test" else ("", "")

    session = BuildSession(secrets={"token": b"abc", "empty": b""}, credentials=credentials, key="k")
    engine = caller(session)
    assert engine.ask(HEALTH, GetSecretRequest(), HealthCheckResponse) == HealthCheckResponse(status=1)
    for secret, value in (("token", b"abc"), ("empty", b"")):
        assert engine.ask(SECRET, GetSecretRequest(id=secret), GetSecretResponse) == GetSecretResponse(data=value)
    known = engine.ask(CREDENTIALS, CredentialsRequest(host="registry.test"), CredentialsResponse)
    assert known == CredentialsResponse(username="user", secret="secret")
    unknown = engine.ask(CREDENTIALS, CredentialsRequest(host="other.test"), CredentialsResponse)
    assert unknown == CredentialsResponse()
    assert dict(session.metadata)["x-docker-expose-session-uuid"] == session.id
    assert dict(session.metadata)["x-docker-expose-session-sharedkey"] == "k"
    offered = [value for name, value in session.metadata if name == "x-docker-expose-session-grpc-method"]
    assert offered == [FILES, SECRET, CREDENTIALS, HEALTH]


def test_what_is_not_known_is_a_grpc_error() -> None:
    engine = caller(BuildSession())
    status, message, _ = engine.call(SECRET, GetSecretRequest(id="tökén\n").SerializeToString())
    assert (status, message) == (grpc.NOT_FOUND, "no secret 'tökén\\n'")
    assert engine.call("/moby.filesync.v1.FileSend/DiffCopy", b"")[0] == grpc.UNIMPLEMENTED
    assert engine.call(SECRET, b"\xff\xff")[0] == grpc.INVALID
    assert engine.call(HEALTH, b"")[0] == grpc.OK  # and the session goes on


def test_what_is_no_http_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        BuildSession().receive(b"nonsense" * 9)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(0, 3_000_000), piece=st.integers(500, 100_000))
def test_any_secret_passes(size: int, piece: int) -> None:
    secret = bytes(range(256)) * (size // 256) + bytes(size % 256)
    engine = caller(BuildSession(secrets={"a": secret}), piece=piece)
    for _ in range(2):
        assert engine.ask(SECRET, GetSecretRequest(id="a"), GetSecretResponse) == GetSecretResponse(data=secret)


def transfer(engine: Caller, **options: list[str]) -> tuple[dict[str, Packet], dict[str, bytes]]:
    """What is announced, and the contents of all regular files, as BuildKit's receiver asks for them."""
    metadata = [(name.replace("_", "-"), value) for name, values in options.items() for value in values]
    stream = engine.wire.call(FILES, metadata=metadata)
    announced: list[Packet] = []
    contents: dict[int, bytes] = {}
    open_files = set()
    failure, status = "", None
    for _ in range(3):  # the files, the end, and nothing more
        for event in engine.events():
            if isinstance(event, grpc.Closed):
                status = event.status
            elif isinstance(event, grpc.Message):
                packet = Packet.FromString(event.data)
                if packet.type == Packet.STAT and packet.stat.path:
                    if packet.stat.mode >> 12 == 0:  # regular, whatever its permissions
                        number = len(announced)
                        open_files.add(number)
                        contents[number] = b""
                        engine.wire.send(stream, [Packet(type=Packet.REQUEST, id=number).SerializeToString()])
                    announced.append(packet)
                elif packet.type == Packet.DATA and packet.data:
                    contents[packet.id] += packet.data
                elif packet.type == Packet.DATA:
                    open_files.remove(packet.id)
                elif packet.type == Packet.ERROR:
                    failure = packet.data.decode()
        if failure:
            raise OSError(failure)
        if status is not None:
            break
        assert not open_files
        engine.wire.send(stream, [Packet(type=Packet.END).SerializeToString()])
    if status != grpc.OK:
        raise OSError(status)
    names = [packet.stat.path.decode() for packet in announced]
    return dict(zip(names, announced, strict=True)), {names[number]: data for number, data in contents.items()}


@settings(max_examples=20, deadline=None)
@given(
    files=st.dictionaries(st.sampled_from(["a", "b/c", "b/d/e", "f"]), st.binary(max_size=70_000), max_size=4),
    piece=st.integers(400, 70_000),
)
def test_a_context_arrives_whole(files: dict[str, bytes], piece: int) -> None:
    engine = caller(BuildSession(trees={"context": MemoryTree(files)}), piece=piece)
    for _ in range(2):
        _, contents = transfer(engine, dir_name=["context"])
        assert contents == files


def test_files_of_any_size_arrive(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "big").write_bytes(data)
    for tree in (FolderTree(tmp_path), MemoryTree({"big": data})):
        engine = caller(BuildSession(trees={"context": tree}))
        assert transfer(engine, dir_name=["context"])[1] == {"big": data}
    assert max(map(len, MemoryTree({"big": data}).entry("big").read())) < 4 << 20, "the most a gRPC message may have"


def test_kinds_and_modes_are_gos(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o755)
    (tmp_path / "file").write_text("x")
    (tmp_path / "file").chmod(0o4640)
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe", 0o600)
    announced, _ = transfer(caller(BuildSession(trees={"context": FolderTree(tmp_path)})), dir_name=["context"])
    modes = {name: packet.stat.mode for name, packet in announced.items()}
    # os.ModeDir, os.ModeSetuid, os.ModeSymlink, os.ModeNamedPipe of Go's io/fs
    assert modes == {
        "file": 1 << 23 | 0o640,
        "folder": 1 << 31 | 0o755,
        "link": 1 << 27 | 0o777,
        "pipe": 1 << 25 | 0o600,
    }
    assert announced["link"].stat.link == b"file"
    assert {(packet.stat.uid, packet.stat.gid) for packet in announced.values()} == {(0, 0)}


def test_what_the_engine_leaves_out_is_not_sent() -> None:
    def engine() -> Caller:
        return caller(BuildSession(trees={"context": MemoryTree({"a": b"", "b/c": b"", "ü": b""})}))

    encoded = {"exclude_patterns": ["a", "%C3%BC"], "exclude_patterns_encoded": ["1"]}
    assert list(transfer(engine(), dir_name=["context"], **encoded)[0]) == ["b", "b/c"]
    assert list(transfer(engine(), dir_name=["context"], followpaths=["a"])[0]) == ["a"]


def test_a_tree_that_is_not_offered_is_an_error() -> None:
    with pytest.raises(OSError, match=str(grpc.NOT_FOUND)):
        transfer(caller(BuildSession()), dir_name=["context"])


def test_a_file_that_cannot_be_read_fails_the_transfer_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    session = BuildSession(trees={"context": Vanishing(tmp_path)})
    with pytest.raises(OSError, match=r"file: No such file"):
        transfer(caller(session), dir_name=["context"])
    assert "file: No such file" in session.unreadable


class Vanishing(FolderTree):
    """A folder whose files are gone when they are read."""

    def entry(self, path: str):  # type: ignore[no-untyped-def]
        found = super().entry(path)
        (self.root / path).unlink(missing_ok=True)
        return found
