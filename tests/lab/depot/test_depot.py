from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engine.contract import RunStep
from harness.errors import LabError, TareError
from harness.host.reaper import Reaper
from harness.image.context import BuildContext
from harness.lab.depot import clients
from harness.lab.depot.depot import Depot, DepotStats
from harness.lab.depot.upstreams import PUBLIC, Upstreams
from harness.settings import Settings

HOST = "127.0.0.1"
needs_nginx = pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="nginx is missing")


class Upstream(ThreadingHTTPServer):
    """A registry on this machine. `pages` maps a path to (status, headers, body); `asked` are the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.pages: dict[str, tuple[int, dict[str, str], str]] = {}
        self.asked: list[tuple[str, http.client.HTTPMessage]] = []
        self.url = f"http://{HOST}:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def put(self, path: str, body: str, kind: str = "application/octet-stream") -> None:
        self.pages[path] = (200, {"Content-Type": kind}, body)

    def times(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.asked)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Upstream)
        server.asked.append((self.path, self.headers))
        status, headers, body = server.pages.get(self.path, (404, {}, ""))
        if isinstance(body, str) and "{accept}" in body:
            body = body.replace("{accept}", self.headers.get("Accept", ""))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body.encode()))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


def upstreams_at(url: str, authority: Path) -> Upstreams:
    return Upstreams(
        apt={"debian": f"{url}/deb"},
        pip=f"{url}/api/pypi/simple",
        npm=f"{url}/npm",
        go=(f"{url}/go",),
        maven=f"{url}/maven",
        cargo=f"{url}/cargo",
        authorities=(authority,),
        proxies={},
        nameservers=(f"{HOST}:9",),
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Path:
    """A certificate for HOST and its key, in one file, signed by nobody else."""
    return certificate(tmp_path_factory.mktemp("authority") / "ours.pem")


def certificate(path: Path) -> Path:
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ours -addext"
    command = ["openssl", *words.split(), f"subjectAltName=DNS:{HOST}", "-keyout", "-", "-out", "-"]
    path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    return path


@pytest.fixture
def reaper(tmp_path):
    with Reaper(tmp_path / "cache") as reaper:
        yield reaper


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def depot(tmp_path, reaper, upstream, authority):
    with Depot(
        Settings(cache=tmp_path / "cache"), reaper, HOST, upstreams=upstreams_at(upstream.url, authority)
    ) as depot:
        yield depot


def get(depot: Depot, url: str, *, method: str = "GET", accept: str = "") -> tuple[int, str]:
    """Ask the depot for an absolute address, as a proxy's client does, or for a path of its own."""
    connection = http.client.HTTPConnection(depot.bind, depot.port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, url, headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def eventually(depot: Depot, requests: int) -> DepotStats:
    """Its figures once it has counted this number of requests: nginx writes its log after an answer is sent."""
    deadline = time.monotonic() + 10
    while (stats := depot.stats()).requests < requests and time.monotonic() < deadline:
        time.sleep(0.005)
    return stats


def public(ecosystem: str, path: str) -> str:
    return PUBLIC[ecosystem].replace("https://", "http://") + path


@needs_nginx
def test_public_names_are_served_from_the_hosts_upstreams_and_then_without_them(depot, upstream):
    paths = {
        public("pip", "/x/"): "/api/pypi/simple/x/",
        public("npm", "/@a%2fb"): "/npm/@a%2fb",  # escapes stay as they are
        public("maven", "/a/b/1/b-1.jar"): "/maven/a/b/1/b-1.jar",
        public("cargo", "/ax/um/axum"): "/cargo/ax/um/axum",
        "http://deb.debian.org/debian/dists/x/InRelease": "/deb/dists/x/InRelease",
        "http://debian.org/debian/pool/a.deb?x=1&y=%20": "/deb/pool/a.deb?x=1&y=%20",
        f"/-/http/{HOST}:{upstream.server_port}/go/a/@v/list": "/go/a/@v/list",
    }
    for path in paths.values():
        upstream.put(path, f"this is {path}")
    for url, path in paths.items():
        assert get(depot, url) == (200, f"this is {path}")
    size = sum(len(f"this is {path}") for path in paths.values())
    assert eventually(depot, 7) == DepotStats(7, 0, 7, size)
    upstream.__exit__()  # the network is gone
    for url, path in paths.items():
        assert get(depot, url) == (200, f"this is {path}")
    assert eventually(depot, 14) == DepotStats(14, 7, 7, 2 * size)
    assert [upstream.times(path) for path in paths.values()] == [1] * 7
    assert get(depot, public("npm", "/never"))[0] == 502


@needs_nginx
def test_an_index_page_leads_nowhere_but_to_the_depot(depot, upstream):
    other = "https://files.example.test/a.whl"
    upstream.put(
        "/api/pypi/simple/x/",
        f'<a href="{other}"><a href=\'{other}\'><a href="/root.whl"><a href="../../packages/x.whl">',
        "text/html; charset=utf-8",
    )
    name = public("pip", "").removesuffix("/simple")
    _, page = get(depot, public("pip", "/x/"))
    here = upstream.url.replace("://", "/")
    through = f"{name}/-/https/files.example.test/a.whl"
    assert re.findall(r"href=.(.*?)[\"']>", page) == [
        through,
        through,
        f"{name}/-/{here}/root.whl",
        "../../packages/x.whl",
    ]
    upstream.put("/root.whl", "root")
    upstream.put("/api/pypi/packages/x.whl", 'relative, and no page: href="https://stays')
    assert get(depot, f"{name}/-/{here}/root.whl") == (200, "root")
    assert get(depot, f"{name}/packages/x.whl") == (200, 'relative, and no page: href="https://stays')

    json = "application/vnd.pypi.simple.v1+json"
    upstream.put("/api/pypi/simple/y/", f'{{"url": "{other}", "u":"{other}"}}', json)
    assert get(depot, public("pip", "/y/"))[1] == f'{{"url": "{through}", "u":"{other}"}}'

    upstream.put("/npm/x", f'{{"tarball":"{other}","homepage":"{other}"}}', "application/json")
    npm = public("npm", "/-/https/files.example.test/a.whl")
    assert get(depot, public("npm", "/x"))[1] == f'{{"tarball":"{npm}","homepage":"{other}"}}'

    upstream.put("/cargo/config.json", f'{{"dl": "{other}"}}')
    cargo = public("cargo", "/-/https/files.example.test/a.whl")
    assert get(depot, public("cargo", "/config.json"))[1] == f'{{"dl": "{cargo}"}}'


@needs_nginx
def test_forms_of_an_index_are_kept_apart_and_of_files_not(depot, upstream):
    upstream.put("/npm/x", "{accept}")
    upstream.put("/maven/x", "{accept}")
    assert [get(depot, public("npm", "/x"), accept=form)[1] for form in ("a/a", "b/b", "a/a")] == ["a/a", "b/b", "a/a"]
    assert [get(depot, public("maven", "/x"), accept=form)[1] for form in ("a/a", "b/b")] == ["a/a", "a/a"]


@needs_nginx
def test_redirects_are_followed_and_cached_under_the_first_address(tmp_path, reaper, upstream, authority):
    with Upstream() as store:
        # A page may lead to an address instead of a name only if the address is an upstream too.
        upstreams = replace(upstreams_at(upstream.url, authority), maven=store.url)
        upstream.pages["/npm/x.tgz"] = (302, {"Location": "/npm/y.tgz"}, "")
        upstream.pages["/npm/y.tgz"] = (307, {"Location": f"{store.url}/z?sig=%2F"}, "")
        store.put("/z?sig=%2F", "found")
        with Depot(Settings(cache=tmp_path / "cache"), reaper, HOST, upstreams=upstreams) as depot:
            assert get(depot, public("npm", "/x.tgz")) == (200, "found")
            upstream.pages.clear()
            assert get(depot, public("npm", "/x.tgz")) == (200, "found")


@needs_nginx
def test_passwords_go_to_their_upstream_only(tmp_path, reaper, upstream, authority):
    with Upstream() as store:
        upstreams = upstreams_at(upstream.url, authority)
        upstreams = replace(upstreams, npm=upstreams.npm.replace("://", "://me:p%40ss@"), maven=store.url)
        upstream.pages["/npm/x"] = (302, {"Location": f"{store.url}/npm/x"}, "")
        store.put("/npm/x", "found")
        upstream.put("/cargo/x", "found")
        with Depot(Settings(cache=tmp_path / "cache"), reaper, HOST, upstreams=upstreams) as depot:
            assert get(depot, public("npm", "/x")) == get(depot, public("cargo", "/x")) == (200, "found")
            assert not any(b"me:" in content or b"p%40ss" in content for content in depot.secrets.values())
        sent = {path: headers["Authorization"] for path, headers in upstream.asked}
        assert sent == {"/npm/x": "Basic " + base64.b64encode(b"me:p@ss").decode(), "/cargo/x": None}
        assert store.asked[0][1]["Authorization"] is None


@needs_nginx
def test_what_is_missing_is_remembered_and_what_fails_is_not(depot, upstream):
    assert [get(depot, public("maven", "/x"))[0] for _ in range(2)] == [404, 404]
    assert upstream.times("/maven/x") == 1
    upstream.pages["/maven/y"] = (500, {}, "")
    assert [get(depot, public("maven", "/y"))[0] for _ in range(2)] == [500, 500]
    assert upstream.times("/maven/y") == 2


@needs_nginx
def test_a_build_cannot_reach_services_of_this_machine(depot, upstream):
    with Upstream() as private:
        private.put("/", "secret")
        port = private.server_port
        for host in (f"{HOST}:{port}", f"localhost:{port}", f"[::1]:{port}", f"0:{port}", f"2130706433:{port}"):
            assert get(depot, f"http://{host}/")[0] in (400, 403), host
            assert get(depot, f"/-/http/{host}/")[0] == 403, host
        upstream.pages["/npm/x"] = (302, {"Location": private.url}, "")
        assert get(depot, public("npm", "/x"))[0] == 403
        assert private.asked == []
    assert get(depot, "http://127.example.test/")[0] == 502  # a name, though nobody has it
    assert get(depot, "/")[0] == 403
    assert get(depot, public("npm", "/y"), method="POST")[0] == 403
    assert upstream.times("/npm/y") == 0


@needs_nginx
def test_cut_upstreams(depot, upstream):
    upstream.put("/npm/x", "x")
    get(depot, public("npm", "/x"))
    eventually(depot, 1)  # an answer is out a moment before it is in the cache
    depot.offline(True)
    assert get(depot, public("npm", "/x")) == (200, "x")
    assert get(depot, public("npm", "/y"))[0] == 502
    depot.offline(False)
    upstream.put("/npm/y", "y")
    assert get(depot, public("npm", "/y")) == (200, "y")


@needs_nginx
def test_the_cache_outlives_the_depot_and_nothing_else_does(tmp_path, reaper, upstream, authority):
    settings, upstreams = Settings(cache=tmp_path / "cache"), upstreams_at(upstream.url, authority)
    upstream.put("/npm/x", '"tarball":"https://a/b"', "application/json")
    with Depot(settings, reaper, HOST, upstreams=upstreams) as first:
        _, answer = get(first, public("npm", "/x"))
    with pytest.raises(ConnectionRefusedError), socket.create_connection((HOST, first.port)):
        pass
    assert not first._folder.exists()
    upstream.__exit__()
    with Depot(settings, reaper, HOST, upstreams=upstreams) as second:
        assert get(second, public("npm", "/x")) == (200, answer)
        assert eventually(second, 1).hits == 1


@needs_nginx
def test_only_the_hosts_authorities_are_believed(tmp_path, reaper, upstream, authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    upstream.socket = context.wrap_socket(upstream.socket, server_side=True)
    upstream.put("/npm/x", "x")
    upstreams = upstreams_at(upstream.url.replace("http:", "https:"), authority)
    settings = Settings(cache=tmp_path / "cache")
    with Depot(settings, reaper, HOST, upstreams=upstreams) as depot:
        assert get(depot, public("npm", "/x")) == (200, "x")
    upstreams = replace(upstreams, authorities=(certificate(tmp_path / "stranger.pem"),))
    with Depot(settings, reaper, HOST, upstreams=upstreams) as depot:
        assert get(depot, public("npm", "/y"))[0] == 502


@needs_nginx
def test_an_address_that_is_not_this_machines(tmp_path, reaper, upstream, authority):
    depot = Depot(
        Settings(cache=tmp_path / "c"), reaper, "198.51.100.1", upstreams=upstreams_at(upstream.url, authority)
    )
    with pytest.raises(LabError, match="no port can be opened"):
        depot.__enter__()
    assert not depot._folder.exists()


def test_why_there_can_be_no_depot(authority):
    upstreams = upstreams_at("http://a.example.test", authority)
    assert Depot.impossible(upstreams) == ""
    assert "names no server" in Depot.impossible(replace(upstreams, nameservers=()))
    assert "authorities" in Depot.impossible(replace(upstreams, authorities=()))


# ---- the settings of builds


SECRETS = {f"tare-{tool}" for tool in ("apt", "pip", "uv", "npm", "go", "maven", "cargo")}


@pytest.mark.parametrize(
    ("command", "tools"),
    [
        ("apt-get update && apt-get install -y golang-go npm", {"apt"}),
        ("python3 -m venv /v \\\n && /v/bin/pip3.13 install x", {"pip"}),
        ("python3 -m pip --python /v install x", {"pip"}),
        ("python3 -m venv pip", set()),
        ("PIP_NO_CACHE=1 exec uv sync; npx tsc | tee log", {"uv", "npm"}),
        ("if ! go build ./...; then exit 1; fi", {"go"}),
        ("(cd a && ./mvnw -q package)", {"maven"}),
        ("x=$(cargo metadata)", {"cargo"}),
        ('bash -c "yarn install"', {"unknown", "npm"}),
        ('["pip", "install", "x"]', {"pip"}),
        ("make all", {"unknown"}),
        ("./build.sh --pip", {"unknown"}),
        ("sh -e build", {"unknown"}),
        ("echo go pip > npm.txt; cp cargo mvn /", set()),
        ("cat <<EOF | sort\n\npnpm ci", {"npm"}),
        ("", set()),
    ],
)
def test_tools(command, tools):
    assert clients.tools(command) == tools


def step(shell: str, *, user: str = "", mounted: Iterable[str] = (), **env: str) -> RunStep:
    """A RUN in its shell form, as BuildKit plans it."""
    return RunStep(args=("/bin/sh", "-c", shell), env=env, user=user, mounted=frozenset({"/", *mounted}))


def mounted(shell: str, **more: Any) -> dict[str, str]:
    """Tool → path."""
    return {
        name.removeprefix("tare-"): path for path, name in clients.secrets_for(step(shell, **more), SECRETS).items()
    }


def test_files_go_where_the_tool_looks_and_the_folder_is():
    assert mounted("apt-get update") == {"apt": "/etc/apt/apt.conf.d/99tare"}
    assert mounted("pip install x; npm ci; go build; mvn package; cargo fetch") == {
        "pip": "/etc/pip.conf",
        "npm": "/root/.npmrc",
        "go": "/root/.config/go/env",
        "maven": "/root/.m2/settings.xml",
        "cargo": "/root/.cargo/config.toml",
    }
    assert mounted("make") == {"pip": "/etc/pip.conf", "npm": "/root/.npmrc"}


def test_a_cache_mount_on_mavens_folder_gets_no_stub():
    assert mounted("mvn package", mounted=["/root/.m2"])["maven"] == clients.MAVEN
    assert mounted("mvn package", mounted=["/root/.m2/repository"])["maven"] == "/root/.m2/settings.xml"
    assert mounted("cargo b", mounted=["/root/.cargo/registry"])["cargo"] == "/root/.cargo/config.toml"


def test_files_follow_the_user_and_the_environment_of_a_step():
    cargo = "/usr/local/cargo"
    assert mounted("npm ci", user="app:app") == {"npm": "/home/app/.npmrc"}
    assert mounted("mvn x; cargo b", user="app", CARGO_HOME=cargo) == {
        "maven": clients.MAVEN,
        "cargo": f"{cargo}/config.toml",
    }
    assert mounted("npm ci; cargo b", user="0:0", CARGO_HOME=cargo) == {
        "npm": "/root/.npmrc",
        "cargo": f"{cargo}/config.toml",
    }
    assert mounted("npm ci; cargo b; pip x", user="1000") == {"pip": "/etc/pip.conf", "cargo": "/.cargo/config.toml"}
    assert mounted("npm ci; cargo b; go x", HOME="/h", CARGO_HOME="/c", GOENV="/g") == {
        "npm": "/h/.npmrc",
        "cargo": "/c/config.toml",
        "go": "/g",
    }


def test_a_target_that_is_mounted_already_is_left_alone():
    assert mounted("npm ci; pip install x", mounted=["/root/.npmrc"]) == {"pip": "/etc/pip.conf"}


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("/bin/bash", "-o", "pipefail", "-c", "npm ci"), "npm ci"),
        (("sh", "-e", "build"), "sh -e build"),
        (("pip", "install", "x"), "pip install x"),
        ((), ""),
    ],
)
def test_the_command_of_a_step(args, text):
    assert clients.command(RunStep(args=args, env={})) == text


