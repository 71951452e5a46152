from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from harness.engine.fake.engine import FakeEngine
from harness.engine.fake.image import FakeImage
from harness.errors import BaseUnavailable, LabError
from harness.image import archive
from harness.lab.bases.bases import BaseImage, Bases
from harness.lab.bases.files import Made, Store
from harness.lab.bases.maker import Maker
from harness.model import Base
from harness.settings import LABEL, Settings

TOML = Path(__file__).parents[3] / "variants/bases.toml"


def shipped() -> tuple[str, dict[str, Base]]:
    """bases.toml as it is, read without the catalogue's help."""
    table = tomllib.loads(TOML.read_text(encoding="utf-8"))
    fields = ("title", "upstream", "recipe", "packages", "parent")
    bases = {}
    for role, keys in table["base"].items():
        known = {name: keys.pop(name) for name in fields if name in keys}
        known["packages"] = tuple(known.get("packages", ()))
        bases[role] = Base(role=role, options=keys, **known)
    return table["release"], bases


def base(role: str, recipe: str = "layer", *packages: str, parent: str = "", **options: object) -> Base:
    return Base(
        role=role,
        title=role,
        upstream=f"registry.test/{role}:1",
        recipe=recipe,
        packages=packages,
        parent=parent,
        options=options,
    )


FAMILY = {
    one.role: one
    for one in (
        base("os-full", "full", command=["bash"]),
        base("os-slim", "slim", of="os-full", command=["bash"]),
        base("sdk", "layer", "compiler", parent="os-slim", env={"PATH": "/sdk/bin", "HOME": "/x"}, workdir="/x"),
        base("bare", "distroless", "files", user="65532"),
        base("bare-libc", "distroless", "libc", on="bare", entrypoint=["/run"]),
    )
}


class PaperMaker(Maker):
    """Makes layers of one file, at once and without root; all else is the real thing."""

    fails: frozenset[str] = frozenset()
    made: list[str]

    def _prepare(self) -> None:
        pass

    def _bootstrap(self, role, key, results, apt, work):
        del results, apt
        self.made.append(role)
        if role in self.fails:
            raise BaseUnavailable("E: no such package", where="apt-get")
        (work / "root").mkdir()
        (work / "root" / role).write_text(",".join(self._bases[role].packages))
        layer = archive.write_layer(work / "root", work / "layer.tar", before={}, epoch=7, since=0)
        return self._store.put(key, layer, work / "layer.tar", epoch=7, lock={"sources": ["m"], "packages": []})


class Bench:
    """Bases over a PaperMaker."""

    def __init__(self, cache: Path, bases: Mapping[str, Base] = FAMILY, lane: str = "packages") -> None:
        self.said: list[str] = []
        self.bases = Bases(Settings(cache=cache, lane=lane), bases, "trixie", announce=self.said.append)
        self.store = Store(cache / "bases")
        self.maker = PaperMaker(bases, "trixie", self.store, cache / "debs", self.said.append)
        self.maker.made = []
        self.bases._maker = self.maker

    def ensure(self, *roles: str, **more: object) -> dict[str, BaseImage]:
        return self.bases.ensure(roles, **more)


# ---- what is shipped


def test_shipped_bases_stand_on_bases_of_the_same_release():
    release, bases = shipped()
    assert release == "trixie"
    for one in bases.values():
        below = one.parent or one.options.get("on") or one.options.get("of")
        assert below in bases if one.recipe in ("layer", "slim") else below is None or below in bases
        assert list(one.packages) == sorted(set(one.packages)), one.role
        assert ":" in one.upstream.rpartition("/")[2], one.role
        if one.recipe == "distroless":
            assert one.upstream.startswith("gcr.io/distroless/")
            assert "-debian13:nonroot" in one.upstream


