"""report.html: one file that works offline, from disk, on a phone, printed, dark and light.

Charts are drawn in the page by Observable Plot on D3 (both ISC, in assets/vendor with their licences, 0.5 MB). Chosen
over Plotly (4 MB), Bokeh (1 MB, canvas) and ECharts (1 MB, no colours from the style sheet): it draws SVG whose colours
are CSS variables, so that themes and print need no second drawing, and every mark may be a link. Tables are written
here, so that the page says what it says without a script too; what needs one is in assets/.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import cast

import orjson

from harness.calibration import HEADERS, effects, newest, rows, sentence
from harness.claims import Answer, Judged
from harness.model import Metric, Unit
from harness.report.decision import Decision
from harness.report.doubts import STALE_DAYS, blocks, when
from harness.report.figures import Figure, Scale, apps, interval_text, matrix, ratio_text, scale
from harness.report.pagedata import Json, page_data
from harness.report.ranking import Choice, Confidence
from harness.report.table import contents_text
from harness.report.verdicts import MEANING, WORD, Gain, gain, robust, sureness, traits
from harness.statistics import PRACTICAL, Verdict
from harness.store import CellInfo, Run, read_run

_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "scenarios.js", "charts.js", "page.js")
_SECTIONS = {
    "verdict": "Verdict",
    "matrix": "Matrix",
    "apps": "Apps",
    "pareto": "Size and speed",
    "scenarios": "Scenarios",
    "weigh": "Weights",
    "compare": "Compare",
    "inside": "Inside",
    "claims": "Claims",
    "environment": "Environment",
    "samples": "Samples",
}
_MOST_FINDINGS = 40  # of a reading of a claim
_TONE = {
    Answer.CONFIRMED: "decided",
    Answer.REFUTED: "leaning",
    Answer.UNDECIDED: "tie",
    Answer.DEPENDS: "tie",
}
_BADGE = {Confidence.TIE: "tie"}  # class names; the others are their own


def render(decision: Decision) -> str:
    """The whole page."""
    data = page_data(decision)
    cast(Json, data["run"])["stale_days"] = STALE_DAYS
    page = _Page(decision)
    sections = [page.verdict(), page.matrix(), page.apps(), _PARETO, _SCENARIOS, page.weigh(), _COMPARE]
    sections += [page.inside(), page.claims(), page.environment(), _SAMPLES]
    embedded = orjson.dumps(data).decode().replace("<", "\\u003c")
    nav = "".join(f'<a href="#{name}">{title}</a>' for name, title in _SECTIONS.items() if page.has(name))
    scripts = "".join(f"<script>{_asset(name)}</script>" for name in _SCRIPTS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Which image strategy to take: run {_h(decision.run.id)}</title>
<link rel="icon" href="data:,">
<style>{_asset("page.css")}</style>
</head>
<body>
<a class="skip" href="#verdict">To the verdict</a>
<nav aria-label="Sections"><div>{nav}<span class="tools"><button id="theme" type="button">Theme</button>
<button id="print" type="button">Print</button></span></div></nav>
<header><div>{page.title()}</div></header>
<main>{"".join(sections)}</main>
<footer>Written by Tare from run {_h(decision.run.id)}. Nothing in this page is fetched from anywhere.</footer>
<script type="application/json" id="data">{embedded}</script>
{scripts}
</body>
</html>
"""


def _asset(name: str) -> str:
    return files("harness.report").joinpath("assets", *name.split("/")).read_text(encoding="utf-8")


def _h(text: object) -> str:
    return html.escape(str(text), quote=True)


