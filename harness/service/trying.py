"""A service in every strategy: a generated catalogue, the job that measures it, and the Dockerfile that is handed out.

The folder of the service is only read. Its own Dockerfile is one more row, `yours`, and the reference of all others.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.catalogue.catalogue import Catalogue
from harness.decision.decide import Decision
from harness.errors import TryFailed, UsageError
from harness.image.context import IGNORE
from harness.image.dockerfile import base_arguments, last_stage_base, stages
from harness.model import App, Base, Cell, Connection, Edit, Exit, Readiness, Request, Strategy
from harness.probes import all_probes, of_groups
from harness.run.images import ONLY_RUNNING
from harness.run.job import Job, Reporter, measure
from harness.service.dockerfiles import dockerfile, ignored, variants_of
from harness.service.found import Folder, OwnService
from harness.service.remedies import diagnosis, remedy
from harness.settings import Settings
from harness.store.documents import newest
from harness.store.run import Run
from harness.text.display import Display

YOURS = "yours"
DOCKERFILE = "Dockerfile"
DOCKERIGNORE = ".dockerignore"
NOTE = "try"
_SOURCES = {"go": ".go", "python": ".py", "node": ".js", "java": ".java", "rust": ".rs"}
_COMMENTS = {".go": "//", ".py": "#", ".js": "//", ".mjs": "//", ".ts": "//", ".java": "//", ".rs": "//"}
_MANIFESTS = {  # a line of a manifest, and what an edit makes of it
    "go.mod": ("module ", "// edit {n}\n"),
    "requirements.txt": ("", "# edit {n}\n"),
    "pyproject.toml": ("[", "# edit {n}\n"),
    "Cargo.toml": ("[package]", "# edit {n}\n"),
    "MANIFEST.MF": ("Main-Class", "Edit: {n}\n"),
}


def app_of(service: OwnService) -> App:
    """The service as an app. Raises UsageError if no file can be edited for the builds after a change."""
    ready: Readiness = Request(service.health) if service.health else Connection() if service.port else Exit()
    source = _source_edit(service)
    return App(
        name=plain_name(service.folder.resolve().name),
        title=service.folder.resolve().name,
        language=service.language,
        path=service.folder,
        port=service.port,
        ready=ready,
        verify=(ready,) if isinstance(ready, Request) else (),
        source_change=source,
        dependency_change=_dependency_edit(service) or source,
        env={"PORT": str(service.port)} if service.reads_port and service.port else {},
        start_timeout=60.0,
    )


def _source_edit(service: OwnService) -> Edit:
    """A comment before a line that a source file has once: a text that was never built before."""
    folder = Folder(service.folder)
    entry = [word for word in service.entry if Path(word).suffix in _COMMENTS and folder.has(word)]
    for name in [*entry, *folder.files(_SOURCES[service.language], *_COMMENTS)]:
        text = folder.text(name) or ""
        for line in text.splitlines():
            plain = line.strip()
            if line == plain and len(plain) > 3 and plain[0].isalpha() and text.count(line) == 1:
                return Edit(file=name, find=line, replace=f"{_COMMENTS[Path(name).suffix]} edit {{n}}\n{line}")
    raise UsageError("no source file was found", where=str(service.folder), fix="Name the folder with the sources.")


def _dependency_edit(service: OwnService) -> Edit | None:
    folder = Folder(service.folder)
    for name, (start, addition) in _MANIFESTS.items():
        text = folder.text(name) or ""
        for line in text.splitlines():
            if line.startswith(start) and line.strip() and not line.startswith((" ", "#")) and text.count(line) == 1:
                return Edit(file=name, find=line, replace=f"{addition}{line}")
    package = re.search(r'^ *"name" *:.*,$', folder.text("package.json") or "", re.MULTILINE)
    if package and service.language == "node":
        return Edit(file="package.json", find=package[0], replace=f'{package[0]}\n  "edit": "{{n}}",')
    model = "</modelVersion>"
    if model in (folder.text("pom.xml") or ""):
        return Edit(file="pom.xml", find=model, replace=f"{model}<!-- edit {{n}} -->")
    return None


def plain_name(text: str) -> str:
    """A valid name of an app that is as near to a text as possible."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "app"


@contextmanager
def generated(catalogue: Catalogue, service: OwnService, only: Sequence[str] = ()) -> Iterator[Catalogue]:
    """A cell of the service for each default strategy of `catalogue`, and one for its own Dockerfile.

    `only` are the names of the strategies to take; without them, all. Raises UsageError for an unknown name.
    """
    known = (YOURS, *(strategy.name for strategy in catalogue.strategies if strategy.default))
    if unknown := [name for name in only if name not in known]:
        raise UsageError(f"{unknown[0]!r} is no strategy", where="--strategies", fix=f"Use {', '.join(known)}.")
    app = app_of(service)
    with tempfile.TemporaryDirectory(prefix="tare-try-") as name:
        folder = Path(name)
        cells = []
        own = service.folder / DOCKERFILE
        if own.is_file() and (not only or YOURS in only):
            cells.append(_yours(catalogue.bases, app, own))
        for strategy in catalogue.strategies:
            template = strategy.path / f"{variants_of(service)}.Dockerfile"
            if not strategy.default or not template.is_file() or (only and strategy.name not in only):
                continue
            text = dockerfile(template.read_text(encoding="utf-8"), service, strategy.name)
            cells.append(_cell(catalogue.bases, app, strategy, folder / f"{strategy.name}.Dockerfile", text))
        if not (service.folder / DOCKERIGNORE).is_file():
            for cell in cells:
                if cell.strategy.name != YOURS:
                    _beside(cell.dockerfile).write_text(ignored(service), encoding="utf-8")
        if not cells:
            what = f"Tare writes no Dockerfiles for a service built by {service.kind} yet, and the folder has none"
            raise UsageError(what, where=str(service.folder), fix="Put a Dockerfile into the folder.")
        strategies = tuple(cell.strategy for cell in cells)
        yield replace(catalogue, apps=(app,), strategies=strategies, cells=tuple(cells), problems=())


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}{IGNORE}")


