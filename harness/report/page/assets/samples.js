// The samples of one metric of one cell, as a chart and a table.
"use strict";
globalThis.Samples = (() => {
  const { data, metrics, figure, series, text } = Figures;
  const { byId, el, table } = Elements;
  const MOST_ROWS = 2000;
  const [cellSelect, metricSelect] = [byId("s-cell"), byId("s-metric")];

  function offerMetrics() {
    const names = Object.keys(data.series[cellSelect.value] || {});
    const before = metricSelect.value;
    metricSelect.replaceChildren(...names.map(name => el("option", {}, name)));
    metricSelect.value = names.includes(before) ? before : names[0];
  }
  function keptText(stored) {
    const shown = stored.v.length;
    if (shown === stored.n) return `all ${stored.n} samples`;
    return `${shown} of ${stored.n} samples: the extremes and an even selection of the others; numbers use all`;
  }
  function figureText(found, unit) {
    if (!found) return "";
    return `median ${text(unit, found.median)}, MAD ${text(unit, found.mad)}, ${found.outliers} outliers flagged; `;
  }
  function caption(cell, metric, stored) {
    const unit = metrics.get(metric)?.unit ?? "s";
    const said = figureText(figure(cell, metric), unit) + keptText(stored);
    const where = `Run ${data.run.id}; "order" identifies the line in its samples.jsonl.`;
    return `${cell || "engine"}, ${metric}: ${said}. ${where} Unit: ${unit}.`;
  }
  function show() {
    const [cell, metric] = [cellSelect.value, metricSelect.value];
    const stored = series(cell, metric);
    Charts.box(byId("s-plot"), width => Charts.history(cell, metric, width));
    if (!stored) return byId("s-table").replaceChildren();
    const rows = d3
      .range(Math.min(stored.v.length, MOST_ROWS))
      .map(i => [stored.b, stored.o, stored.v].map(c => `${c[i]}`));
    byId("s-table").replaceChildren(table(caption(cell, metric, stored), ["block", "order", "value"], rows));
  }
  function showCell() {
    offerMetrics();
    show();
  }
  // Chooses a cell and a metric, and moves to them.
  function goTo(cell, metric) {
    cellSelect.value = cell;
    offerMetrics();
    metricSelect.value = metric;
    show();
    byId("samples").scrollIntoView();
    byId("samples-title").focus({ preventScroll: true });
  }
  cellSelect.append(...Object.keys(data.series).map(cell => el("option", { value: cell }, cell || "engine")));
  cellSelect.addEventListener("input", showCell);
  metricSelect.addEventListener("input", show);
  showCell();

  return { goTo };
})();
