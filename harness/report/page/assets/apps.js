// The section of each app: a chart for each metric, and where sizes and durations come from.
"use strict";
globalThis.Apps = (() => {
  const { data, metrics, strategy, figure, has, text, times } = Figures;
  const { byId, el, table, chart, samplesLink, swatch, note } = Elements;
  const { phases } = Charts;

  function intervalText({ low, high }, shown) {
    if (low === null) return "too few";
    return low === high ? "exact" : `${shown(low)} – ${shown(high)}`;
  }
  function intervalRow(cell, metric) {
    const found = figure(cell, metric);
    const shown = value => text(metrics.get(metric).unit, value);
    return [
      strategy(cell),
      found.n ? samplesLink(cell, metric, shown(found.median)) : "–",
      intervalText(found, shown),
      ...[found.least, found.most, found.mad].map(shown),
      ...[found.n, found.outliers, found.failed].map(String),
      found.ratio ? times(found.ratio) : "1×",
    ];
  }
  function intervalTable(cells, metric) {
    const head = ["strategy", "median", "95 % interval", "min", "max", "MAD", "n", "outliers", "failed", "× first"];
    const measured = cells.filter(cell => figure(cell, metric));
    return table(
      metrics.get(metric).help,
      head,
      measured.map(cell => intervalRow(cell, metric)),
    );
  }
  function phaseTable(cells, metric) {
    const rows = cells.flatMap(cell =>
      phases(cell, metric).map(([name, ...seconds]) => [strategy(cell), name, ...seconds.map(s => text("s", s))]),
    );
    return table(`Phases of the try whose ${metric} is the median`, ["strategy", "phase", "from", "length"], rows);
  }
  const layerRow = (cell, [digest, packed, content, base, step, waste]) => [
    strategy(cell),
    digest.slice(7, 19),
    base ? "base" : "image",
    ...[packed, content, waste].map(bytes => text("B", bytes)),
    step ? step.slice(0, 160) : "–",
  ];
  function layerTable(cells) {
    const rows = cells.flatMap(cell => (data.layers[cell] || []).map(layer => layerRow(cell, layer)));
    const head = ["strategy", "layer", "of", "packed", "files", "waste", "step"];
    return table("Layers, lowest first; waste is what later layers delete or replace", head, rows);
  }

  function legend(colours) {
    const items = colours.map(([name, variable]) => el("span", {}, swatch(`--c:var(${variable})`), name));
    return el("div", { class: "legend", "aria-hidden": "true" }, ...items);
  }
  // One chart for several metrics, with a button for each.
  function switched(title, caption, names, make, makeTable, colours) {
    let chosen = names[0];
    const place = el("div", { class: "plot" });
    const behind = el("details", {}, el("summary", {}, "Table"));
    const buttons = el("div", { class: "row screen", role: "group", "aria-label": title });
    const said = el("figcaption", {}, caption);
    function showTable() {
      if (behind.open) behind.replaceChildren(behind.firstChild, makeTable(chosen));
    }
    function choose(name) {
      chosen = name;
      for (const button of buttons.children) button.setAttribute("aria-pressed", String(button.textContent === name));
      said.textContent = `${name}. ${caption}`;
      Charts.box(place, width => make(chosen, width));
      showTable();
    }
    for (const name of names) buttons.append(el("button", { type: "button", onclick: () => choose(name) }, name));
    behind.addEventListener("toggle", showTable);
    choose(chosen);
    const shown = [names.length > 1 ? buttons : null, colours ? legend(colours) : null];
    return el("figure", {}, el("h4", {}, title), said, ...shown, place, behind);
  }

  function zoomButton() {
    const button = el("button", { type: "button", class: "screen zoom", "aria-pressed": "false" });
    button.textContent = "Zoom in on durations";
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      for (const other of document.querySelectorAll(".zoom")) other.setAttribute("aria-pressed", String(on));
      Charts.zoom(on);
    });
    return button;
  }
  function eachMetric(cells) {
    const isQuantity = metric => metric.headline && metric.unit !== "boolean" && metric.unit !== "ratio";
    const shown = data.metrics.filter(metric => isQuantity(metric) && has(cells, metric.name));
    const charts = shown.map(({ name, help }) =>
      chart(
        name,
        help,
        width => Charts.strip(cells, name, width),
        () => intervalTable(cells, name),
      ),
    );
    return el("div", { class: "charts" }, ...charts);
  }

  const PULL = [
    ["download", "--s2"],
    ["unpack", "--s1"],
  ];
  const DEPLOY = [
    ["pull", "--s2"],
    ["create", "--s6"],
    ["start", "--s5"],
    ["answer", "--s4"],
  ];
  function layerChart(cells) {
    const known = cells.some(cell => data.layers[cell]);
    return chart(
      "Size by layer",
      "Compressed bytes, lowest layer first. The layers of the base are grey.",
      width => Charts.layers(cells, width),
      known ? () => layerTable(cells) : null,
    );
  }
  // Names of the metrics that match and have phases.
  const withPhases = (cells, pattern) =>
    data.metrics
      .map(metric => metric.name)
      .filter(name => pattern.test(name) && cells.some(c => phases(c, name).length));

  function whereItComesFrom(cells) {
    const found = [];
    if (has(cells, "size.transfer")) found.push(layerChart(cells));
    function add(title, caption, names, draw, colours) {
      const make = (name, width) => draw(cells, name, width);
      const makeTable = name => phaseTable(cells, name);
      if (names.length) found.push(switched(title, caption, names, make, makeTable, colours));
    }
    add(
      "Pull, as download and unpack",
      "The try whose total is the median: downloads above, unpacking below.",
      withPhases(cells, /^(pull|link)\..*total$|^link\.total$/),
      Charts.pull,
      PULL,
    );
    add(
      "Deploy and start, by phase",
      "The try whose total is the median, so its phases add up.",
      [...withPhases(cells, /^deploy\./), ...withPhases(cells, /^start\./)],
      Charts.stacked,
      DEPLOY,
    );
    add(
      "Build steps",
      "BuildKit's own trace. Steps in parallel are below one another. Grey steps came from the cache.",
      withPhases(cells, /^build\./),
      Charts.steps,
    );
    return el("div", { class: "charts wide" }, ...found);
  }
  const HOW_TO_READ =
    "Each dot is a sample; the first block is on top. The tick is the median, and the band is its 95 % interval. " +
    "Click a number to see its samples.";

  // Draws the section of an app once.
  function open(details) {
    const place = details.querySelector(".drawn");
    if (place.childElementCount) return;
    const { cells } = data.apps.find(app => app.name === details.dataset.app);
    place.append(
      el("div", { class: "row" }, el("h3", {}, "Each metric"), zoomButton()),
      note(HOW_TO_READ),
      eachMetric(cells),
      el("h3", {}, "Where it comes from"),
      whereItComesFrom(cells),
    );
  }
  function openIfOpened(details) {
    if (details.open) open(details);
  }
  for (const details of document.querySelectorAll("details.app[data-app]")) {
    details.addEventListener("toggle", () => openIfOpened(details));
    openIfOpened(details);
  }

  // ── size against deploy time of all apps ─────────────────────────────────────────────────────────────────────────

  const size = "size.transfer";
  const deploy = data.criteria.find(criterion => criterion.name === "deploy")?.metric || "deploy.total";
  function sizeAndDeployTable(cells) {
    const { median } = Figures;
    const row = cell => [strategy(cell), text("B", median(cell, size)), text("s", median(cell, deploy))];
    return table("Size against deploy", ["strategy", size, deploy], cells.map(row));
  }
  function paretoChart({ name, title, cells }) {
    return chart(
      name,
      title,
      width => Charts.pareto(cells, size, deploy, width),
      () => sizeAndDeployTable(cells),
    );
  }
  if (data.apps.some(({ cells }) => has(cells, size) && has(cells, deploy))) {
    Charts.box(byId("pareto-legend"), Charts.legend);
    byId("pareto-charts").append(...data.apps.map(paretoChart));
  } else {
    byId("pareto-charts").append(el("p", { class: "wait" }, "Size and deploy were not both measured."));
  }

  return { open };
})();
