"""The pytest side: selects cells with pytest's own words, measures them in blocks, and replays the recorded durations
through pytest-benchmark.

Loaded by `python -m harness bench` (which is what `tox -e bench` calls). Collecting touches no engine.
"""

from __future__ import annotations

import re
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.catalogue.catalogue import Catalogue
from harness.catalogue.read import read
from harness.commands._bench import add_bench_options
from harness.decision.engines import ENGINE, TOGETHER
from harness.errors import TareError, UsageError
from harness.model import Cell, Status, Try, Unit
from harness.probes import all_probes
from harness.report.documents import write_documents
from harness.report.ending import Ending, tables
from harness.run.job import DEFAULT_BUDGET, Job, measure
from harness.run.plan import parse_budget
from harness.run.workers import PREPARE
from harness.settings import EngineChoice, Settings
from harness.store.run import Run, latest, read_run
from harness.text.display import Display
from harness.tomlfile import suggest

_SILENT = -2  # pytest's verbosity at which it prints no summary of its own
_STATE = pytest.StashKey["BenchmarkSession"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tare", "Tare")
    add_bench_options(group.addoption)


@dataclass(frozen=True)
class Recorded:
    """What one test reports: a metric of a cell, as the run recorded it."""

    cell: Cell
    probe: str
    state: str
    metric: str
    timer: Replay = field(compare=False)
    session: BenchmarkSession = field(compare=False)

    def check(self) -> None:
        """Fail with the recorded reason unless the cell has samples of this metric."""
        run = self.session.run
        assert run is not None
        if (self.cell.id, self.metric) in run.series():
            return
        if reason := run.unmeasured().get(self.metric):
            pytest.skip(f"{self.metric} is not measured, because {reason}")
        pytest.fail(self.session.why(self), pytrace=False)

    def replay(self, benchmark: Any) -> None:
        """Hand the recorded durations to pytest-benchmark, one round a sample."""
        self.check()
        run = self.session.run
        assert run is not None
        values = [float(value) for value in run.series()[self.cell.id, self.metric].value]
        self.timer.load(values)
        benchmark.group = f"{self.cell.app.name} {self.metric}"
        benchmark.name = self.cell.strategy.name
        benchmark.extra_info.update(run=run.id, cell=self.cell.id, metric=self.metric)
        benchmark.pedantic(lambda: None, rounds=len(values), iterations=1)


class Replay:
    """A timer that replays recorded durations: zero before a round, the recorded seconds after it."""

    __name__ = "recorded by Tare"

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def load(self, durations: Sequence[float]) -> None:
        self._times = deque(time for duration in durations for time in (0.0, duration))

    def __call__(self) -> float:
        return self._times.popleft()


class BenchmarkSession:
    """The state of one pytest session: the catalogue, what is selected, and the run as soon as there is one."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.root = Path(config.rootpath)
        self.results = self.root / str(config.getoption("--results"))
        self.probes = all_probes()
        try:
            self.settings = _settings(config.getoption("--engine"))
            self.catalogue: Catalogue = read(self.root)
            self.resume = self._resumed()
        except TareError as error:
            raise pytest.UsageError(str(error)) from error
        self._apps = self._added("--app", [app.name for app in self.catalogue.apps])
        self._strategies = self._added("--strategy", [strategy.name for strategy in self.catalogue.strategies])
        self.run: Run | None = None
        self.ending = Ending()

    def cells(self) -> list[Cell]:
        """Cells that are on: of default strategies, of those added, or of the run that is resumed."""
        if self.resume:
            known = {cell.id for cell in self.resume.manifest.cells}
            return [cell for cell in self.catalogue.cells if cell.id in known]
        return [
            cell
            for cell in self.catalogue.cells
            if (cell.app.default or cell.app.name in self._apps)
            and (cell.strategy.default or cell.strategy.name in self._strategies)
        ]

    def _added(self, option: str, known: Sequence[str]) -> Sequence[str]:
        """The names that an option adds. Raises pytest.UsageError for an unknown name."""
        names: Sequence[str] = self._config.getoption(option)
        for name in names:
            if name not in known:
                raise pytest.UsageError(f"{option}: {name!r} does not exist. Choose from {', '.join(known)}.")
        return names

    def measure(self, items: Sequence[pytest.Item], display: Display) -> None:
        """Measure what the selected items report."""
        recorded = [item.callspec.params["recorded"] for item in items if _is_ours(item)]  # type: ignore[attr-defined]
        cells = {r.cell.id: r.cell for r in recorded}
        wanted = {r.probe for r in recorded}
        probes = [probe for probe in self.probes if {probe.name, probe.beside} & wanted]
        budget, blocks = self._config.getoption("--budget"), self._config.getoption("--blocks")
        word = self._config.getoption("--together")
        self.ending.display = display
        job = Job(
            root=self.root,
            results=self.results,
            catalogue=self.catalogue,
            cells=list(cells.values()),
            probes=probes,
            budget=parse_budget(budget) if budget else DEFAULT_BUDGET if blocks is None else None,
            blocks=blocks,
            seed=self._config.getoption("--seed"),
            resume=self.resume,
            note={TOGETHER: word, ENGINE: self.settings.engine} if word else {},
            first=named_first(self._config.option.keyword, [cell.app.name for cell in cells.values()]),
            reporter=self.ending,
        )
        try:
            measure(job, self.settings, display)
        # whatever the error is, the tables of the samples so far are worth having
        except (KeyboardInterrupt, Exception) as error:
            if self.ending.folder is None:  # nothing could be measured, and there is nothing to show
                raise
            if not isinstance(error, KeyboardInterrupt | TareError):
                traceback.print_exc()
            self.ending.stopped(error)
        assert self.ending.folder is not None
        self.run = self.ending.read(self.ending.folder).run

    def reached(self, item: pytest.Item) -> bool:
        """Whether the run has measured what the item reports, or knows why not."""
        assert self.run is not None
        recorded = item.callspec.params["recorded"]  # type: ignore[attr-defined]
        cell, probe = recorded.cell.id, recorded.probe
        return probe not in self.ending.missed(recorded.cell.app.name) or any(t.cell == cell for t in self.run.failures)

    def why(self, recorded: Recorded) -> str:
        """Why a cell has no samples of a metric."""
        assert self.run is not None
        failed = [t for t in self.run.failures if t.cell == recorded.cell.id]
        for try_ in (*(t for t in failed if t.probe == recorded.probe), *(t for t in failed if t.probe == PREPARE)):
            return _reason(try_)
        return f"{recorded.metric} was not measured"

    def _resumed(self) -> Run | None:
        name = self._config.getoption("--resume")
        if not name:
            return None
        folder = latest(self.results) if name == "latest" else self.results / name
        run = read_run(folder)
        if not run.manifest.cells:
            raise UsageError("the run has no cells", where=str(folder))
        return run


def _settings(engines: Sequence[str]) -> Settings:
    """What the environment says, with the engine that was asked for. Raises UsageError."""
    settings = Settings.from_environ()
    if len(engines) > 1:
        raise UsageError("one run has one engine", where="--engine", fix="Call `tare bench` to measure on several.")
    return replace(settings, engine=str(EngineChoice.parse(engines[0], where="--engine"))) if engines else settings


def named_first(keyword: str, apps: Sequence[str]) -> list[str]:
    """The apps that a -k expression names, in its order."""
    words = re.findall(r"[\w-]+", keyword or "")
    return list(dict.fromkeys(word for word in words if word in apps))


def _reason(try_: Try) -> str:
    text = f"{try_.cell}: {try_.probe} {try_.state}: {try_.status}: {try_.reason}"
    return f"{text}\n{try_.log}" if try_.log and try_.status is not Status.OK else text


def _is_ours(item: pytest.Item) -> bool:
    return "recorded" in getattr(getattr(item, "callspec", None), "params", {})


def pytest_configure(config: pytest.Config) -> None:
    groups = sorted({metric.group for probe in all_probes() for metric in probe.metrics})
    for name in groups:
        config.addinivalue_line("markers", f"{name}: the metrics {name}.…")
    for word in re.findall(r"\w[\w.-]*", config.option.markexpr):
        if word not in ("and", "or", "not", *groups):
            raise pytest.UsageError(f"-m: no metrics are called {word!r}. {suggest(word, groups, 'Choose from')}")
    # a cell without samples fails before it can use the fixture, which needs no error of its own
    config.addinivalue_line("filterwarnings", "ignore:Benchmark fixture was not used at all")
    config.stash[_STATE] = BenchmarkSession(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per cell and reported metric: durations if it asks for `benchmark`, other metrics if it does not."""
    if "recorded" not in metafunc.fixturenames:
        return
    session = metafunc.config.stash[_STATE]
    durations = "benchmark" in metafunc.fixturenames
    parameters = []
    for cell in session.cells():
        for probe in session.probes:
            metrics = {metric.name: metric for metric in probe.metrics}
            for state, metric in probe.reports.items():
                if (metrics[metric].unit is Unit.SECONDS) == durations:
                    timer = Replay()
                    recorded = Recorded(cell, probe.name, state, metric, timer, session)
                    name = f"{cell.id}-{probe.name}" + (f"-{state}" if len(probe.reports) > 1 else "")
                    marks = [getattr(pytest.mark, metrics[metric].group), pytest.mark.benchmark(timer=timer)]
                    if why := cell.strategy.fails:  # strict: if the cell works after all, the test fails
                        marks.append(pytest.mark.xfail(reason=why, strict=True))
                    parameters.append(pytest.param(recorded, id=name, marks=marks))
    metafunc.parametrize("recorded", parameters)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Report what is wrong in apps/ and variants/: it may be why a cell that somebody looks for is missing."""
    display = Display()
    for problem in session.config.stash[_STATE].catalogue.problems:
        display.say(str(problem))
    display.close()
    asked = {"-k": session.config.option.keyword, "-m": session.config.option.markexpr}
    if not session.items and any(asked.values()):
        words = " ".join(f"{option} {text!r}" for option, text in asked.items() if text)
        raise pytest.UsageError(
            f"{words}: nothing has these names. `tox -e bench -- --co` lists all cells and metrics."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Measure everything that is selected, then let the tests report it."""
    config = session.config
    ours = [item for item in session.items if _is_ours(item)]
    if ours and not config.option.collectonly and not session.testsfailed:
        state = config.stash[_STATE]
        capture = config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            display = Display()
            try:
                state.measure(ours, display)
            except TareError as error:
                raise pytest.UsageError(str(error)) from error
            finally:
                display.close()
        if state.ending.is_early:
            session.items.clear()  # the tables show what was measured
            config.option.verbose = _SILENT
        else:
            session.items[:] = [item for item in session.items if not _is_ours(item) or state.reached(item)]
    return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    state = session.config.stash.get(_STATE, None)
    if state and state.ending.exit_code is not None:
        session.exitstatus = state.ending.exit_code


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last lines on the terminal: the tables, what was not reached, and how to go on."""
    state = config.stash.get(_STATE, None)
    if state is None or state.run is None:
        return
    analysis = state.ending.read(state.run.folder)
    print("\n" + tables(analysis).rstrip("\n"))
    for path in write_documents(analysis.run.folder, analysis):
        print(f"written: {path}")
    print("\n".join(state.ending.lines(analysis.run)), flush=True)
