"""The sections of report.html about its figures: weights, claims, environment and versions."""

from __future__ import annotations

from harness.claims.claim import Answer, Judged
from harness.decision.choice import NOT_IN_RUN
from harness.decision.criteria import Criterion
from harness.decision.doubts import when
from harness.experiments.effects import effects, newest
from harness.report.calibration import HEADERS, rows, sentence
from harness.report.facts import explained, plain, title
from harness.report.page.view import PageView, esc
from harness.report.words import described, unmeasured_lines
from harness.store.run import read_run

_MOST_FINDINGS = 40  # findings of an interpretation of a claim
_TONE = {
    Answer.CONFIRMED: "decided",
    Answer.REFUTED: "leaning",
    Answer.UNDECIDED: "tie",
    Answer.DEPENDS: "tie",
    Answer.UNTESTABLE: "tie",
}


class Notes(PageView):
    """The sections around the figures."""

    def weigh(self) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{esc(item.name)}</th><td>{item.weight:g}</td><td class='text'>"
            f"{esc(self._stands_for(item))}</td><td class='wrap'>{esc(item.meaning)}</td></tr>"
            for item in self.decision.criteria
        )
        return f"""<section id="weigh"><h2>Change the weights</h2>
<p class="soft">The ranking uses these weights. Change the weights or set constraints to see which strategy comes first.
<code>tare report --weight deploy=5 --need shell</code> writes the documents with other weights and constraints.</p>
<div class="scroll"><table><thead><tr><th scope="col">criterion</th><th scope="col">weight</th>
<th scope="col" class="text">metric</th><th scope="col" class="text">meaning</th></tr></thead><tbody>{rows}</tbody>
</table></div><div class="controls screen" id="weights"></div>
<p class="row screen"><button type="button" id="weights-reset">Reset</button></p>
<div id="weights-outcome" aria-live="polite"></div></section>"""

    def _stands_for(self, criterion: Criterion) -> str:
        return criterion.rests_on(self.run.measured()) or f"{criterion.metrics[0]}, {NOT_IN_RUN}"

    def options(self) -> str:
        """The strategies that were compared, and what each costs."""
        cells = {cell.strategy: cell for cell in sorted(self.run.manifest.cells, key=lambda cell: cell.rank)}
        items = "".join(
            f"<li><b>{esc(cell.strategy)}</b> ({esc(cell.strategy_title)}){esc(': ' + text if text else '')}</li>"
            for cell in cells.values()
            for text in (described(cell),)
        )
        return f'<section id="options"><h2>Options</h2><ul>{items}</ul></section>'

    def claims(self) -> str:
        if not self.decision.claims:
            return ""
        parts = []
        for each in self.decision.claims:
            interpretations = "".join(self._interpretation(judged) for judged in each.interpretations)
            note = f"<p class='note'>{esc(each.claim.note)}</p>" if each.claim.note else ""
            parts.append(
                f'<details class="app claim"><summary><span class="badge {_TONE[each.answer]}">'
                f"{esc(each.answer)}</span>{esc(each.claim.says)}</summary><div>{note}{interpretations}</div></details>"
            )
        counts = {answer: sum(each.answer is answer for each in self.decision.claims) for answer in Answer}
        total = ", ".join(f"{count} {answer}" for answer, count in counts.items() if count)
        return f"""<section id="claims"><h2>Common claims</h2><p class="soft">{len(self.decision.claims)} claims, tested
against this run: {esc(total)}. <code>tare claims</code> prints the same.</p>{"".join(parts)}</section>"""

    def _interpretation(self, judged: Judged) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{esc(found.unit)}</th><td class='text'>{esc(found.answer)}</td>"
            f"<td class='wrap'>{esc(found.numbers)}</td></tr>"
            for found in judged.findings[:_MOST_FINDINGS]
        )
        more = len(judged.findings) - _MOST_FINDINGS
        rest = f"<p class='note'>and {more} more</p>" if more > 0 else ""
        interpretation = judged.interpretation
        about = f"{interpretation.metric + ': ' if interpretation.metric else ''}{interpretation.test.words}"
        table = f"<div class='scroll'><table><tbody>{rows}</tbody></table></div>{rest}" if rows else ""
        wanted = f": {interpretation.decide}" if interpretation.decide else ""
        shown = table or f"<p class='note'>Not measured here{esc(wanted)}.</p>"
        return f"<h3>{esc(interpretation.title)}: {esc(judged.answer)}</h3><p class='note'>{esc(about)}</p>{shown}"

    def environment(self) -> str:
        manifest = self.run.manifest
        facts = {**plain(manifest.environment.facts), **manifest.environment.notes}
        items = "".join(f"<div><dt>{esc(key)}</dt><dd>{esc(value)}</dd></div>" for key, value in facts.items())
        words = "".join(
            f"<li><b>{esc(title(name))}</b> {esc(value)}{esc(': ' + text if text else '')}</li>"
            for name, (value, text) in explained(manifest.environment.facts).items()
        )
        words += "".join(f"<li>{esc(line)}</li>" for line in unmeasured_lines(self.run))
        versions = "".join(f"<div><dt>{esc(k)}</dt><dd>{esc(v)}</dd></div>" for k, v in manifest.versions.items())
        samples = sum(series.value.size for series in self.run.series().values())
        git = f", git {manifest.git[:12]}" if manifest.git else ""
        rows = "".join(
            f"<div><dt>session {item.number + 1}</dt>"
            f"<dd>{esc(when(item.started))}, {esc(item.outcome or 'unfinished')}</dd></div>"
            for item in self.run.sessions
        )
        failures = "".join(
            f"<tr><th scope='row'>{esc(item.cell or 'engine')}</th>"
            f"<td class='text'>{esc(item.probe)} {esc(item.state)}</td>"
            f"<td>{item.block}</td><td>{item.order}</td><td class='text'>{esc(item.status)}</td>"
            f"<td class='wrap'>{esc(item.reason)}</td></tr>"
            for item in self.run.failures[:200]
        )
        table = (
            f"""<h3>Failed tries</h3><div class="scroll"><table><thead><tr><th>cell</th><th class="text">probe</th>
<th>block</th><th>order</th><th class="text">status</th><th class="text">reason</th></tr></thead>
<tbody>{failures}</tbody></table></div>"""
            if failures
            else ""
        )
        return f"""<section id="environment"><h2>Environment</h2>
<p class="soft">{samples} samples and {len(self.run.failures)} failed tries in samples.jsonl of run {esc(self.run.id)},
environment {esc(manifest.environment.fingerprint)}, seed {manifest.seed}{esc(git)}.</p>
<dl class="facts">{items}</dl><ul>{words}</ul><h3>Calibration</h3>{self.calibration()}<h3>Versions and sessions</h3>
<dl class="facts">{versions}{rows}</dl>{table}</section>"""

    def calibration(self) -> str:
        """The last calibration of the environment that is stored beside the run."""
        folder = newest(self.run.folder.parent, self.run.manifest.environment.fingerprint)
        if folder is None:
            return (
                '<p class="wait">No calibration of this environment is stored. <code>tox -e calibrate</code> measures'
                " effects of known size and shows how exactly Tare finds them.</p>"
            )
        found = effects(read_run(folder))
        head = "".join(f"<th scope='col' class='text'>{esc(name)}</th>" for name in HEADERS)
        body = "".join(f"<tr>{''.join(f'<td class=text>{esc(text)}</td>' for text in row)}</tr>" for row in rows(found))
        return f"""<p>{esc(sentence(self.run))}</p>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"""
