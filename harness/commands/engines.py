"""`tare engines`: measure two cells on every engine that this machine can have, and write what was measured."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from harness.commands import Group
from harness.commands._kinds import Checked, Text, add_force, add_output
from harness.commands._runs import add_results
from harness.settings import ENGINE_RELEASES, EngineChoice, Settings

HELP = "measure two cells on several engines and show which metrics each engine allows"
GROUP = Group.MAINTAIN
PLACE = 5

CELLS = "go-distroless or python-scratch"
APART = "vm:"  # and a version: that Docker in a network namespace of its own, behind tcp://
ENGINES = (
    *("private:20.10", "private:26.1", "private:28.5", "private:28.5+containerd"),
    *("private:podman-4.3", f"{APART}26.1"),
)


def _parse(text: str) -> EngineChoice:
    """As EngineChoice.parse, also with APART before a version. Raises UsageError."""
    return EngineChoice.parse(f"private:{text.removeprefix(APART)}" if text.startswith(APART) else text)


_ENGINE = Checked(_parse)


def configure(parser: argparse.ArgumentParser) -> None:
    add_results(parser, writes=True)
    parser.add_argument(
        "--engine",
        type=_ENGINE,
        action="append",
        default=[],
        metavar="NAME",
        help=f"an engine; {APART}VERSION is one that is as far away as in a virtual machine"
        f" (default: {', '.join(ENGINES)})",
    )
    parser.add_argument(
        "-k", dest="cells", type=Text(CELLS), default=CELLS, metavar="CELLS", help=f"cells (default: {CELLS})"
    )
    parser.add_argument("-m", dest="metrics", type=Text("size"), metavar="METRICS", help="metrics (default: all)")
    add_output(parser, "--out", help="write the page to this file (default: print it)")
    add_force(parser, "out")


def run(options: argparse.Namespace) -> int:
    from harness.commands._on_each import bench_on_each
    from harness.decision.engines import engine_of
    from harness.host.files import replace_file
    from harness.report.documents import siblings
    from harness.report.engines import render
    from harness.store.run import latest, read_run
    from harness.text.markdown import harmless_markdown

    arguments = ["--results", str(options.results), "--blocks", "1", "-k", options.cells]
    arguments += ["-m", options.metrics] if options.metrics else []
    with _started(options.engine or ENGINES) as names:
        code = bench_on_each(list(names), arguments)
    newest = read_run(latest(options.results))
    runs = sorted((newest, *siblings(newest)), key=lambda run: list(names).index(engine_of(run)))
    text = render(runs, names=names)
    if options.out:
        replace_file(options.out, harmless_markdown(text))
        print(f"written: {options.out}")
    else:
        print(text)
    return code


@contextmanager
def _started(engines: Sequence[str]) -> Iterator[dict[str, str]]:
    """What `--engine` calls each engine, and what the page calls it. Those of `vm:` end with the block.

    Raises UsageError for a version that there is not, and LabError or EngineUnavailable if one cannot be started.
    """
    from harness.engine.programs import Programs
    from harness.host.network import Network
    from harness.host.reaper import Reaper
    from harness.lab.engine_packages import EnginePackages
    from harness.lab.node import far_engine

    names: dict[str, str] = {}
    with ExitStack() as stack:
        for engine in engines:
            if not engine.startswith(APART):
                names[engine] = engine
                continue
            choice = _parse(engine)
            settings = Settings.from_environ()
            programs = Programs(
                folder=EnginePackages(settings.cache).programs(ENGINE_RELEASES[choice.version]).folder,
                store=choice.store,
            )
            reaper = stack.enter_context(Reaper(settings.cache))
            network = stack.enter_context(Network(reaper))
            data = settings.cache / "nodes" / f"far-{secrets.token_hex(4)}"
            names[far_engine(reaper, network, data=data, programs=programs)] = engine
        yield names
