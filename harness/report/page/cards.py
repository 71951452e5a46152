"""The first screen of report.html: which strategy to take, the gain, and how sure that is."""

from __future__ import annotations

from harness.decision.choice import Choice, Confidence
from harness.decision.doubts import blocks, when
from harness.decision.figures import matrix
from harness.report.gains import Gain, against, gain, unlike
from harness.report.page.view import PageView, anchor, badge, esc
from harness.report.traits import traits
from harness.report.words import MEANING, NOTATION, VERDICTS, WORD, lacking, robust, sureness


class Cards(PageView):
    """The title and a card for each app."""

    def title(self) -> str:
        manifest = self.run.manifest
        counts = blocks(self.run).values()
        low, high = min(counts, default=0), max(counts, default=0)
        span = f"{high}" if low == high else f"{low} to {high}"
        many = f"{span} block{'s' * (high != 1)}" if high else "no durations"
        return f"""<h1>Which image strategy to take</h1>
<p class="soft">{matrix(self.run)} on a real engine, {many},
{esc(when(manifest.started))}. Run <a href="#environment">{esc(self.run.id)}</a>, environment
<a href="#environment">{esc(manifest.environment.fingerprint)}</a>.</p><div id="banners">{self._banners()}</div>"""

    def _banners(self) -> str:
        parts = []
        for doubt in self.decision.doubts:
            word = f"No conclusion: {doubt.kind}." if doubt.withholds else f"{doubt.kind.capitalize()}."
            parts.append(
                f'<div class="banner" role="alert" data-kind="{esc(doubt.kind)}"><p><b>{esc(word)}</b>'
                f" {esc(doubt.text)}</p></div>"
            )
        return "".join(parts)

    def verdict(self) -> str:
        cards = [self._card(app, choice) for app, choice in self.decision.choices.items() if app]
        whole = self.decision.choices.get("")
        used = [item for item in Confidence if item in {choice.confidence for choice in self.decision.choices.values()}]
        words = " ".join(f"<b>{esc(WORD[item])}</b>: {esc(MEANING[item])}." for item in used)
        words += "".join(f" <b>{esc(word)}</b>: {esc(meaning)}." for word, meaning in VERDICTS.items())
        leads = any(choice.lead for choice in self.decision.choices.values())
        notation = f'<p class="note">{esc(NOTATION)}</p>' if leads else ""
        asked = "; ".join(item.text for item in self.decision.constraints)
        constraints = f"<p>Constraints: {esc(asked)}.</p>" if asked else ""
        return f"""<section id="verdict"><h2>Verdict</h2>{self._uncounted()}{constraints}
<div class="cards">{"".join(cards)}{self._all(whole) if whole else ""}</div>
{notation}<p class="note">{words}</p></section>"""

    def _uncounted(self) -> str:
        text = lacking(self.decision)
        return f"<p>{esc(text)}</p>" if text else ""

    def _card(self, app: str, choice: Choice) -> str:
        gains = [self._gain(found) for name in self._headline_names() if (found := self._found(choice, name))]
        cells = self.apps_[app]
        services = unlike(choice)
        known = {metric.name: metric for metric in self.decision.metrics}
        heads = [known[name] for name in self._headline_names() if name in known]
        beside = against(self.decision.shown, choice, heads)
        beside = f'<p class="traits">compared with the runner-up: {esc(beside)}</p>' if beside else ""
        contents = f'<p class="traits">{esc(services)}</p>' if services else ""
        return f"""<article class="card" aria-label="{esc(app)}"><header><span class="app">{esc(app)}<small>
{esc(cells[0].app_title)}</small></span>{badge(choice)}</header>{self._take(choice)}{"".join(gains)}{beside}{contents}
{self._traits(choice)}<p class="sure">{esc(sureness(choice))} <a href="#app-{esc(app)}">Why</a></p></article>"""

    def _take(self, choice: Choice) -> str:
        if choice.take is None:
            return '<div class="take">no recommendation</div>'
        name = choice.take.strategy
        words = {Confidence.WITHHELD: "is ahead", Confidence.LEANING: "leaning"}.get(choice.confidence, "")
        if choice.confidence is Confidence.TIE and choice.rival:
            words = f"or {choice.rival.strategy}"
        small = f"<small>{esc(words)}</small>" if words else ""
        return f'<div class="take" style="{self.colour(name)}"><span class="swatch"></span>{esc(name)}{small}</div>'

    def _traits(self, choice: Choice) -> str:
        words = traits(self.run, choice.take) if choice.take else []
        return f'<p class="traits">{esc(" · ".join(words))}</p>' if words else ""

    def _headline_names(self) -> list[str]:
        measured = self.run.measured()
        wanted = [criterion for criterion in self.decision.criteria if criterion.name in ("size", "deploy")]
        wanted.sort(key=lambda criterion: criterion.name, reverse=True)
        return [name for item in wanted if (name := item.rests_on(measured))]

    def _found(self, choice: Choice, name: str) -> Gain | None:
        return gain(self.run, self.decision.shown, choice, name)

    def _gain(self, found: Gain) -> str:
        mine, other = (self._median(cell, found.metric) for cell in (found.cell, found.reference))
        top = max(mine, other) or 1.0
        interval = f" {found.interval}" if found.interval and found.sure else ""
        doubt = "" if found.sure else " (undecided)"
        what = {"B": "bytes to fetch (compressed)", "s": "deploy to an empty machine"}.get(
            found.metric.unit.value, found.metric.name
        )
        what += "" if found.first else f", compared with {found.reference.strategy}"
        rows = []
        pairs = [(found.reference, other, found.before), (found.cell, mine, f"{found.value} {found.spread}".rstrip())]
        for cell, value, text in pairs if found.cell.id != found.reference.id else pairs[1:]:
            rows.append(
                f'<span class="name">{esc(cell.strategy)}</span><span class="track">'
                f'<span class="bar" style="{self.colour(cell.strategy)};--w:{100 * value / top:.2f}%"></span></span>'
                f'<a href="{anchor(cell, found.metric)}">{esc(text)}</a>'
            )
        return (
            f'<div class="gain"><span><b>{esc(found.times)}</b>{esc(interval + doubt)}</span>'
            f'<span class="what">{esc(what)}</span><div class="pair">{"".join(rows)}</div></div>'
        )

    def _all(self, choice: Choice) -> str:
        if choice.take is None:
            words = "; ".join(choice.reasons)
            head = '<header><span class="app">One strategy for all apps</span></header>'
            return f'<article class="card all">{head}{esc(words)}</article>'
        return f"""<article class="card all" aria-label="all apps"><header><span class="app">One strategy for all apps
</span>{badge(choice)}</header>{self._take(choice)}<p class="sure">{esc(sureness(choice))} {esc(robust(choice))}</p>
</article>"""
