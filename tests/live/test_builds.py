"""What Tare builds is what `docker build` builds: Dockerfiles of many shapes, built both ways on one engine.

Each shape is built by docker-buildx and by Tare, without a cache and without each other's copy of the context, and
the images are compared layer by layer and file by file. Tare builds each a second time with a secret in every RUN
step, as it does for the depot, which must change nothing but the time of the folder that the secret is mounted in.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import shutil
import tarfile
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.engine.docker import DockerEngine
from harness.errors import BaseUnavailable, BuildFailed
from harness.image.context import BuildContext
from harness.settings import LABEL
from support.docker_build import Buildx, unpacked

pytestmark = pytest.mark.live

BASE, ONBUILD = "tare.local/shape-base:1", "tare.local/shape-onbuild:1"
OLD = 1_600_000_000  # Unix time of every file of a context
HEREDOCS = (23, 0)  # the first Docker whose built-in frontend knows here-documents, --link and --network

Fill = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Shape:
    """A Dockerfile with the folder it is built from. `{base}` and `{url}` are filled in."""

    dockerfile: str
    files: Mapping[str, str] = field(default_factory=dict)
    fill: Fill = lambda folder: None
    name: str = "Dockerfile"  # below the folder, or beside it with ../
    ignore: str = ""  # NAME.dockerignore
    arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    modern: bool = False  # needs HEREDOCS


TREE = {"a.txt": "a", "b.txt": "b", "sub/c.txt": "c", "sub/deep/d.py": "d", "main.py": "m"}
FROM = "FROM {base}\n"


def links(folder: Path) -> None:
    (folder / "to-folder").symlink_to("sub")
    (folder / "to-file").symlink_to("sub/c.txt")
    (folder / "absolute").symlink_to("/sub/deep")
    (folder / "outside").symlink_to("/etc/hostname")
    (folder / "nowhere").symlink_to("missing")


def modes(folder: Path) -> None:
    for name, mode in {"a.txt": 0o777, "b.txt": 0o600, "sub/c.txt": 0o4755, "sub": 0o1777, "sub/deep": 0o700}.items():
        (folder / name).chmod(mode)


def archives(folder: Path) -> None:
    for suffix, mode in {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}.items():
        with tarfile.open(folder / f"x.{suffix}", mode) as tar:
            member = tarfile.TarInfo("in/side")
            member.size, member.mode, member.mtime = 2, 0o640, OLD
            tar.addfile(member, io.BytesIO(b"in"))
    with zipfile.ZipFile(folder / "x.zip", "w") as file:
        file.writestr("inside", "x")


SHAPES = {
    "copy everything": Shape(FROM + "COPY . /src\n", TREE),
    "onto scratch": Shape("FROM scratch\nCOPY . /\n", TREE),
    "a Dockerfile of the folder's own": Shape(FROM + "COPY . /src\n", {**TREE, "Dockerfile": "FROM x\n"}, name="../f"),
    "in a folder of the context": Shape(FROM + "COPY . /src\n", TREE, name="docker/slim.Dockerfile"),
    "everything but": Shape(FROM + "COPY . /src\n", {**TREE, ".dockerignore": "*\n!**/*.py\n!a.txt\n"}),
    "an ignore file with a byte order mark": Shape(
        FROM + "COPY . /src\n", {**TREE, ".dockerignore": "\ufeffa.txt\n# words\n\n  sub/c.txt  \n"}
    ),
    "the ignore file ignored": Shape(FROM + "COPY . /src\n", {**TREE, ".dockerignore": ".dockerignore\nDockerfile\n"}),
    "an ignore file for one Dockerfile": Shape(
        FROM + "COPY . /src\n", {**TREE, ".dockerignore": "a.txt\n"}, name="../slim.Dockerfile", ignore="sub\n"
    ),
    "ignored at any depth": Shape(
        FROM + "COPY . /src\n",
        {"node_modules/a": "", "x/node_modules/b": "", "x/c": "", ".dockerignore": "**/node_modules"},
    ),
    "an exception in an ignored folder": Shape(
        FROM + "COPY . /src\n", {**TREE, ".dockerignore": "sub\n!sub/deep/d.py\n"}
    ),
    "ignored with leading slashes and classes": Shape(
        FROM + "COPY . /src\n", {**TREE, ".dockerignore": "/sub/*/d.py\n[a-b].txt\n!b.txt\n./main.??\n"}
    ),
    "links": Shape(FROM + "COPY . /src\n", TREE, links),
    "a link copied by name": Shape(FROM + "COPY to-file to-folder /x/\n", TREE, links),
    "a path through a link": Shape(FROM + "COPY to-folder/c.txt absolute/d.py /x/\n", TREE, links),
    "empty folders": Shape(FROM + "COPY . /src\n", TREE, lambda folder: (folder / "sub/empty/er").mkdir(parents=True)),
    "modes": Shape(FROM + "COPY . /src\n", TREE, modes),
    "odd names": Shape(
        FROM + "COPY . /src\n", {"a b": "1", "ünï/☺": "2", "-x": "3", "[y]": "4", "z\\w": "5", "$a": "6"}
    ),
    "hard links": Shape(FROM + "COPY . /src\n", TREE, lambda folder: (folder / "z").hardlink_to(folder / "a.txt")),
    "a large file": Shape(
        FROM + "COPY big /\n", {}, lambda folder: (folder / "big").write_bytes(b"0123456789" * 700_000)
    ),
    "JSON form": Shape(FROM + 'COPY ["a b", "c", "/x y/"]\n', {"a b": "1", "c": "2"}),
    "wildcards": Shape(FROM + "COPY *.txt su?/*.txt /x/\nCOPY m*n.p[xy] /y/\n", TREE),
    "a folder's content": Shape(FROM + "COPY sub /one\nCOPY sub/ /two/\nCOPY sub/. ./three\n", TREE),
    "from a stage by number": Shape(FROM + "COPY . .\nFROM {base}\nCOPY --from=0 /sub /out\n", TREE),
    "from a stage by name": Shape(
        "FROM {base} AS One\nCOPY . /s\nFROM scratch\nCOPY --from=one /s/a.txt /s/sub /\n", TREE
    ),
    "from an image": Shape("FROM scratch\nCOPY --from={base} /etc /etc\n"),
    "archives": Shape(FROM + "ADD x.tar x.tar.gz x.tar.xz x.zip /x/\nCOPY x.tar.gz /y/\n", {}, archives),
    "from an address": Shape(FROM + "COPY . .\nADD {url}/file /x/\nADD --chmod=600 {url}/file /y\n", TREE),
    "ADD everything": Shape(FROM + "ADD . /src\n", TREE),
    "modes of a copy": Shape(FROM + "COPY --chmod=640 sub /x\nCOPY --chmod=755 a.txt /y\n", TREE),
    "owners by number": Shape(FROM + "COPY --chown=12:34 sub /x\nADD --chown=56 a.txt /y\n", TREE),
    "owners by name": Shape(FROM + "COPY --chown=app:app sub /x\n", TREE),
    "linked layers": Shape(FROM + "COPY --link a.txt /x/\nCOPY --link --chown=1:2 sub /y\n", TREE, modern=True),
    "a here-document": Shape(FROM + "RUN <<EOF\necho one > /one\necho two > /two\nEOF\n", modern=True),
    "a here-document that is a script": Shape(FROM + "RUN <<EOF\n#!/bin/sh\necho $0 > /one\nEOF\n", modern=True),
    "files in here-documents": Shape(
        FROM + 'ARG A=b\nCOPY <<one <<"two" /x/\n$A\none\n$A\ntwo\nCOPY --chmod=755 <<-t /t\n\tx\n\tt\n', modern=True
    ),
    "a mounted file": Shape(
        FROM + "WORKDIR /app\nRUN --mount=type=bind,source=package.json,target=package.json cat package.json > /x\n"
        "COPY . .\n",
        {**TREE, "package.json": "{}"},
    ),
    "a mounted stage": Shape(
        "FROM {base} AS one\nCOPY sub /s\n"
        "FROM {base}\nRUN --mount=type=bind,from=one,source=/s,target=/m cp -r /m /copied\n",
        TREE,
    ),
    "a mounted cache": Shape(FROM + "RUN --mount=type=cache,target=/cache,id=shape echo x > /cache/x; echo y > /y\n"),
    "a mounted tmpfs": Shape(FROM + "RUN --mount=type=tmpfs,target=/t echo x > /t/x; ls /t > /seen\n"),
    "a secret": Shape(
        FROM + "RUN --mount=type=secret,id=token cat /run/secrets/token > /seen\n"
        "RUN --mount=type=secret,id=token,target=/etc/t,mode=0440,uid=5 stat -c %a:%u /etc/t > /how\n",
        secrets={"token": "abc"},
    ),
    "an agent that is not there": Shape(FROM + "RUN --mount=type=ssh ls /run > /seen\n"),
    "without network": Shape(FROM + "RUN --network=none ls /sys/class/net > /seen\n", modern=True),
    "an argument before FROM": Shape(
        "ARG TAG=none\nARG IMAGE={base}\nFROM ${{IMAGE}}\nARG TAG\nRUN echo $TAG > /tag\n"
    ),
    "arguments": Shape(
        FROM + "ARG ONE\nARG TWO=2\nENV SAID=${{ONE}}-$TWO\nLABEL said=$ONE\nRUN echo $SAID > /said\n",
        arguments={"ONE": "a b", "TWO": ""},
    ),
    "predefined arguments": Shape(
        FROM + "ARG TARGETARCH\nARG TARGETPLATFORM\nRUN echo $TARGETARCH $TARGETPLATFORM > /p\n"
    ),
    "a target in the middle": Shape(
        "FROM {base} AS one\nRUN echo 1 > /one\nFROM one AS two\nRUN echo 2 > /two\nFROM two\nRUN false\n", target="two"
    ),
    "ONBUILD": Shape("FROM {onbuild}\nRUN echo mine > /mine\n", TREE),
    "another escape": Shape("# escape=`\n" + FROM + "RUN echo a `\n  > /x\\y\nCOPY a.txt `\n  /\n", TREE),
    "a check directive": Shape("# check=skip=all\n" + FROM + "RUN echo a > /a\n"),
    "configuration": Shape(
        FROM + 'ENV A=1 B="two words" C=\nENV OLD form\nLABEL a.b="c d" e=f\nEXPOSE 80 443/udp\nVOLUME ["/v", "/w"]\n'
        'USER 12:34\nWORKDIR rel\nWORKDIR ../abs\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s CMD ["x"]\n'
        'ENTRYPOINT ["/bin/sh", "-c"]\nCMD echo $A\nMAINTAINER me\n'
    ),
    "another shell": Shape(FROM + 'SHELL ["/bin/sh", "-e", "-c"]\nRUN echo "$0" > /x\nCMD shell form\n'),
    "continuations and comments": Shape(
        FROM + "# a\nRUN echo a > /a && \\\n  # b\n\n    echo c > /c \\\n && rm /a\n  run echo d > /d\n"
    ),
    "line ends of Windows": Shape((FROM + "COPY a.txt \\\n  b.txt /x/\nENV A=b\n").replace("\n", "\r\n"), TREE),
    "deleted and replaced": Shape(
        FROM + "COPY . /s\nRUN rm -r /s/sub && mkdir /s/sub && ln -s a.txt /s/l\nCOPY a.txt /s/l\n", TREE
    ),
}
FAILING = {
    "no such file": Shape(FROM + "COPY missing /\n"),
    "an ignored file": Shape(FROM + "COPY a.txt /\n", {**TREE, ".dockerignore": "a.txt\n"}),
    "a step that fails": Shape(FROM + "RUN exit 3\n"),
    "no instruction": Shape(FROM + "NONSENSE\n"),
    "a frontend that is not available": Shape("# syntax=tare.invalid/frontend:1\n" + FROM),
    "a secret that is required": Shape(FROM + "RUN --mount=type=secret,id=none,required=true true\n"),
    "a target that is none": Shape(FROM, target="none"),
}


def program(cache: Path, package: str) -> Path:
    """A program of the distribution; the test is skipped if this machine's apt cannot get it."""
    try:
        return unpacked(cache, package)
    except BaseUnavailable as error:
        pytest.skip(f"{package} is not available: {error}")