def _cell(bases: Mapping[str, Base], app: App, strategy: Strategy, path: Path, text: str) -> Cell:
    """A cell with this Dockerfile, which is written to `path`."""
    path.write_text(text, encoding="utf-8")
    roles = {base.argument: base.role for base in bases.values()}
    used = tuple(roles[name] for name in base_arguments(text))
    return Cell(app=app, strategy=strategy, dockerfile=path, bases=used, base=roles.get(last_stage_base(text), ""))


def _yours(bases: Mapping[str, Base], app: App, path: Path) -> Cell:
    """The user's own Dockerfile, as it is; bases stand in for its images if no registry answers."""
    text = path.read_text(encoding="utf-8")
    stand_ins = {}
    for stage in stages(text):
        if role := stand_in(stage.base, bases):
            stand_ins[stage.base] = role
    strategy = Strategy(
        name=YOURS, title="Your Dockerfile", summary="the Dockerfile in the folder", trades="", path=path.parent, rank=0
    )
    return Cell(
        app=app,
        strategy=strategy,
        dockerfile=path,
        bases=tuple(dict.fromkeys(stand_ins.values())),
        base=stand_ins.get(last_stage_base(text), ""),
        stand_ins=stand_ins,
    )


def stand_in(image: str, bases: Mapping[str, Base]) -> str:
    """The role whose upstream is of the same repository as an image, and of the same flavour; "" if none is.

    Alpine images have another C library, so no base stands in for them.
    """
    repository, _, tag = image.partition(":")
    if "alpine" in tag or "$" in image:
        return ""
    wanted = set(tag.split("-"))
    flavours = {"slim", "jdk", "jre"}
    best, most = "", -1
    for role, base in bases.items():
        other, _, known = base.upstream.partition(":")
        of_family = other == repository or repository == f"docker.io/library/{other}"
        if not of_family or (wanted ^ set(known.split("-"))) & flavours:
            continue
        if (common := len(wanted & set(known.split("-")))) > most:
            best, most = role, common
    return best


@dataclass(frozen=True, slots=True)
class Mender:
    """Tries the known remedy of a generated Dockerfile once; says what was missing either way."""

    bases: Mapping[str, Base]
    say: Display

    def __call__(self, cell: Cell, error: TryFailed) -> tuple[Cell, str] | None:
        said = f"{error.reason}\n{error.log}"
        if cell.strategy.name == YOURS:
            if what := diagnosis(said):
                self.say.say(f"{cell.id}: it seems to lack {what}")
            return None
        found = remedy(cell.dockerfile.read_text(encoding="utf-8"), cell.strategy.name, said)
        if found is None:
            if what := diagnosis(said):
                self.say.say(f"{cell.id}: it seems to lack {what}; no remedy is known for this strategy")
            return None
        self.say.say(f"{cell.id}: it lacks {found.missing}; tried once more with it")
        path = cell.dockerfile.with_name(f"remedy-{cell.dockerfile.name}")
        mended = _cell(self.bases, cell.app, cell.strategy, path, found.text)
        if _beside(cell.dockerfile).is_file():
            _beside(path).write_bytes(_beside(cell.dockerfile).read_bytes())
        if set(mended.bases) - set(cell.bases) - {"os-slim"}:
            return None
        return mended, f"it lacked {found.missing}"


def try_service(
    root: Path,
    results: Path,
    catalogue: Catalogue,
    settings: Settings,
    display: Display,
    *,
    service: OwnService,
    budget: float | None,
    blocks: int | None,
    groups: Sequence[str] = (),
    only: Sequence[str] = (),
    resume: Run | None = None,
    reporter: Reporter | None = None,
) -> Path:
    """Build, verify and measure the service in every strategy, within the budget (s); returns the run's folder.

    With `groups`, only the probes with a metric of these groups. Raises UsageError.
    """
    folder = str(service.folder.resolve())
    probes = [probe for probe in all_probes() if service.port or probe.name not in ONLY_RUNNING]
    with generated(catalogue, service, only) as own:
        job = Job(
            root=root,
            results=results,
            catalogue=own,
            cells=own.cells,
            probes=of_groups(probes, groups, "a service"),
            budget=budget,
            blocks=blocks,
            resume=resume,
            note={NOTE: folder, "command": f"tox -e tare -- {NOTE} {shlex.quote(folder)}"},
            reporter=reporter or Reporter(),
            mend=Mender(own.bases, display),
            ready=str(own.apps[0].ready),
        )
        return measure(job, settings, display)


def hand_out(decision: Decision, service: OwnService, folder: Path) -> list[Path]:
    """Write the winning Dockerfile and a .dockerignore into `folder`; returns their paths, none without a winner."""
    choice = next((c for app, c in decision.choices.items() if app), None)
    take = choice.take if choice else None
    if take is None:
        return []
    stored = newest(decision.run.folder, take.id, DOCKERFILE)
    if stored is None:
        return []
    written = [folder / DOCKERFILE, folder / DOCKERIGNORE]
    written[0].write_bytes(stored.read_bytes())
    own = service.folder / DOCKERIGNORE
    written[1].write_bytes(own.read_bytes() if own.is_file() else ignored(service).encode())
    return written