def test_a_here_document_is_looked_into():
    run = RunStep(args=("/dev/pipes/EOF",), env={}, script="#!/usr/bin/env bash\nset -e\npip install x\n")
    assert clients.targets(run) == {"pip": clients.PIP}


def test_a_tool_without_a_file_gets_none(authority):
    upstreams = replace(upstreams_at("http://a", authority), go=())
    assert clients.files(upstreams, HOST, 1).keys() == SECRETS - {"tare-go"}
    assert clients.secrets_for(step("go build"), SECRETS - {"tare-go"}) == {}


def test_only_the_public_names_of_registries_can_get_into_an_image(authority):
    """The depot's own address appears only as the name of a proxy, which no tool writes down."""
    for name, content in clients.files(upstreams_at("http://a", authority), "10.0.0.1", 80).items():
        for line in content.decode().splitlines():
            assert "10.0.0.1" not in line or "proxy" in line.lower() or name in ("tare-uv", "tare-go"), line


@given(st.text())
def test_any_command_can_be_looked_at(command):
    assert clients.tools(command) <= {*clients._PROGRAMS}
    assert clients.secrets_for(step(command), ()) == {}


# ---- real builds

APT_PIP = """\
ARG BASE_OS_SLIM=x
FROM ${BASE_OS_SLIM}
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
RUN python3 -m venv /v \\
  # comment
 && /v/bin/pip install numpy==2.2.* && /v/bin/python -c 'import numpy'
USER nobody
RUN /v/bin/pip download --no-cache-dir -d /tmp/d six
"""
NPM = """\
ARG BASE_SDK_NODE=x
FROM ${BASE_SDK_NODE}
WORKDIR /app
RUN npm install express@4.21.2
# A lock file as the public registry writes it.
RUN sed -i 's#http://registry.npmjs.org/-/https/#https://#' package-lock.json \\
 && grep -q https://registry package-lock.json && rm -r node_modules && npm ci && node -e 'require("express")'
"""
GO = """\
ARG BASE_SDK_GO=x
FROM ${BASE_SDK_GO}
WORKDIR /app
RUN go mod init x && go mod edit -require github.com/gin-gonic/gin@v1.9.1 \\
 && printf 'package main\\nimport _ "github.com/gin-gonic/gin"\\nfunc main() {}\\n' > main.go \\
 && go mod tidy
RUN go clean -modcache && go mod download
"""
MAVEN = """\
ARG BASE_SDK_MAVEN=x
FROM ${BASE_SDK_MAVEN}
WORKDIR /app
RUN mkdir -p src/main/java && echo 'class A {}' > src/main/java/A.java && echo '<project> \\
 <modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>a</artifactId><version>1</version> \\
 <properties><maven.compiler.release>21</maven.compiler.release></properties><dependencies><dependency> \\
 <groupId>com.google.code.gson</groupId><artifactId>gson</artifactId><version>2.11.0</version> \\
 </dependency></dependencies></project>' > pom.xml
RUN mvn -q -B package
RUN --mount=type=cache,target=/root/.m2 mvn -q -B clean package
"""
CARGO = """\
ARG BASE_SDK_RUST=x
FROM ${BASE_SDK_RUST}
WORKDIR /app
RUN cargo init --vcs none --name x && echo 'serde = { version = "1", features = ["derive"] }' >> Cargo.toml
RUN cargo fetch
"""
BUILDS = {"os-slim": APT_PIP, "sdk-node": NPM, "sdk-go": GO, "sdk-maven": MAVEN, "sdk-rust": CARGO}