def test_every_role_the_issue_names_is_shipped():
    systems = {"os-full", "os-slim", "node-dind"}
    languages = {"sdk-go", "sdk-python", "sdk-java", "sdk-maven", "sdk-node", "sdk-rust"}
    runtimes = {"runtime-python", "runtime-java", "runtime-node"}
    bare = {f"distroless-{kind}" for kind in ("static", "base", "cc", "python", "java", "node")}
    assert shipped()[1].keys() == systems | languages | runtimes | bare | {"service-mariadb"}


# ---- the store


def put(store: Store, tmp_path: Path, key: str = "k-1") -> Made:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "f").write_text(key)
    layer = archive.write_layer(root, tmp_path / "t.tar", before={}, epoch=1, since=0)
    return store.put(key, layer, tmp_path / "t.tar", epoch=1, lock={"packages": [{"package": "p"}]})


def test_what_is_put_is_found(tmp_path):
    store = Store(tmp_path / "s")
    assert store.find("k-1") is None
    made = put(store, tmp_path)
    assert store.find("k-1") == made
    assert made.packages == 1


@pytest.mark.parametrize(
    "damage", ["layer gone", "layer short", "lock changed", "record torn", "record of another age"]
)
def test_a_damaged_base_is_not_found(tmp_path, damage):
    store = Store(tmp_path / "s")
    made = put(store, tmp_path)
    layer, record = store.layer(made.layer.diff_id), tmp_path / "s/made/k-1.json"
    if damage == "layer gone":
        layer.unlink()
    elif damage == "layer short":
        layer.write_bytes(layer.read_bytes()[:-1])
    elif damage == "lock changed":
        store.lock("k-1").write_text("{}")
    elif damage == "record torn":
        record.write_bytes(record.read_bytes()[:40])
    else:
        record.write_text("{}")
    assert store.find("k-1") is None


def test_a_killed_harness_leaves_nothing_on_the_bench(tmp_path):
    store = Store(tmp_path)
    (store.work / "os-full").mkdir(parents=True)
    with store.bench() as bench:
        assert list(bench.iterdir()) == []
    assert not store.work.exists()


def test_two_harnesses_take_turns(tmp_path):
    waited, order = threading.Event(), []

    def second() -> None:
        with Store(tmp_path).locked(waiting=waited.set):
            order.append("second")

    with Store(tmp_path).locked():
        other = threading.Thread(target=second)
        other.start()
        assert waited.wait(10)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


# ---- making


def test_what_stands_below_is_made_first_and_only_once(tmp_path):
    bench = Bench(tmp_path)
    images = bench.ensure("sdk", "os-slim", "bare-libc")
    assert sorted(bench.maker.made) == ["bare", "bare-libc", "os-full", "os-slim", "sdk"]
    made = bench.maker.made
    assert made.index("os-full") < made.index("os-slim") < made.index("sdk")
    assert images["sdk"].diff_ids[:1] == images["os-slim"].diff_ids  # a slim system stands on no layers
    assert len(images["sdk"].layers) == len(images["bare-libc"].layers) == 2
    again = Bench(tmp_path)
    assert again.ensure("sdk", "os-slim", "bare-libc") == images
    assert (again.maker.made, again.said) == ([], [])


def test_a_failure_fails_what_stands_on_it_with_the_same_reason_and_no_other(tmp_path):
    bench = Bench(tmp_path)
    bench.maker.fails = frozenset({"os-slim"})
    images = bench.ensure("sdk", "os-full", "bare")
    assert isinstance(images["os-full"], BaseImage)
    assert isinstance(images["bare"], BaseImage)
    assert str(images["sdk"]) == "base sdk: base os-slim: apt-get: E: no such package"
    assert "sdk" not in bench.maker.made
    healed = Bench(tmp_path)
    assert isinstance(healed.ensure("sdk")["sdk"], BaseImage)
    assert healed.maker.made == ["os-slim", "sdk"]


