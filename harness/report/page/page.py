"""report.html: one file that works offline, from disk, on a phone, printed, dark and light.

Observable Plot on D3 (both ISC, in assets/vendor with their licences, 0.5 MB) draws the charts in the page. It was
chosen over Plotly (4 MB), Bokeh (1 MB, canvas) and ECharts (1 MB, no colours from the style sheet): it draws SVG whose
colours are CSS variables, so themes and print need no second drawing, and every mark can be a link. Tables are written
here, so that they are readable without a script; the scripts are in assets/.
"""

from __future__ import annotations

from importlib.resources import files
from typing import cast

import orjson

from harness.decision.decide import Decision
from harness.decision.doubts import STALE_DAYS
from harness.errors import StoreError
from harness.report.page.cards import Cards
from harness.report.page.data import Json, page_data
from harness.report.page.notes import Notes
from harness.report.page.tables import Tables
from harness.report.page.view import esc
from harness.settings import GENERATOR

# In this order: each script uses what the ones before it define.
_SCRIPTS = (
    *("vendor/d3.min.js", "vendor/plot.umd.min.js"),
    *("scenarios.js", "figures.js", "charts.js", "planes.js", "elements.js"),
    *("apps.js", "sliders.js", "weights.js", "compare.js", "samples.js", "page.js"),
)
_SECTIONS = {
    "verdict": "Verdict",
    "options": "Options",
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


def render(decision: Decision) -> str:
    """The whole page."""
    data = page_data(decision)
    cast(Json, data["run"])["stale_days"] = STALE_DAYS
    cards, tables, notes = Cards(decision), Tables(decision), Notes(decision)
    sections = [
        cards.verdict(),
        notes.options(),
        tables.matrix(),
        tables.apps(),
        _PARETO,
        _SCENARIOS,
        notes.weigh(),
        _COMPARE,
    ]
    sections += [tables.inside(), notes.claims(), notes.environment(), _SAMPLES]
    try:
        text = orjson.dumps(data).decode()
    except TypeError as error:  # a number beyond 64 bits, which no measurement gives
        raise StoreError(f"the samples do not fit into a page: {error}", where=str(decision.run.folder)) from error
    embedded = text.replace("<", "\\u003c")
    nav = "".join(
        f'<a href="#{name}">{title}</a>' for name, title in _SECTIONS.items() if name != "claims" or decision.claims
    )
    scripts = "".join(f"<script>{_asset(name)}</script>" for name in _SCRIPTS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{GENERATOR}
<title>Which image strategy to take: run {esc(decision.run.id)}</title>
<link rel="icon" href="data:,">
<style>{_asset("page.css")}</style>
</head>
<body>
<a class="skip" href="#verdict">Skip to the verdict</a>
<nav aria-label="Sections"><div>{nav}<span class="tools"><button id="theme" type="button">Theme</button>
<button id="print" type="button">Print</button></span></div></nav>
<header><div>{cards.title()}</div></header>
<main>{"".join(sections)}</main>
<footer>Written by Tare from run {esc(decision.run.id)}. This page works offline and loads nothing.</footer>
<script type="application/json" id="data">{embedded}</script>
{scripts}
</body>
</html>
"""


def _asset(name: str) -> str:
    return files("harness.report.page").joinpath("assets", *name.split("/")).read_text(encoding="utf-8")


_PARETO = """<section id="pareto"><h2>Size against deploy time</h2><p class="soft">Further left means fewer
bytes to fetch. Further down means an earlier answer. Both axes are logarithmic. If a mark is outlined, no other cell is
better in both.</p>
<div class="plot legend-plot" id="pareto-legend"></div><div class="charts small" id="pareto-charts"></div></section>"""


_SCENARIOS = """<section id="scenarios"><h2>Scenarios</h2><p class="soft">How long a deployment takes on
your network. This page computes it from the measured parts of this run and the pull model, with the formulas of
<code>tare scenarios</code>. Whiskers are 95 % intervals.</p><div id="scenarios-body"><div class="controls screen">
<label>App <select id="sc-app"></select></label>
<label>Curve <select id="sc-curve" style="max-width:13rem"></select></label>
<label for="sc-speed">Bandwidth <output id="sc-speed-out" for="sc-speed"></output>
<input id="sc-speed" type="range" min="0" max="4" step="0.02" value="2"></label>
<label for="sc-rtt">Round-trip time <output id="sc-rtt-out" for="sc-rtt"></output>
<input id="sc-rtt" type="range" min="0" max="300" step="5" value="20"></label>
<label for="sc-nodes">Machines at once <output id="sc-nodes-out" for="sc-nodes"></output>
<input id="sc-nodes" type="range" min="1" max="100" step="1" value="10"></label>
<label for="sc-versions">Versions kept <output id="sc-versions-out" for="sc-versions"></output>
<input id="sc-versions" type="range" min="1" max="200" step="1" value="20"></label>
</div><div class="charts" id="sc-charts"></div><div class="charts wide" id="sc-over"></div>
<p id="sc-break" aria-live="polite"></p></div></section>"""


_COMPARE = """<section id="compare"><h2>Compare two cells</h2><p class="row screen">
<label>First <select id="cmp-a"></select></label> <label>Second <select id="cmp-b"></select></label></p>
<div id="cmp-table" aria-live="polite"></div><div class="charts" id="cmp-charts"></div><div id="cmp-packages"></div>
<p class="note"><code>tare why FIRST SECOND</code> shows packages and files. <code>tare compare</code> compares two
runs.</p></section>"""


_SAMPLES = """<section id="samples"><h2 id="samples-title" tabindex="-1">Samples</h2><p class="row screen">
<label>Cell <select id="s-cell"></select></label> <label>Metric <select id="s-metric"></select></label></p>
<figure><div class="plot" id="s-plot"></div></figure><div id="s-table" class="screen"></div></section>"""
