"""The packages lane's work: recipes of bases.toml become stored layers, two at a time, and lower layers first.

A result is found again by its key: the hash of everything it depends on but the packages' versions. The versions are in
its lock file and change only if a refresh is requested, so a base that was made once needs no network.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from pathlib import Path

from harness.errors import BaseUnavailable, LabError
from harness.image import archive
from harness.image.archive import FileIdentity
from harness.lab.apt.root import Apt, Isolated
from harness.lab.bases import bootstrap, distroless
from harness.lab.bases.files import Made, Store
from harness.lab.upload import Packed, pack_layer
from harness.model import Base

Result = Made | BaseUnavailable

_RECIPES = 1  # raise it if the code of a recipe gives other bytes: bases that were made before are then made anew
_WORKERS = 2
_ROOT_OPTIONS = ("links", "pick", "ldconfig", "truststore")  # options that change files; the others are configuration
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # Debian and OCI call these the same


def architecture() -> str:
    """This machine's architecture, as OCI names it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def stands_on(base: Base) -> str:
    """The role whose layers come below; "" for none."""
    return base.parent or str(base.options.get("on", ""))


def layers(role: str, bases: Mapping[str, Base], results: Mapping[str, Result]) -> list[Made]:
    """The role's layers, lowest first; all must have been made."""
    chain: list[Made] = []
    while role:
        made = results[role]
        assert isinstance(made, Made)
        chain.insert(0, made)
        role = stands_on(bases[role])
    return chain