def test_a_refresh_makes_everything_anew_and_the_same(tmp_path):
    first = Bench(tmp_path).ensure("sdk")["sdk"]
    bench = Bench(tmp_path)
    assert bench.ensure("sdk", refresh=True)["sdk"].image_id == first.image_id
    assert bench.maker.made == ["os-full", "os-slim", "sdk"]


def test_an_interrupt_keeps_what_is_whole(tmp_path):
    bench = Bench(tmp_path)

    def interrupt(text: str) -> None:
        if text.startswith("base os-slim"):
            raise KeyboardInterrupt

    bench.maker._announce = interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.ensure("sdk")
    assert not bench.store.work.exists()
    again = Bench(tmp_path)
    assert isinstance(again.ensure("sdk")["sdk"], BaseImage)
    assert again.maker.made == ["sdk"]


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ({"options": {"env": {"A": "b"}}}, []),  # configuration only
        ({"title": "other", "upstream": "other"}, []),
        ({"packages": ("compiler", "linker")}, ["sdk"]),
        ({"options": {"ldconfig": True}}, ["sdk"]),
    ],
)
def test_only_what_changes_files_is_made_anew(tmp_path, change, made):
    Bench(tmp_path).ensure("sdk")
    bench = Bench(tmp_path, {**FAMILY, "sdk": replace(FAMILY["sdk"], **change)})
    bench.ensure("sdk")
    assert bench.maker.made == made


def test_a_change_below_is_a_change(tmp_path):
    before = Bench(tmp_path).ensure("sdk")["sdk"]
    bench = Bench(tmp_path, {**FAMILY, "os-slim": replace(FAMILY["os-slim"], packages=("more",))})
    after = bench.ensure("sdk")["sdk"]
    assert bench.maker.made == ["os-slim", "sdk"]
    assert before.name != after.name


def test_a_base_that_stands_on_nothing_known_is_a_mistake_of_the_file(tmp_path):
    bench = Bench(tmp_path, {"sdk": base("sdk", parent="nowhere")})
    with pytest.raises(LabError, match=r"base sdk: nowhere is not a base\. Correct"):
        bench.ensure("sdk")


def test_without_root_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    bases = Bases(Settings(cache=tmp_path), FAMILY, "trixie", announce=pytest.fail)
    found = bases.ensure(["bare"])["bare"]
    assert str(found).startswith("base bare: making bases from packages needs root. Run as root")


# ---- images


def test_configuration_is_inherited_and_overridden(tmp_path):
    images = Bench(tmp_path).ensure("os-slim", "sdk", "bare-libc")
    config = {role: json.loads(image.config)["config"] for role, image in images.items()}
    assert config["os-slim"]["Cmd"] == config["sdk"]["Cmd"] == ["bash"]
    assert config["sdk"]["Env"] == ["PATH=/sdk/bin", "HOME=/x"]
    assert config["sdk"]["WorkingDir"] == "/x"
    assert (config["bare-libc"]["User"], config["bare-libc"]["Entrypoint"]) == ("65532", ["/run"])
    assert all(LABEL in one["Labels"] for one in config.values())


def test_index_and_provenance_say_when_and_from_what(tmp_path):
    image = Bench(tmp_path).ensure("os-slim")["os-slim"]
    entry = json.loads((tmp_path / "bases/index.json").read_text())["os-slim"]
    assert (entry["lane"], entry["release"], entry["name"], entry["sources"]) == ("packages", "trixie", image.name, "m")
    assert entry["made"] >= "2024"
    assert "sources" not in image.provenance  # results travel; a private mirror's name must not


def test_an_engine_is_given_each_image_once(tmp_path):
    bench, engine = Bench(tmp_path), FakeEngine()
    images = bench.ensure("sdk", "bare").values()
    bench.bases.load(engine, images)
    bench.bases.load(engine, images)
    assert sorted(engine.calls) == sorted(f"load {image.name}" for image in images)
    for image in images:
        assert engine.inspect(image.name).id == image.image_id
    assert list((tmp_path / "bases/passing").iterdir()) == []


