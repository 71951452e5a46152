"""The images behind all roles, from upstream registries or made from distribution packages."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness.engine.contract import Engine
from harness.errors import BaseUnavailable, EngineError
from harness.image import archive
from harness.image.manifest import ImageManifest
from harness.lab.apt.root import PATH
from harness.lab.bases.files import Made, Store, now
from harness.lab.bases.maker import Maker, Result, architecture, layers, stands_on
from harness.lab.upload import Packed, Uploader, pack_layer
from harness.model import Base
from harness.settings import IMAGE_PREFIX, LABEL, Settings

_PROBE_TIMEOUT = 5.0  # s: how long the lane `auto` waits for a registry before it decides for packages


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """A base that is available. `packed` is the estimated size of its layers gzipped, B.

    `layers` are its files in the packages lane, lowest first, and `config` its OCI image configuration; both are
    empty in the upstream lane, where the engine itself has pulled the image.
    """

    role: str
    name: str  # tare.local/base/os-slim:<12 hexadecimal digits of the image id, or of the upstream digest>
    image_id: str
    diff_ids: tuple[str, ...]
    lane: str  # upstream | packages
    provenance: Mapping[str, str]
    packed: int = 0
    layers: tuple[Path, ...] = ()
    config: bytes = field(default=b"", repr=False)


class Bases:
    """Makes or finds bases. Several harnesses may share a cache: they wait for each other and use what is there."""

    def __init__(
        self,
        settings: Settings,
        bases: Mapping[str, Base],
        release: str,
        *,
        announce: Callable[[str], None],
        pinned: bool = False,
        registry: str = "",
    ) -> None:
        """`pinned`: upstream references stay at the digests found before, as packages do without a refresh.

        `registry` is the host:port of a registry that engines pull made bases from, so that each has the same
        compressed bytes. Without one, engines load them from an archive and compress them as they like.
        """
        self._pinned = pinned
        self._lane = settings.lane
        self._decided: tuple[Engine | None, str] = None, ""  # for `auto`: all bases of an engine come from one lane
        self._bases = bases
        self._release = release
        self._announce = announce
        self._store = Store(settings.cache / "bases")
        self._loading: dict[str, threading.Lock] = {}  # by image name
        self._registry = registry
        self._archived: set[str] = set()  # names of images that were loaded from an archive
        self._manifests: dict[str, ImageManifest] = {}  # what the registry has, by image name
        self._maker = Maker(bases, release, self._store, settings.cache / "debs", announce, packs=bool(registry))

    def ensure(
        self, roles: Iterable[str], engine: Engine | None = None, *, refresh: bool = False
    ) -> dict[str, BaseImage | BaseUnavailable]:
        """The image of each role, or why there is none; a role that fails raises nothing.

        The upstream lane resolves and pulls through `engine`; without one, the lane `auto` is packages. `refresh`
        makes everything anew from today's packages.
        """
        wanted = list(dict.fromkeys(roles))
        lane = self._lane
        if lane == "auto":
            if engine is None or self._decided[0] is not engine:
                self._decided = engine, "upstream" if engine and self._answers(engine, wanted) else "packages"
            lane = self._decided[1]
        if lane == "packages":
            return self._packages(wanted, refresh=refresh)
        found = {role: self._upstream(role, engine) for role in wanted}
        with self._store.locked():
            images = (image for image in found.values() if isinstance(image, BaseImage))
            self._store.note({image.role: {**image.provenance, "found": now()} for image in images})
        return found

    def load(self, engine: Engine, images: Iterable[BaseImage]) -> None:
        """Have `engine` know each image by its name. Raises EngineError. May be called from several threads."""
        for image in images:
            with self._loading.setdefault(image.name, threading.Lock()):
                self._load(engine, image)

    def pull_from(self, registry: str, engine: Engine) -> None:
        """From now on the engine pulls bases from this registry. What it has from an archive goes: some engines keep
        such layers as they were loaded, and push them so.
        """
        self._registry = registry
        for name in self._archived:
            engine.remove_image(name)
        self._archived.clear()

    def publish(self, image: BaseImage, repository: str, tag: str, *, to: str = "") -> ImageManifest | None:
        """Have the registry hold a made base under `repository:tag`, so that the push of an image built on it finds the
        base's layers there; None in the upstream lane or without a registry. Raises LabError.

        `to` is the address of another registry, which then holds it.
        """
        if not self._registry or image.lane == "upstream":
            return None
        if to:
            return Uploader(to).image(repository, tag, config=image.config, layers=self._packed(image))
        return Uploader(self._registry).also(self._uploaded(image), _split(image.name)[0], repository, tag)

    def _uploaded(self, image: BaseImage) -> ImageManifest:
        """The manifest of a base that the registry holds under its own name."""
        if image.name not in self._manifests:
            repository, tag = _split(image.name)
            uploader = Uploader(self._registry)
            self._manifests[image.name] = uploader.image(
                repository, tag, config=image.config, layers=self._packed(image)
            )
        return self._manifests[image.name]

    def _packed(self, image: BaseImage) -> list[Packed]:
        return [pack_layer(path, self._store.packed(path)) for path in image.layers]

    def _load(self, engine: Engine, image: BaseImage) -> None:
        if self._registry and image.lane != "upstream":
            self._uploaded(image)  # even if the engine has the base: it may push an image that is built on it
        known = engine.inspect(image.name)
        if known and tuple(known.diff_ids) == image.diff_ids:  # image ids differ between kinds of image store
            return
        if image.lane == "upstream":
            engine.pull(image.provenance["reference"])
            engine.tag(image.provenance["reference"], image.name)
            return
        if self._registry:
            name = f"{self._registry}/{image.name}"
            engine.pull(name)
            engine.tag(name, image.name)
            engine.remove_image(name)
            return
        path = self._store.passing(f"{image.role}.tar")
        try:
            archive.write_archive(path, config=image.config, layers=image.layers, name=image.name)
            engine.load(path, tag=image.name)
            self._archived.add(image.name)
        finally:
            path.unlink(missing_ok=True)

    def _answers(self, engine: Engine, roles: Sequence[str]) -> bool:
        """Whether any registry of these roles answers; each is asked once."""
        asked: dict[str, str] = {}
        for role in roles:
            asked.setdefault(_registry(self._bases[role].upstream), self._bases[role].upstream)
        for reference in asked.values():
            try:
                engine.resolve(reference, timeout=_PROBE_TIMEOUT)
            except EngineError:
                continue
            return True
        return False

    def _upstream(self, role: str, engine: Engine | None) -> BaseImage | BaseUnavailable:
        upstream = self._bases[role].upstream
        fix = "Check the network, or use TARE_LANE=packages."
        if engine is None:
            return BaseUnavailable("the upstream lane needs an engine to pull with", where=f"base {role}", fix=fix)
        try:
            digest = self._digest(role, engine)
            repository = upstream if ":" not in upstream.rpartition("/")[2] else upstream.rpartition(":")[0]
            reference, name = f"{repository}@{digest}", _name(role, digest)
            known = engine.inspect(name)
            if known is None:
                started = time.monotonic()
                engine.pull(reference)
                engine.tag(reference, name)
                known = engine.inspect(name)
                self._announce(f"base {role}: pulled {upstream} in {time.monotonic() - started:.0f} s")
            if known is None:
                raise EngineError(f"{reference} disappeared right after it was pulled")
        except EngineError as error:
            return BaseUnavailable(f"{upstream} cannot be pulled: {error}", where=f"base {role}", fix=fix)
        provenance = {"lane": "upstream", "upstream": upstream, "digest": digest, "reference": reference}
        return BaseImage(
            role=role,
            name=name,
            image_id=known.id,
            diff_ids=tuple(known.diff_ids),
            lane="upstream",
            provenance=provenance,
        )

    def _digest(self, role: str, engine: Engine) -> str:
        """What the registry answers now. If the registry is out of reach, its last answer, if the engine still has that
        image.
        """
        upstream = self._bases[role].upstream
        last = self._store.index().get(role, {})
        if self._pinned and last.get("upstream") == upstream:
            return last["digest"]
        try:
            return engine.resolve(upstream)
        except EngineError:
            if last.get("upstream") == upstream and engine.inspect(_name(role, last["digest"])):
                return last["digest"]
            raise

    # ---- packages lane

    def _packages(self, roles: Sequence[str], *, refresh: bool) -> dict[str, BaseImage | BaseUnavailable]:
        results = self._maker.results(roles, refresh=refresh)
        images = {role: self._image(role, results) for role in roles}
        index = self._store.index()
        entries = {}
        for role, image in images.items():
            made = results[role]
            if isinstance(image, BaseImage) and isinstance(made, Made):
                lock = json.loads(self._store.lock(made.key).read_bytes())
                entries[role] = {**image.provenance, "name": image.name, "sources": " ".join(lock["sources"])}
        if any(index.get(role) != entry for role, entry in entries.items()):
            with self._store.locked():
                self._store.note(entries)
        return images

    def _image(self, role: str, results: Mapping[str, Result]) -> BaseImage | BaseUnavailable:
        made = results[role]
        if isinstance(made, BaseUnavailable):
            return made
        chain = layers(role, self._bases, results)
        diff_ids = tuple(link.layer.diff_id for link in chain)
        config = archive.image_config(
            architecture=architecture(),
            diff_ids=diff_ids,
            history=[f"tare: {link.key.rpartition('-')[0]} from packages of {self._release}" for link in chain],
            config=self._config(role),
            epoch=max(link.epoch for link in chain),
        )
        image_id = archive.image_id(config)
        provenance = {
            "lane": "packages",
            "release": self._release,
            "recipe": made.key,
            "lock": made.lock,
            "dated": datetime.fromtimestamp(made.epoch, UTC).isoformat(),
            "made": made.at,
        }
        return BaseImage(
            role=role,
            name=_name(role, image_id),
            image_id=image_id,
            diff_ids=diff_ids,
            lane="packages",
            provenance=provenance,
            packed=sum(link.layer.packed for link in chain),
            layers=tuple(self._store.layer(diff_id) for diff_id in diff_ids),
            config=config,
        )

    def _config(self, role: str) -> dict[str, object]:
        """The image's "config" object: the settings of the role in bases.toml, which override the settings of the roles
        below it.
        """
        base = self._bases[role]
        below = stands_on(base)
        config: dict[str, object] = {"Env": [f"PATH={PATH}"], "Labels": {LABEL: "base"}}
        if below:
            config = self._config(below)
        options = base.options
        env = dict(str(pair).split("=", 1) for pair in _list(config["Env"]))
        stated = options.get("env", {})
        env.update({name: str(value) for name, value in stated.items()} if isinstance(stated, Mapping) else {})
        config["Env"] = [f"{name}={value}" for name, value in env.items()]
        for name, option in (("User", "user"), ("WorkingDir", "workdir")):
            if option in options:
                config[name] = str(options[option])
        for name, option in (("Entrypoint", "entrypoint"), ("Cmd", "command")):
            if option in options:
                config[name] = [str(word) for word in _list(options[option])]
        return config


def _registry(reference: str) -> str:
    """The host that a reference names; "" if it names none, because then the engine's default registry is asked."""
    host, slash, _ = reference.partition("/")
    return host if slash and (set(host) & {".", ":"} or host == "localhost") else ""


def _name(role: str, digest: str) -> str:
    return f"{IMAGE_PREFIX}base/{role}:{digest.removeprefix('sha256:')[:12]}"


def _split(name: str) -> tuple[str, str]:
    """Repository and tag of a base's name."""
    repository, _, tag = name.rpartition(":")
    return repository, tag


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