@pytest.fixture(scope="module")
def reference(live_settings: Any, live_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Buildx:
    return Buildx(program(live_settings.cache, "docker-buildx"), live_endpoint, tmp_path_factory.mktemp("buildx"))


@pytest.fixture(scope="module")
def base(live_settings: Any, live_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A system of one static program, and one with ONBUILD; they go with the engine's other images."""
    folder = tmp_path_factory.mktemp("base")
    shutil.copy(program(live_settings.cache, "busybox-static"), folder / "busybox")
    (folder / "busybox").chmod(0o755)
    for name, text in {"passwd": "root:x:0:0::/:/bin/sh\napp:x:77:88::/:/bin/sh\n", "group": "app:x:88:\n"}.items():
        (folder / name).write_text(text)
    dockerfile = (
        'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n'
        "COPY passwd group /etc/\nRUN mkdir -p /run /tmp\n"
    )
    onbuild = f"FROM {BASE}\nONBUILD ARG WORD=x\nONBUILD COPY . /onbuild\nONBUILD RUN echo $WORD > /word\n"
    for tag, text in {BASE: dockerfile, ONBUILD: onbuild}.items():
        (folder / "Dockerfile").write_text(text)
        live_engine.build(context=BuildContext.of_folder(folder, folder / "Dockerfile"), tag=tag)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A file behind HTTP; the engine itself fetches it, and is in this network namespace."""
    folder = tmp_path_factory.mktemp("http")
    (folder / "file").write_text("from far")
    os.utime(folder / "file", (OLD, OLD))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass(frozen=True, slots=True)
class Laid:
    """A shape on disk."""

    folder: Path
    dockerfile: Path
    secrets: Mapping[str, Path]


def lay(shape: Shape, folder: Path, url: str) -> Laid:
    """The context gets a name that is used once.

    The engine takes what docker-buildx sends from two folders of one last name for two states of one folder: a file of
    the same size and time stays the first folder's, even a Dockerfile, and a folder that is there keeps its time.
    """
    context = folder / f"context-{uuid.uuid4().hex}"
    context.mkdir()
    for name, text in shape.files.items():
        path = context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    dockerfile = (context / shape.name).resolve()
    if "Dockerfile" not in shape.files or dockerfile != context / "Dockerfile":
        dockerfile.parent.mkdir(parents=True, exist_ok=True)
        text = shape.dockerfile.format(base=BASE, onbuild=ONBUILD, url=url)
        dockerfile.write_bytes(text.encode())
    if shape.ignore:
        dockerfile.with_name(f"{dockerfile.name}.dockerignore").write_text(shape.ignore)
    shape.fill(context)
    for place, folders, files in os.walk(context, topdown=False):
        for number, name in enumerate(sorted((*folders, *files))):
            os.utime(Path(place, name), (OLD + number, OLD + number), follow_symlinks=False)
    secrets = {name: folder / f"secret-{name}" for name in shape.secrets}
    for name, path in secrets.items():
        path.write_text(shape.secrets[name])
    return Laid(context, dockerfile, secrets)


def contents(engine: DockerEngine, tag: str, since: float) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Configuration, and the members of every layer by name. Times that are the build's own are not compared."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(engine.save(tag)))) as outer:
        (manifest,) = json.load(outer.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(outer.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        layers = []
        for name in manifest["Layers"]:
            members = {}
            with tarfile.open(fileobj=outer.extractfile(name)) as tar:
                for member in tar:
                    data = tar.extractfile(member).read() if member.isreg() else b""  # type: ignore[union-attr]
                    members[member.name] = (
                        *(member.type, oct(member.mode), member.uid, member.gid, member.linkname, member.size),
                        "now" if member.mtime >= since else int(member.mtime),
                        hashlib.sha256(data).hexdigest(),
                        tuple(sorted((key, value) for key, value in member.pax_headers.items() if "xattr" in key)),
                    )
            layers.append(members)
    config.pop("created", None)
    config.pop("rootfs")
    for entry in config["history"]:
        entry.pop("created", None)
    return config, layers


def ours(engine: DockerEngine, shape: Shape, laid: Laid, tag: str, **more: Any) -> None:
    engine.build(
        context=BuildContext.of_folder(laid.folder, laid.dockerfile),
        tag=tag,
        arguments=shape.arguments,
        target=shape.target,
        no_cache=True,
        timeout=60,
        **more,
    )


@pytest.mark.parametrize("name", SHAPES)
def test_the_image_is_the_same(
    live_engine: DockerEngine, reference: Buildx, base: None, url: str, tmp_path: Path, name: str
) -> None:
    shape, since = SHAPES[name], time.time() - 1
    version = tuple(map(int, live_engine.info.version.split("+")[0].split(".")[:2]))
    if shape.modern and version < HEREDOCS:
        pytest.skip(f"the frontend of Docker {live_engine.info.version} does not know it")
    laid = lay(shape, tmp_path, url)
    theirs, tag, mounted = (f"tare.local/shape-{number}:1" for number in range(3))
    try:
        done = reference.build(
            *(laid.folder, laid.dockerfile, theirs),
            arguments=shape.arguments,
            secrets=laid.secrets,
            target=shape.target,
            labels=(f"{LABEL}=1",),
        )
        assert done.returncode == 0, done.stderr
        secrets = {known: path.read_bytes() for known, path in laid.secrets.items()}
        ours(live_engine, shape, laid, tag, secrets=secrets)
        expected, found = contents(live_engine, theirs, since), contents(live_engine, tag, since)
        assert found[0] == expected[0]
        assert len(found[1]) == len(expected[1])
        for here, there in zip(found[1], expected[1], strict=True):
            assert here.keys() == there.keys()
            assert {path: (here[path], there[path]) for path in here if here[path] != there[path]} == {}
        steps: list[str] = []

        def mount(step: Any) -> Mapping[str, str]:
            steps.append(" ".join(step.args))
            return {"/etc/tare.conf": "tare"}

        ours(live_engine, shape, laid, mounted, secrets={**secrets, "tare": b"x"}, secrets_for=mount)
        config, layers = contents(live_engine, mounted, since)
        assert config == expected[0]
        for layer, other in zip(layers, expected[1], strict=True):
            assert {path: layer[path] for path in layer if path not in ("etc", "etc/")} == {
                path: other[path] for path in other if path not in ("etc", "etc/")
            }
        assert bool(steps) == ("run " in shape.dockerfile.lower() or name == "ONBUILD")
    finally:
        for image in (theirs, tag, mounted):
            live_engine.remove_image(image)


@pytest.mark.parametrize("name", FAILING)
def test_what_docker_refuses_is_refused(
    live_engine: DockerEngine, reference: Buildx, base: None, url: str, tmp_path: Path, name: str
) -> None:
    shape, tag = FAILING[name], "tare.local/shape-refused:1"
    laid = lay(shape, tmp_path, url)
    done = reference.build(laid.folder, laid.dockerfile, tag, target=shape.target)
    assert done.returncode != 0
    for secrets_for in (None, lambda step: {"/etc/tare.conf": "tare"}):
        with pytest.raises(BuildFailed) as caught:
            ours(live_engine, shape, laid, tag, secrets={"tare": b"x"}, secrets_for=secrets_for)
        words = caught.value.what.splitlines()[0].removeprefix("failed to solve: ")[-60:]
        assert words in done.stderr
    assert live_engine.inspect(tag) is None


def test_there_are_enough_shapes() -> None:
    assert len(SHAPES) >= 40