class _Page:
    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.run: Run = decision.run
        self.apps_ = apps(decision.run)
        self.strategies = list(
            dict.fromkeys(cell.strategy for cell in sorted(self.run.manifest.cells, key=lambda cell: cell.rank))
        )

    def has(self, section: str) -> bool:
        return section != "claims" or bool(self.claims())

    def colour(self, strategy: str) -> str:
        return f"--c:var(--s{self.strategies.index(strategy) % 7})"

    def title(self) -> str:
        manifest = self.run.manifest
        counts = blocks(self.run).values()
        low, high = min(counts, default=0), max(counts, default=0)
        span = f"{high}" if low == high else f"{low} to {high}"
        many = f"{span} block{'s' * (high != 1)}" if high else "no durations"
        return f"""<h1>Which image strategy to take</h1>
<p class="soft">{matrix(self.run)} on a real engine, {many},
{_h(when(manifest.started))}. Run <a href="#environment">{_h(self.run.id)}</a>, environment
<a href="#environment">{_h(manifest.environment.fingerprint)}</a>.</p><div id="banners">{self._banners()}</div>"""

    def _banners(self) -> str:
        parts = []
        for doubt in self.decision.doubts:
            word = f"No conclusion: {doubt.kind}." if doubt.withholds else f"{doubt.kind.capitalize()}."
            parts.append(
                f'<div class="banner" role="alert" data-kind="{_h(doubt.kind)}"><p><b>{_h(word)}</b>'
                f" {_h(doubt.text)}</p></div>"
            )
        return "".join(parts)

    # verdict

    def verdict(self) -> str:
        cards = [self._card(app, choice) for app, choice in self.decision.choices.items() if app]
        whole = self.decision.choices.get("")
        used = [item for item in Confidence if item in {choice.confidence for choice in self.decision.choices.values()}]
        words = " ".join(f"<b>{_h(WORD[item])}</b>: {_h(MEANING[item])}." for item in used)
        asked = "; ".join(item.text for item in self.decision.constraints)
        constraints = f"<p>Constraints: {_h(asked)}.</p>" if asked else ""
        return f"""<section id="verdict"><h2>Verdict</h2>{constraints}
<div class="cards">{"".join(cards)}{self._all(whole) if whole else ""}</div><p class="note">{words}</p></section>"""

    def _card(self, app: str, choice: Choice) -> str:
        gains = [self._gain(found) for name in self._headline_names() if (found := self._found(choice, name))]
        cells = self.apps_[app]
        return f"""<article class="card" aria-label="{_h(app)}"><header><span class="app">{_h(app)}<small>
{_h(cells[0].app_title)}</small></span>{_badge(choice)}</header>{self._take(choice)}{"".join(gains)}
{self._traits(choice)}<p class="sure">{_h(sureness(choice))} <a href="#app-{_h(app)}">Why</a></p></article>"""

    def _take(self, choice: Choice) -> str:
        if choice.take is None:
            return '<div class="take">no recommendation</div>'
        name = choice.take.strategy
        words = {Confidence.WITHHELD: "is ahead", Confidence.LEANING: "leads so far"}.get(choice.confidence, "")
        if choice.confidence is Confidence.TIE and choice.rival:
            words = f"or {choice.rival.strategy}"
        small = f"<small>{_h(words)}</small>" if words else ""
        return f'<div class="take" style="{self.colour(name)}"><span class="swatch"></span>{_h(name)}{small}</div>'

    def _traits(self, choice: Choice) -> str:
        words = traits(self.run, choice.take) if choice.take else []
        return f'<p class="traits">{_h(" · ".join(words))}</p>' if words else ""

    def _headline_names(self) -> list[str]:
        measured = {name for _, name in self.run.series()}
        wanted = [criterion for criterion in self.decision.criteria if criterion.name in ("size", "deploy")]
        wanted.sort(key=lambda criterion: criterion.name, reverse=True)
        return [name for item in wanted if (name := next((n for n in item.metrics if n in measured), ""))]

    def _found(self, choice: Choice, name: str) -> Gain | None:
        return gain(self.run, self.decision.shown, choice, name)

    def _gain(self, found: Gain) -> str:
        mine, other = (self._median(cell, found.metric) for cell in (found.cell, found.reference))
        top = max(mine, other) or 1.0
        interval = f" [{found.interval}]" if found.interval and found.sure else ""
        doubt = "" if found.sure else " (not yet sure)"
        what = {"B": "to fetch", "s": "first deploy"}.get(found.metric.unit.value, found.metric.name)
        rows = []
        pairs = [(found.reference, other, found.before), (found.cell, mine, found.value)]
        for cell, value, text in pairs if found.cell.id != found.reference.id else pairs[1:]:
            rows.append(
                f'<span class="name">{_h(cell.strategy)}</span><span class="track">'
                f'<span class="bar" style="{self.colour(cell.strategy)};--w:{100 * value / top:.2f}%"></span></span>'
                f'<a href="{_anchor(cell, found.metric)}">{_h(text)}</a>'
            )
        return (
            f'<div class="gain"><span><b>{_h(found.times)}</b>{_h(interval + doubt)}</span>'
            f'<span class="what">{_h(what)}</span><div class="pair">{"".join(rows)}</div></div>'
        )

    def _median(self, cell: CellInfo, metric: Metric) -> float:
        figure = self.decision.shown[cell.id, metric.name]
        return figure.summary.median if figure.summary else 0.0

    def _all(self, choice: Choice) -> str:
        if choice.take is None:
            words = "; ".join(choice.reasons)
            head = '<header><span class="app">One strategy for all apps</span></header>'
            return f'<article class="card all">{head}{_h(words)}</article>'
        return f"""<article class="card all" aria-label="all apps"><header><span class="app">One strategy for all apps
</span>{_badge(choice)}</header>{self._take(choice)}<p class="sure">{_h(sureness(choice))} {_h(robust(choice))}</p>
</article>"""

    # matrix

    def matrix(self) -> str:
        metrics = self._weighed()
        head = "".join(f'<th scope="col"><button type="button">{_h(metric.name)}</button></th>' for metric in metrics)
        options = "".join(f"<option>{_h(app)}</option>" for app in self.apps_)
        rows = []
        for app, cells in self.apps_.items():
            choice = self.decision.choices[app]
            scores = {option.cell.id: option for option in choice.options}
            measures = self._measures(cells, metrics)
            for index, cell in enumerate(cells):
                option = scores.get(cell.id)
                chosen = choice.take is not None and choice.take.id == cell.id
                mark = " ★" if chosen and choice.confidence is not Confidence.WITHHELD else ""
                score = option.score if option and not option.out else None
                classes = " ".join(filter(None, ("first" if not index else "", "chosen" if chosen else "")))
                texts = "".join(self._cell(cell, cells, metric, measures[metric.name]) for metric in metrics)
                shown = f"{score:.2f}×" if score is not None else "out" if option and option.out else "–"
                why = f' title="{_h(option.out)}"' if option and option.out else ""
                rows.append(
                    f'<tr class="{classes}" data-app="{_h(app)}"><th scope="row" style="{self.colour(cell.strategy)}">'
                    f'<span class="swatch"></span> {_h(cell.id)}{mark}</th>'
                    f'<td data-v="{"" if score is None else score}"{why}>{shown}</td>{texts}</tr>'
                )
        return f"""<section id="matrix"><h2>The matrix at a glance</h2>
<p class="soft">★ is what to take. The score is the weighted mean of all ratios to the app's first strategy. Bars are
relative to the largest of the app. Sort by any column; every figure leads to its samples.</p>
<p class="row screen"><label>Only app <select id="only"><option value="">all</option>{options}</select></label></p>
<div class="scroll"><table id="matrix-table"><thead><tr><th scope="col"><button type="button">cell</button></th>
<th scope="col"><button type="button">score</button></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>
</section>"""

    def _weighed(self) -> list[Metric]:
        measured = {name for _, name in self.run.series()}
        names = [next((n for n in item.metrics if n in measured), "") for item in self.decision.criteria]
        known = {metric.name: metric for metric in self.decision.metrics}
        return [known[name] for name in dict.fromkeys(names) if name in known]

    def _measures(self, cells: Sequence[CellInfo], metrics: Iterable[Metric]) -> dict[str, Scale]:
        return {
            metric.name: scale(
                metric,
                [
                    figure.summary.median
                    for cell in cells
                    if (figure := self.decision.shown[cell.id, metric.name]).summary
                ],
            )
            for metric in metrics
        }

    def _cell(self, cell: CellInfo, cells: Sequence[CellInfo], metric: Metric, measure: Scale) -> str:
        figure = self.decision.shown[cell.id, metric.name]
        if figure.summary is None:
            status = figure.failures[0].status.value if figure.failures else "–"
            reason = f' title="{_h(figure.failures[0].reason)}"' if figure.failures else ""
            return f'<td data-v=""{reason}>{_h(status)}</td>'
        top = max(self._median(other, metric) for other in cells) or 1.0
        value = figure.summary.median
        unit = "" if measure.unit in ("count", "yes/no") else f" {measure.unit}"
        return (
            f'<td class="bar" style="--w:{100 * value / top:.1f}%" data-v="{value:.9g}">'
            f'<a href="{_anchor(cell, metric)}">'
            f"{_h(measure.text(value))}{_h(unit)}</a>{_times(figure)}</td>"
        )

    # apps

    def apps(self) -> str:
        parts = [self._app(app, cells, first=not index) for index, (app, cells) in enumerate(self.apps_.items())]
        return f'<section id="apps"><h2>App by app</h2>{"".join(parts)}</section>'

    def _app(self, app: str, cells: Sequence[CellInfo], *, first: bool) -> str:
        choice = self.decision.choices[app]
        outs = "; ".join(f"{option.cell.strategy} ({option.out})" for option in choice.options if option.out)
        dropped = "; ".join(f"{name}: {why}" for name, why in choice.dropped.items())
        notes = [sureness(choice), robust(choice)]
        notes += [f"Not a candidate: {outs}."] if outs else []
        notes += [f"Not counted: {dropped}."] if dropped else []
        notes.append(contents_text(cells))
        take = f"{WORD[choice.confidence]}: {choice.take.strategy}" if choice.take else WORD[choice.confidence]
        paragraphs = "".join(f"<p>{_h(text)}</p>" for text in notes if text)
        return f"""<details class="app" id="app-{_h(app)}" data-app="{_h(app)}"{" open" if first else ""}>
<summary>{_h(app)} <small>{_h(cells[0].app_title)}</small> <small>{_h(take)}</small></summary>
<div>{paragraphs}{self._table(cells)}<div class="drawn"></div></div></details>"""

    def _table(self, cells: Sequence[CellInfo]) -> str:
        metrics = [
            metric
            for metric in self.decision.metrics
            if metric.unit is not Unit.RATIO
            and any(self.decision.shown[cell.id, metric.name].summary for cell in cells)
        ]
        measures = self._measures(cells, metrics)
        head = "".join(f'<th scope="col">{_h(cell.strategy)}</th>' for cell in cells)
        rows = []
        for metric in metrics:
            measure = measures[metric.name]
            unit = "" if measure.unit in ("count", "yes/no") else f", {measure.unit}"
            texts = "".join(self._full(cell, metric, measure) for cell in cells)
            rows.append(f'<tr><th scope="row" title="{_h(metric.help)}">{_h(metric.name)}{_h(unit)}</th>{texts}</tr>')
        return f"""<div class="scroll"><table><caption>Medians with 95 % intervals; × is the ratio to the first
strategy, paired by block; ≈ no practical difference (within {PRACTICAL:.0%}), ? undecided</caption><thead><tr>
<th scope="col">metric</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>"""

    def _full(self, cell: CellInfo, metric: Metric, measure: Scale) -> str:
        figure = self.decision.shown[cell.id, metric.name]
        if figure.summary is None:
            return f"<td>{_h(figure.failures[0].status.value if figure.failures else '–')}</td>"
        interval = interval_text(figure.summary, measure)
        ci = f' <span class="ci">{_h(interval)}</span>' if interval else ""
        return (
            f'<td><a href="{_anchor(cell, metric)}">{_h(measure.text(figure.summary.median))}</a>{ci}'
            f"{_times(figure)}</td>"
        )

    # the rest

    def weigh(self) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{_h(item.name)}</th><td>{item.weight:g}</td><td class='text'>"
            f"{_h(self._stands_for(item.metrics))}</td><td class='wrap'>{_h(item.meaning)}</td></tr>"
            for item in self.decision.criteria
        )
        return f"""<section id="weigh"><h2>If you weigh otherwise</h2>
<p class="soft">The ranking rests on these weights. Move them, and set constraints, to see which strategy comes first
then; <code>tare report --weight deploy=5 --need shell</code> writes the documents so.</p>
<div class="scroll"><table><thead><tr><th scope="col">criterion</th><th scope="col">weight</th>
<th scope="col" class="text">metric</th><th scope="col" class="text">meaning</th></tr></thead><tbody>{rows}</tbody>
</table></div><div class="controls screen" id="weights"></div>
<p class="row screen"><button type="button" id="weights-reset">As given</button></p>
<div id="weights-outcome" aria-live="polite"></div></section>"""

    def _stands_for(self, names: Iterable[str]) -> str:
        measured = {name for _, name in self.run.series()}
        return next((name for name in names if name in measured), "not measured")

    def inside(self) -> str:
        """What is in an image beside its size: the surface, intruder and harden probes, where they ran."""
        series = self.run.series()
        metrics = [
            metric
            for metric in self.run.manifest.metrics
            if metric.probe in ("surface", "intruder", "harden")
            and any((cell.id, metric.name) in series for cell in self.run.manifest.cells)
        ]
        if not metrics:
            return (
                '<section id="inside"><h2>What is inside</h2><p class="wait">The surface of the images was not measured'
                " in this run.</p></section>"
            )
        head = "".join(
            f'<th scope="col" title="{_h(metric.help)}"><button type="button">{_h(metric.name)}</button></th>'
            for metric in metrics
        )
        rows = []
        for cell in self.run.manifest.cells:
            texts = []
            for metric in metrics:
                found = series.get((cell.id, metric.name))
                value = None if found is None else float(found.value[-1])
                text = (
                    "–"
                    if value is None
                    else ("yes" if value else "no")
                    if metric.unit is Unit.BOOLEAN
                    else f"{value:g}"
                )
                texts.append(
                    f'<td data-v="{"" if value is None else value}"><a href="{_anchor(cell, metric)}">{text}</a></td>'
                )
            rows.append(
                f'<tr><th scope="row" style="{self.colour(cell.strategy)}"><span class="swatch"></span> {_h(cell.id)}'
                f"</th>{''.join(texts)}</tr>"
            )
        return f"""<section id="inside"><h2>What is inside</h2><p class="soft">Counts from the images' own layers;
<b>intruder</b>: yes where the command ran; <b>harden</b>: yes where the app still works.</p><div class="scroll">
<table><thead><tr><th scope="col"><button type="button">cell</button></th>{head}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div></section>"""

    def claims(self) -> str:
        if not self.decision.claims:
            return ""
        parts = []
        for each in self.decision.claims:
            readings = "".join(self._reading(judged) for judged in each.readings)
            note = f"<p class='note'>{_h(each.claim.note)}</p>" if each.claim.note else ""
            parts.append(
                f'<details class="app claim"><summary><span class="badge {_TONE[each.answer]}">{_h(each.answer)}</span>'
                f"{_h(each.claim.says)}</summary><div>{note}{readings}</div></details>"
            )
        counts = {answer: sum(each.answer is answer for each in self.decision.claims) for answer in Answer}
        total = ", ".join(f"{count} {answer}" for answer, count in counts.items() if count)
        return f"""<section id="claims"><h2>What people say</h2><p class="soft">{len(self.decision.claims)} claims held
against this run: {_h(total)}. <code>tare claims</code> tells the same.</p>{"".join(parts)}</section>"""

    def _reading(self, judged: Judged) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{_h(found.unit)}</th><td class='text'>{_h(found.answer)}</td>"
            f"<td class='wrap'>{_h(found.numbers)}</td></tr>"
            for found in judged.findings[:_MOST_FINDINGS]
        )
        more = len(judged.findings) - _MOST_FINDINGS
        rest = f"<p class='note'>and {more} more</p>" if more > 0 else ""
        reading = judged.reading
        about = f"{reading.metric + ': ' if reading.metric else ''}{reading.test.words}"
        table = f"<div class='scroll'><table><tbody>{rows}</tbody></table></div>{rest}" if rows else ""
        wanted = f"<p class='note'>Not measured here{_h(f': {reading.decide}' if reading.decide else '')}.</p>"
        return f"<h3>{_h(reading.title)}: {_h(judged.answer)}</h3><p class='note'>{_h(about)}</p>{table or wanted}"

    def environment(self) -> str:
        manifest = self.run.manifest
        facts = {**manifest.environment.facts, **manifest.environment.notes}
        items = "".join(f"<div><dt>{_h(key)}</dt><dd>{_h(value)}</dd></div>" for key, value in facts.items())
        versions = "".join(f"<div><dt>{_h(k)}</dt><dd>{_h(v)}</dd></div>" for k, v in manifest.versions.items())
        samples = sum(series.value.size for series in self.run.series().values())
        git = f", git {manifest.git[:12]}" if manifest.git else ""
        rows = "".join(
            f"<div><dt>session {item.number + 1}</dt>"
            f"<dd>{_h(when(item.started))}, {_h(item.outcome or 'unfinished')}</dd></div>"
            for item in self.run.sessions
        )
        failures = "".join(
            f"<tr><th scope='row'>{_h(item.cell or 'engine')}</th>"
            f"<td class='text'>{_h(item.probe)} {_h(item.state)}</td>"
            f"<td>{item.block}</td><td>{item.order}</td><td class='text'>{_h(item.status)}</td>"
            f"<td class='wrap'>{_h(item.reason)}</td></tr>"
            for item in self.run.failures[:200]
        )
        table = (
            f"""<h3>Failed tries</h3><div class="scroll"><table><thead><tr><th>cell</th><th class="text">probe</th>
<th>block</th><th>order</th><th class="text">status</th><th class="text">reason</th></tr></thead>
<tbody>{failures}</tbody></table></div>"""
            if failures
            else ""
        )
        return f"""<section id="environment"><h2>Where and with what</h2>
<p class="soft">{samples} samples and {len(self.run.failures)} failed tries in samples.jsonl of run {_h(self.run.id)},
environment {_h(manifest.environment.fingerprint)}, seed {manifest.seed}{_h(git)}.</p>
<dl class="facts">{items}</dl><h3>Calibration</h3>{self.calibration()}<h3>Versions and sessions</h3>
<dl class="facts">{versions}{rows}</dl>{table}</section>"""

    def calibration(self) -> str:
        """The last calibration of the environment that lies beside the run."""
        folder = newest(self.run.folder.parent, self.run.manifest.environment.fingerprint)
        if folder is None:
            return (
                '<p class="wait">No calibration of this environment is stored: how well known effects come back here is'
                " not known. <code>tox -e calibrate</code> measures it.</p>"
            )
        found = effects(read_run(folder))
        head = "".join(f"<th scope='col' class='text'>{_h(name)}</th>" for name in HEADERS)
        body = "".join(f"<tr>{''.join(f'<td class=text>{_h(text)}</td>' for text in row)}</tr>" for row in rows(found))
        return f"""<p>{_h(sentence(self.run))}</p>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"""