def test_archives_of_a_killed_harness_are_removed(tmp_path):
    store = Store(tmp_path)
    gone = subprocess.Popen(["true"])
    gone.wait()
    left, own = tmp_path / f"passing/{gone.pid}-x.tar", store.passing("y.tar")
    left.touch()
    own.touch()
    store.passing("z.tar")
    assert (left.exists(), own.exists()) == (False, True)


# ---- upstream


def registry(*roles: str) -> dict[str, FakeImage]:
    """A registry that has these roles' images, by name and by digest."""
    found = {}
    for role in roles:
        image = FakeImage.of((b"layer of " + role.encode(),), {}, "amd64")
        for tag in ("1", image.manifest_digest):
            found[f"registry.test/{role}:{tag}"] = image
    return found


def test_upstream_images_are_pinned_pulled_and_named(tmp_path):
    engine, bench = FakeEngine(registry=registry("os-slim")), Bench(tmp_path, lane="upstream")
    images = bench.ensure("os-slim", "sdk", engine=engine)
    found = images["os-slim"]
    assert (found.lane, found.provenance["upstream"]) == ("upstream", "registry.test/os-slim:1")
    assert engine.inspect(found.name).id == found.image_id
    assert f"pull registry.test/os-slim@{found.provenance['digest']}" in engine.calls
    assert str(images["sdk"]).startswith("base sdk: registry.test/sdk:1 cannot be pulled")
    assert bench.maker.made == []
    calls = len(engine.calls)
    bench.bases.load(engine, [found])
    assert len(engine.calls) == calls
    other = FakeEngine(registry=engine.registry)
    bench.bases.load(other, [found])
    assert other.inspect(found.name).id == found.image_id


def test_upstream_with_the_registry_gone_serves_what_the_engine_has(tmp_path):
    engine = FakeEngine(registry=registry("os-slim"))
    first = Bench(tmp_path, lane="upstream").ensure("os-slim", engine=engine)["os-slim"]
    engine.registry.clear()
    assert Bench(tmp_path, lane="upstream").ensure("os-slim", engine=engine)["os-slim"] == first
    engine.remove_image(first.name)
    gone = Bench(tmp_path, lane="upstream").ensure("os-slim", engine=engine)["os-slim"]
    assert isinstance(gone, BaseUnavailable)


def test_upstream_without_an_engine_is_said(tmp_path):
    assert "needs an engine" in str(Bench(tmp_path, lane="upstream").ensure("os-slim")["os-slim"])


def test_auto_asks_each_registry_once_and_falls_back(tmp_path):
    engine, bench = FakeEngine(), Bench(tmp_path, lane="auto")
    assert bench.ensure("os-slim", "sdk", engine=engine)["sdk"].lane == "packages"
    assert engine.calls == ["resolve registry.test/os-slim:1"]
    engine = FakeEngine(registry=registry("os-slim", "sdk"))
    assert bench.ensure("os-slim", "sdk", engine=engine)["sdk"].lane == "upstream"
    assert bench.ensure("os-slim")["os-slim"].lane == "packages"


# ---- live: from packages, on a real engine

live = pytest.mark.live


@pytest.fixture(scope="module")
def made(live_settings):
    """Bases in the user's cache, as a run has them."""
    release, bases = shipped()
    maker = Bases(replace(live_settings, lane="packages"), bases, release, announce=print)
    roles = ["distroless-base", "distroless-python", "os-slim", "runtime-python"]
    return maker, maker.ensure(roles)


@live
@pytest.mark.usefixtures("made")
def test_the_same_packages_give_the_same_images(live_settings, tmp_path):
    release, bases = shipped()

    def make(name: str) -> dict[str, str]:
        shutil.copytree(live_settings.cache / "debs", tmp_path / name / "debs")
        maker = Bases(Settings(cache=tmp_path / name, lane="packages"), bases, release, announce=print)
        images = maker.ensure(["distroless-base", "os-slim"])
        return {role: image.image_id for role, image in images.items()}

    with ThreadPoolExecutor() as at_once:
        one, two = at_once.map(make, ("one", "two"))
    assert one == two