@pytest.fixture(scope="module")
def live(live_settings, live_endpoint, live_network, live_reaper, tmp_path_factory):
    """An engine, the bases, and a depot whose cache is empty."""
    from harness.catalogue.read import read
    from harness.engine.docker import DockerEngine
    from harness.lab.bases.bases import Bases

    catalogue = read(Path(__file__).parents[3])
    engine = DockerEngine(live_endpoint, origin="private")
    with contextlib.closing(engine):
        bases = Bases(live_settings, catalogue.bases, catalogue.release, announce=print)
        own = Settings(cache=tmp_path_factory.mktemp("cache"))
        with Depot(own, live_reaper, live_network.address) as depot:
            yield engine, bases, catalogue.bases, depot


class Twice:
    """A build through the depot and then without a network: the end of each, and the places of mounted settings."""

    def __init__(self, role: str) -> None:
        self.image = f"tare.local/test/depot-{role}:x"
        self.first: Exception | None = None
        self.again: Exception | None = None
        self.targets: set[PurePosixPath] = set()


@pytest.fixture(scope="module")
def repeated(live):
    """Every build twice, all ecosystems at once: bases and builds by role, and the depot's counts of both rounds."""
    engine, bases, roles, depot = live
    found = bases.ensure(list(BUILDS), engine)
    made = {role: base for role, base in found.items() if not isinstance(base, Exception)}
    bases.load(engine, made.values())
    builds = {role: Twice(role) for role in made}

    def build(role: str, **options: bool) -> Exception | None:
        def secrets_for(run: RunStep) -> dict[str, str]:
            mounts = depot.secrets_for(run)
            builds[role].targets.update(map(PurePosixPath, mounts))
            return mounts

        try:
            engine.build(
                context=BuildContext.of_files({}, dockerfile=BUILDS[role]),
                tag=builds[role].image,
                arguments={roles[role].argument: made[role].name},
                secrets=depot.secrets,
                secrets_for=secrets_for,
                **options,
            )
        except TareError as error:
            return error
        return None

    with ThreadPoolExecutor(len(builds)) as at_once:
        for role, error in zip(builds, at_once.map(build, builds), strict=True):
            builds[role].first = error
        filled = depot.stats()
        depot.offline(True)
        for role, error in zip(builds, at_once.map(lambda role: build(role, no_cache=True), builds), strict=True):
            builds[role].again = error
        depot.offline(False)
    yield found, builds, (filled, depot.stats())
    for twice in builds.values():
        if not twice.again:
            engine.remove_image(twice.image)