def _badge(choice: Choice) -> str:
    name = _BADGE.get(choice.confidence, choice.confidence.value)
    return f'<span class="badge {name}">{_h(WORD[choice.confidence])}</span>'


def _anchor(cell: CellInfo, metric: Metric) -> str:
    return f"#samples/{_h(cell.id)}/{_h(metric.name)}"


def _times(figure: Figure) -> str:
    if figure.ratio is None:
        return ""
    tone = {Verdict.BETTER: " better", Verdict.WORSE: " worse"}.get(figure.ratio.verdict, "")
    return f'<span class="times{tone}">{_h(ratio_text(figure.ratio))}</span>'


_PARETO = """<section id="pareto"><h2>Size against deploy time</h2><p class="soft">Further left fetches less, further
down answers sooner; both axes are logarithmic. Outlined marks are on the front: nothing else is better in both.</p>
<div class="plot legend-plot" id="pareto-legend"></div><div class="charts small" id="pareto-charts"></div></section>"""

_SCENARIOS = """<section id="scenarios"><h2>Scenarios</h2><p class="soft">Nobody deploys a “pull time”. Computed in this
page from the measured parts of this run and the pull model, by the same formulas as <code>tare scenarios</code>;
whiskers are 95 % intervals.</p><div id="scenarios-body"><div class="controls screen">
<label>App <select id="sc-app"></select></label>
<label>Curve <select id="sc-curve" style="max-width:13rem"></select></label>
<label for="sc-speed">Bandwidth <output id="sc-speed-out" for="sc-speed"></output>
<input id="sc-speed" type="range" min="0" max="4" step="0.02" value="2"></label>
<label for="sc-rtt">Round-trip time <output id="sc-rtt-out" for="sc-rtt"></output>
<input id="sc-rtt" type="range" min="0" max="300" step="5" value="20"></label>
<label for="sc-nodes">Nodes at once <output id="sc-nodes-out" for="sc-nodes"></output>
<input id="sc-nodes" type="range" min="1" max="100" step="1" value="10"></label>
<label for="sc-versions">Versions kept <output id="sc-versions-out" for="sc-versions"></output>
<input id="sc-versions" type="range" min="1" max="200" step="1" value="20"></label>
</div><div class="charts" id="sc-charts"></div><div class="charts wide" id="sc-over"></div>
<p id="sc-break" aria-live="polite"></p></div></section>"""

_COMPARE = """<section id="compare"><h2>Compare two cells</h2><p class="row screen">
<label>First <select id="cmp-a"></select></label> <label>Second <select id="cmp-b"></select></label></p>
<div id="cmp-table" aria-live="polite"></div><div class="charts" id="cmp-charts"></div><div id="cmp-packages"></div>
<p class="note">Down to packages and files: <code>tare why FIRST SECOND</code>; of two runs: <code>tare compare</code>.
</p></section>"""

_SAMPLES = """<section id="samples"><h2 id="samples-title" tabindex="-1">Samples</h2><p class="row screen">
<label>Cell <select id="s-cell"></select></label> <label>Metric <select id="s-metric"></select></label></p>
<figure><div class="plot" id="s-plot"></div></figure><div id="s-table" class="screen"></div></section>"""