@live
@pytest.mark.parametrize("role", ["distroless-base", "distroless-python", "os-slim", "runtime-python"])
def test_nothing_of_this_machine_is_in_a_base(made, role):
    image = made[1][role]
    host = Path("/etc/apt/sources.list.d")
    mirrors = {
        word.split("/")[2].encode()
        for path in [host.parent / "sources.list", *host.glob("*.list"), *host.glob("*.sources")]
        if path.is_file()
        for word in path.read_text().split()
        if word.startswith(("http://", "https://"))
    } - {b"deb.debian.org"}  # Debian's own public name
    for layer in image.layers:
        with tarfile.open(layer) as tar:
            for member in tar:
                assert member.name not in ("etc/resolv.conf", "etc/hostname", "etc/machine-id")
                assert member.isdir() or not member.name.startswith(("dev/", "run/", "tmp/", "var/lib/apt/lists/"))
                if member.isfile() and member.name.startswith("etc/"):
                    text = tar.extractfile(member).read()
                    assert not any(mirror in text for mirror in mirrors), member.name


@live
def test_the_ca_bundle_is_the_packages(made, live_settings, tmp_path):
    deb = max((live_settings.cache / "debs").glob("ca-certificates_*.deb"))
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path], check=True)
    end = b"-----END CERTIFICATE-----"
    packaged = {path.read_bytes().strip() for path in (tmp_path / "usr/share/ca-certificates").rglob("*.crt")}
    for role in ("distroless-base", "runtime-python"):
        root = tmp_path / role
        root.mkdir()
        archive.unpack(made[1][role].layers, root)
        bundle = (root / "etc/ssl/certs/ca-certificates.crt").read_bytes()
        assert {block.strip() + b"\n" + end for block in bundle.split(end)[:-1]} == packaged


@live
def test_bases_run(made, live_endpoint):
    from harness.engine.contract import ContainerSpec
    from harness.engine.docker import DockerEngine

    maker, images = made
    engine = DockerEngine(live_endpoint, origin="private")
    maker.load(engine, images.values())
    modules = "import bz2, ctypes, curses, lzma, os, sqlite3, ssl, uuid; print(os.getuid(), os.getcwd(), "
    modules += "len(ssl.create_default_context().get_ca_certs()) > 100)"
    cases = {
        "os-slim": (["apt-get", "--version"], "apt "),
        "runtime-python": (["python", "-c", modules], "0 / True"),
        "distroless-python": (["-c", modules], "65532 /home/nonroot True"),
    }
    for role, (command, answer) in cases.items():
        assert engine.inspect(images[role].name).diff_ids == images[role].diff_ids
        container = engine.create(ContainerSpec(image=images[role].name, command=command, network="none"))
        try:
            engine.start(container)
            assert engine.wait(container) == 0, engine.logs(container)
            assert engine.logs(container).startswith(answer)
        finally:
            engine.remove(container)
    engine.close()


@live
def test_a_kill_in_the_middle_leaves_no_half_base(tmp_path):
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_bases import Bases, Settings, Path, shipped
release, bases = shipped()
settings = Settings(cache=Path({str(tmp_path)!r}), lane="packages")
Bases(settings, bases, release, announce=print).ensure(["distroless-base"])
"""
    harness = subprocess.Popen([sys.executable, "-c", script])
    while not (tmp_path / "bases/work/distroless-static/debs").exists():
        assert harness.poll() is None
        time.sleep(0.01)
    harness.kill()
    harness.wait()
    release, bases = shipped()
    found = Bases(Settings(cache=tmp_path, lane="packages"), bases, release, announce=print).ensure(["distroless-base"])
    assert isinstance(found["distroless-base"], BaseImage)
    assert not (tmp_path / "bases/work").exists()