@pytest.mark.live
@pytest.mark.parametrize("role", BUILDS)
def test_a_build_fetches_through_the_depot_and_its_repetition_needs_no_network(live, repeated, role, tmp_path):
    engine, _, _, depot = live
    bases, builds, _ = repeated
    if isinstance(bases[role], Exception):
        pytest.skip(str(bases[role]))
    twice = builds[role]
    assert twice.first is None
    assert twice.again is None
    below = engine.inspect(bases[role].name)
    assert traces(engine, twice.image, len(below.diff_ids), depot, twice.targets, tmp_path) == []


@pytest.mark.live
def test_repetitions_are_answered_from_the_cache_alone(repeated):
    filled, whole = repeated[2]
    assert filled.misses > 0
    assert whole.hits - filled.hits == whole.requests - filled.requests > 0


def traces(engine, image: str, below: int, depot: Depot, targets: set[PurePosixPath], folder: Path) -> list[str]:
    """What the depot has left in the layers above the base, in the configuration and in the history."""
    address = depot.bind.encode()
    found = []
    path = folder / "image.tar"
    with path.open("wb") as file:
        for piece in engine.save(image):
            file.write(piece)
    with tarfile.open(path) as outer:
        manifest = json.load(outer.extractfile("manifest.json"))[0]
        config = outer.extractfile(manifest["Config"]).read()
        found += [f"config: {needle!r}" for needle in (address, b"tare-", b"type=secret") if needle in config]
        known: set[PurePosixPath] = set()  # in the base
        names: set[PurePosixPath] = set()  # in the layers above it
        for number, layer in enumerate(manifest["Layers"]):
            with tarfile.open(fileobj=outer.extractfile(layer)) as tar:
                if number < below:
                    known |= {PurePosixPath("/", name) for name in tar.getnames()}
                    continue
                for member in tar:
                    name = PurePosixPath("/", member.name)
                    names.add(name)
                    content = tar.extractfile(member).read() if member.isfile() else member.linkname.encode()
                    if address in content or depot.bind in member.name:
                        found.append(f"address in {name}")
    found += [f"stub {name}" for name in names & targets]
    # A folder that was there before is in the layer too, for its time of change: that alone is what stays.
    parents = {parent for target in targets for parent in target.parents} & names - known
    return found + [f"empty {parent}" for parent in parents if not any(parent in name.parents for name in names)]