class Maker:
    """Finds or makes the layers of roles and of the roles below them."""

    def __init__(
        self,
        bases: Mapping[str, Base],
        release: str,
        store: Store,
        debs: Path,
        announce: Callable[[str], None],
        *,
        packs: bool = False,
    ) -> None:
        """`packs`: a layer is compressed as soon as it is made, while what stands on it is being made."""
        self._packs = packs
        self._bases = bases
        self._release = release
        self._store = store
        self._debs = debs
        self._announce = announce

    def results(self, roles: Iterable[str], *, refresh: bool = False) -> dict[str, Result]:
        """By role: what was made, or why it cannot be made; includes the roles that these roles need."""
        needs = self._needs(roles)
        results = {} if refresh else self._found(needs)
        if len(results) == len(needs):
            return results
        try:
            self._prepare()
            with self._store.locked(waiting=lambda: self._announce("bases: waiting for another Tare that makes them")):
                results = {} if refresh else self._found(needs)
                self._make(needs, results)
        except LabError as error:
            for role in needs:
                results.setdefault(role, _unavailable(role, error))
        return results

    def _needs(self, roles: Iterable[str]) -> dict[str, set[str]]:
        """By role: the other roles that it is made from, including the roles that those are made from."""
        needs: dict[str, set[str]] = {}
        waiting = list(roles)
        while waiting:
            role = waiting.pop(0)
            base = self._bases[role]
            needs[role] = {other for other in (stands_on(base), str(base.options.get("of", ""))) if other}
            for unknown in needs[role] - self._bases.keys():
                raise LabError(f"{unknown} is not a base", where=f"base {role}", fix="Correct variants/bases.toml.")
            waiting += needs[role] - needs.keys()
        return needs

    def _found(self, needs: Mapping[str, set[str]]) -> dict[str, Result]:
        found: dict[str, Result] = {}
        for role in TopologicalSorter(needs).static_order():
            if needs[role] <= found.keys() and (made := self._store.find(self._key(role, needs[role], found))):
                found[role] = made
        return found

    def _key(self, role: str, needs: Iterable[str], results: Mapping[str, Result]) -> str:
        base = self._bases[role]
        document = {
            "recipes": _RECIPES,
            "release": self._release,
            "architecture": architecture(),
            "recipe": base.recipe,
            "packages": sorted(base.packages),
            "options": {name: base.options[name] for name in _ROOT_OPTIONS if name in base.options},
            "needs": [made.layer.diff_id for need in sorted(needs) for made in layers(need, self._bases, results)],
        }
        return f"{base.named}-{hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]}"

    def _prepare(self) -> None:
        if os.geteuid() != 0:
            raise LabError(
                "making bases from packages needs root",
                where="bases",
                fix="Run as root, or use TARE_LANE=upstream with a registry that this machine can reach.",
            )
        if not shutil.which("mmdebstrap"):
            from harness.host import packages  # only a machine without the tool needs the installer

            packages.ensure({"mmdebstrap": "mmdebstrap"}, announce=self._announce)
        self._debs.mkdir(parents=True, exist_ok=True)

    def _make(self, needs: Mapping[str, set[str]], results: dict[str, Result]) -> None:
        """Make what `results` lacks and add it. Call with the store's lock held."""
        isolated = Isolated()
        order = TopologicalSorter(needs)
        order.prepare()
        running: dict[Future[Result], str] = {}
        packing: list[Future[Packed]] = []
        with self._store.bench() as bench:
            apt = Apt(bench / "apt", self._debs, release=self._release, architecture=architecture(), isolated=isolated)
            with ThreadPoolExecutor(_WORKERS) as pool:
                try:
                    while order.is_active():
                        for role in order.get_ready():
                            known = dict(results)  # by now it has everything that the role needs
                            running[pool.submit(self._one, role, needs[role], known, apt, bench)] = role
                        for future in wait(running, return_when=FIRST_COMPLETED).done:
                            role = running.pop(future)
                            results[role] = made = future.result()
                            order.done(role)
                            # the last layer is compressed where it is loaded, beside the work that needs other bases
                            if self._packs and isinstance(made, Made) and order.is_active():
                                layer = self._store.layer(made.layer.diff_id)
                                packing.append(pool.submit(pack_layer, layer, self._store.packed(layer)))
                    wait(packing)  # a layer that could not be compressed fails where it is uploaded
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    isolated.stop()
                    raise

    def _one(self, role: str, needs: set[str], results: Mapping[str, Result], apt: Apt, bench: Path) -> Result:
        if role in results:
            return results[role]
        for need in sorted(needs):
            if isinstance(failed := results[need], BaseUnavailable):
                return _unavailable(role, failed)
        started = time.monotonic()
        work = bench / role
        try:
            work.mkdir()
            made = self._bootstrap(role, self._key(role, needs, results), results, apt, work)
        except (BaseUnavailable, subprocess.CalledProcessError, OSError) as error:
            failed = _unavailable(role, error)
            self._announce(str(failed))
            return failed
        finally:
            shutil.rmtree(work, ignore_errors=True)
        seconds, packed = time.monotonic() - started, made.layer.packed
        self._announce(f"base {role}: bootstrapped in {seconds:.0f} s, {packed / 1e6:.1f} MB packed")
        return made

    def _bootstrap(self, role: str, key: str, results: Mapping[str, Result], apt: Apt, work: Path) -> Made:
        base, root, since = self._bases[role], work / "root", time.time()
        original = str(base.options.get("of", ""))
        stack = layers(original or stands_on(base), self._bases, results)
        before: Mapping[str, FileIdentity] = {}
        if base.recipe == "full":
            packages = bootstrap.full(root, apt, base.packages, work / "stage")
        else:
            root.mkdir()
            archive.unpack([self._store.layer(made.layer.diff_id) for made in stack], root)
        if base.recipe == "layer":
            before = archive.snapshot(root)
            packages = bootstrap.install(root, apt, base.packages, work / "stage")
        elif base.recipe == "distroless":
            before = archive.snapshot(root)
            packages = distroless.make(root, apt, base.packages, work, options=base.options, bottom=not stack)
        if base.recipe == "slim":  # it is made from its original alone, so it needs no package lists
            bootstrap.slim(root)
            epoch, lock = stack[-1].epoch, json.loads(self._store.lock(stack[-1].key).read_bytes())
        else:
            epoch = apt.epoch
            lock = {"dates": apt.dates, "sources": apt.origins, "packages": bootstrap.locked(packages, apt.debs)}
        tar = work / "layer.tar"
        layer = archive.write_layer(root, tar, before=before, epoch=epoch, since=since)
        return self._store.put(key, layer, tar, epoch=epoch, lock=lock)


def _unavailable(role: str, error: Exception) -> BaseUnavailable:
    """The same reason, for `role`."""
    if isinstance(error, LabError):
        what = error.what if error.where in ("", "bases") else f"{error.where}: {error.what}"
        return BaseUnavailable(what, where=f"base {role}", fix=error.fix)
    if isinstance(error, subprocess.CalledProcessError):
        output = error.stderr.decode(errors="replace").strip() if isinstance(error.stderr, bytes) else ""
        return BaseUnavailable(f"{error.cmd[0]} failed: {output[-300:]}", where=f"base {role}")
    return BaseUnavailable(str(error), where=f"base {role}")
