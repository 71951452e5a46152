// Two cells side by side: every metric, packages, layers and build steps.
"use strict";
(() => {
  const { data, strategy, median, digits, text, times } = Figures;
  const { byId, el, table, samplesLink, note } = Elements;
  const [one, two] = [byId("cmp-a"), byId("cmp-b")];

  // ── metrics ──────────────────────────────────────────────────────────────────────────────────────────────────────

  const OTHER_WAY_ROUND = { better: "worse", worse: "better" };
  const inverse = x => x && 1 / x;
  // The stored comparison [×, low, high, verdict, blocks that are missing, n] of the second cell with the first.
  function comparison(first, second, metric) {
    const forward = data.pairs[`${first}/${second}`]?.[metric];
    const backward = data.pairs[`${second}/${first}`]?.[metric];
    if (forward || !backward) return forward || null;
    const [x, low, high, verdict, more, n] = backward;
    return [1 / x, inverse(high), inverse(low), OTHER_WAY_ROUND[verdict] ?? verdict, more, n];
  }
  function verdictText(ratio) {
    if (!ratio) return "no verdict, because the cells belong to different apps";
    const [, , , verdict, more] = ratio;
    return verdict === "undecided" && more ? `${verdict}, about ${more} more blocks` : verdict;
  }
  function ratioText(ratio, first, second, metric) {
    if (ratio && ratio[0] !== null) return times(ratio);
    return `${digits(median(second, metric) / median(first, metric))}×`;
  }
  function intervalText(ratio) {
    const [, low, high] = ratio ?? [];
    return low && low !== high ? `${digits(low)}–${digits(high)}` : "";
  }
  function row(first, second, { name, unit }) {
    const ratio = comparison(first, second, name);
    return [
      name,
      ...[first, second].map(cell => samplesLink(cell, name, text(unit, median(cell, name)))),
      ratioText(ratio, first, second, name),
      intervalText(ratio),
      verdictText(ratio),
    ];
  }
  function metricTable(first, second) {
    const pairs = data.pairs[`${first}/${second}`] || data.pairs[`${second}/${first}`] || {};
    const inBoth = ({ name }) => [first, second].every(cell => median(cell, name) !== null);
    const shown = data.metrics.filter(metric => inBoth(metric) && (metric.headline || pairs[metric.name]));
    return table(
      `${second} compared with ${first}; × is second ÷ first, compared within each block`,
      ["metric", first, second, "×", "95 %", "the second is"],
      shown.map(metric => row(first, second, metric)),
    );
  }

  // ── packages ─────────────────────────────────────────────────────────────────────────────────────────────────────

  function packageList(words, indexes) {
    const names = indexes.map(i => data.packages.names[i]);
    return el("details", {}, el("summary", {}, `${words}: ${names.length}`), note(names.join(", ") || "none"));
  }
  function packages(first, second) {
    const [left, right] = [first, second].map(cell => data.packages.cells[cell]);
    if (!left || !right) return [];
    const only = (list, other) => list.filter(i => !other.includes(i));
    return [
      el("h3", {}, "Packages"),
      packageList(`only in ${first}`, only(left, right)),
      packageList(`only in ${second}`, only(right, left)),
      note(`in both: ${left.filter(i => right.includes(i)).length}`),
    ];
  }

  // ── all of it ────────────────────────────────────────────────────────────────────────────────────────────────────

  const layers = el("div", { class: "plot" });
  const steps = el("div", { class: "plot" });
  // A chart has one row for each strategy.
  const distinct = cells => cells.filter((cell, i) => cells.findIndex(c => strategy(c) === strategy(cell)) === i);
  function compare() {
    const [first, second] = [one.value, two.value];
    byId("cmp-table").replaceChildren(metricTable(first, second));
    byId("cmp-packages").replaceChildren(...packages(first, second));
    const cells = distinct([first, second]);
    Charts.box(layers, width => Charts.layers(cells, width));
    Charts.box(steps, width => Charts.steps(cells, "build.cold", width));
  }
  // At first: the strategy to take, and the first of its app.
  function preselect() {
    const favourite = data.choices.find(choice => choice.app && choice.take);
    one.value = Object.keys(data.cells)[0];
    if (!favourite) return;
    const { cells } = data.apps.find(app => app.name === favourite.app);
    one.value = cells[0];
    two.value = cells.find(cell => strategy(cell) === favourite.take);
    if (one.value === two.value) two.value = cells[1] || cells[0];
  }
  for (const select of [one, two]) {
    select.append(...Object.keys(data.cells).map(cell => el("option", {}, cell)));
    select.addEventListener("input", compare);
  }
  preselect();
  byId("cmp-charts").append(
    el("figure", {}, el("h4", {}, "Layers"), layers),
    el("figure", {}, el("h4", {}, "Build steps, cold"), steps),
  );
  compare();
})();
