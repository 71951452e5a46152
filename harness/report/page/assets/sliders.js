// Scenarios under the speed, round trip, nodes and versions that the reader chooses.
"use strict";
(() => {
  const { data, order, strategy, digits, text } = Figures;
  const { byId, el, table, chart } = Elements;
  const { parts, storage, titles } = data.scenarios;
  const CONTROLS = ["sc-speed", "sc-rtt", "sc-nodes", "sc-versions", "sc-app", "sc-curve"];
  const measured = cells => cells.filter(cell => parts[cell]);

  // ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────

  const value = id => Number(byId(id).value);
  // The speed slider is logarithmic, in Mbit/s.
  const question = () => ({
    wire: { bits_per_second: 10 ** value("sc-speed") * 1e6, rtt: value("sc-rtt") / 1000 },
    nodes: value("sc-nodes"),
    versions: value("sc-versions"),
  });
  const cells = () => measured(data.apps.find(app => app.name === byId("sc-app").value).cells);
  const chosenCurve = () => byId("sc-curve").value;

  // ── what is answered ─────────────────────────────────────────────────────────────────────────────────────────────

  function answers(name) {
    const unknown = { value: null };
    const answer = cell => Scenarios.compute[name](parts[cell], question()) || unknown;
    return cells().map(cell => ({ strategy: strategy(cell), ...answer(cell) }));
  }
  function stored() {
    const { versions } = question();
    const known = order.filter(name => storage[name]);
    return known.map(name => ({ strategy: name, value: Scenarios.storage(storage[name], versions) }));
  }
  function intervalText({ low, high }) {
    return low === null || low === undefined ? "–" : `${text("s", low)} – ${text("s", high)}`;
  }
  function answerTable(rows) {
    const row = one => [one.strategy, text("s", one.value), intervalText(one), `${one.n ?? "–"}`];
    return table("", ["strategy", "estimate", "95 % interval", "n"], rows.map(row));
  }
  function storageTable(rows) {
    const row = one => [one.strategy, text("B", one.value)];
    return table("", ["strategy", "bytes"], rows.map(row));
  }
  function scenarioChart([name, title]) {
    return chart(
      title,
      "",
      width => Charts.bars(answers(name), "s", width),
      () => answerTable(answers(name)),
    );
  }
  const storageChart = () =>
    chart(
      "registry storage of all apps",
      "",
      width => Charts.bars(stored(), "B", width),
      () => storageTable(stored()),
    );

  // ── over bandwidth ───────────────────────────────────────────────────────────────────────────────────────────────

  function curve(cell, asked) {
    const points = [];
    for (const i of d3.range(0, 61)) {
      const mbit = 10 ** (i / 15);
      const wire = { ...asked.wire, bits_per_second: mbit * 1e6 };
      const answer = Scenarios.compute[chosenCurve()](parts[cell], { ...asked, wire });
      if (answer) points.push([mbit, answer.value]);
    }
    return { strategy: strategy(cell), points };
  }
  function curves(width) {
    const asked = question();
    const lines = cells().map(cell => curve(cell, asked));
    return Charts.curves(
      lines.filter(line => line.points.length),
      asked.wire.bits_per_second / 1e6,
      width,
    );
  }
  function crossingsOf(one, two, asked) {
    return Scenarios.breakEven(parts[one], parts[two], chosenCurve(), asked).map(crossing => {
      const [below, above] = (crossing.below ? [one, two] : [two, one]).map(strategy);
      const speed = `${digits(crossing.bits_per_second / 1e6)} Mbit/s`;
      return `below ${speed} ${below} is faster than ${above}, above ${speed} ${above} is faster`;
    });
  }
  function crossingsText() {
    const asked = question();
    const list = cells();
    const found = list.flatMap((one, i) => list.slice(i + 1).flatMap(two => crossingsOf(one, two, asked)));
    if (found.length) return `Break-even: ${found.join("; ")}.`;
    return "No break-even between 1 Mbit/s and 10 Gbit/s: the order of the strategies does not depend on bandwidth.";
  }

  // ── when a control moves ─────────────────────────────────────────────────────────────────────────────────────────

  const speedText = mbit => (mbit >= 1000 ? `${digits(mbit / 1000)} Gbit/s` : `${digits(mbit)} Mbit/s`);
  function closeTables() {
    for (const details of document.querySelectorAll("#sc-charts details[open]")) {
      while (details.childElementCount > 1) details.lastChild.remove();
      details.open = false;
    }
  }
  function update() {
    byId("sc-speed-out").textContent = speedText(question().wire.bits_per_second / 1e6);
    byId("sc-rtt-out").textContent = `${value("sc-rtt")} ms`;
    byId("sc-nodes-out").textContent = value("sc-nodes");
    byId("sc-versions-out").textContent = value("sc-versions");
    for (const place of document.querySelectorAll("#sc-charts .plot, #sc-over .plot")) Charts.redraw(place);
    closeTables();
    byId("sc-break").textContent = crossingsText();
  }
  let waiting = 0;
  function soon() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(update);
  }

  function start() {
    const apps = data.apps.filter(app => measured(app.cells).length);
    byId("sc-app").append(...apps.map(app => el("option", {}, app.name)));
    byId("sc-curve").append(...Object.entries(titles).map(([name, title]) => el("option", { value: name }, title)));
    byId("sc-charts").append(...Object.entries(titles).map(scenarioChart));
    if (Object.keys(storage).length) byId("sc-charts").append(storageChart());
    const caption =
      "The dashed line is the speed chosen above. Where lines cross, another strategy becomes the fastest.";
    byId("sc-over").append(chart("Over bandwidth", caption, curves));
    for (const id of CONTROLS) byId(id).addEventListener("input", soon);
    update();
  }
  const missing = "Scenarios need pulls with the layers they fetched, but this run has no such pulls.";
  if (Object.keys(parts).length) start();
  else byId("scenarios-body").replaceChildren(el("p", { class: "wait" }, missing));
})();
