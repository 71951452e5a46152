// What moves on Tare's page: theme, sorting, charts, scenario sliders, weights, compare, samples.
"use strict";
(() => {
  const C = Charts, { data } = C;
  const $ = id => document.getElementById(id);
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter(child => child !== null));
    return node;
  }
  const dot = name => el("span", { class: "swatch", style: `--c:${C.colour(name)}`, "aria-hidden": "true" });
  const has = (cells, metric) => cells.some(cell => C.median(cell, metric) !== null);

  function table(caption, head, rows) {
    return el("div", { class: "scroll" }, el("table", {}, el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...head.map(text => el("th", { scope: "col" }, text)))),
      el("tbody", {}, ...rows.map(row => el("tr", {}, ...row.map((cell, i) => el(i ? "td" : "th", i ? {} : { scope: "row" }, cell)))))));
  }
  // A chart with its title and, behind it, the table that says the same.
  function chart(title, caption, make, makeTable) {
    const place = el("div", { class: "plot" });
    const behind = makeTable && el("details", {}, el("summary", {}, "Table"));
    if (behind) behind.addEventListener("toggle", () => { if (behind.open && behind.childElementCount === 1) behind.append(makeTable()); });
    const figure = el("figure", {}, el("h4", {}, title), el("figcaption", {}, caption), place, behind || null);
    C.box(place, make);
    return figure;
  }
  const link = (cell, metric, words) => el("a", { href: `#samples/${cell}/${metric}` }, words);

  // theme
  const themes = ["auto", "light", "dark"];
  function theme(name) {
    if (name === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
    $("theme").textContent = { auto: "◐ auto", light: "○ light", dark: "● dark" }[name];
    $("theme").setAttribute("aria-label", `Theme: ${name}`);
    try { localStorage.setItem("tare-theme", name); } catch { /* a page from disk may have no storage */ }
  }
  let now = "auto";
  try { now = localStorage.getItem("tare-theme") || "auto"; } catch { /* the same */ }
  if (location.hash === "#dark" || location.hash === "#light") now = location.hash.slice(1);
  theme(now);
  $("theme").addEventListener("click", () => { now = themes[(themes.indexOf(now) + 1) % 3]; theme(now); });
  $("print").addEventListener("click", () => window.print());

  // a page gets old after it was written
  const days = (Date.now() / 1000 - data.run.started) / 86400;
  if (days > data.run.stale_days && !document.querySelector("[data-kind=stale]")) {
    $("banners").append(el("div", { class: "banner", role: "alert" }, el("p", {}, el("b", {}, "Stale. "),
      `This was measured ${Math.floor(days)} days ago; after ${data.run.stale_days} days the images people pull are others. Measure again before you decide.`)));
  }

  // sorting
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const th = button.closest("th"), tbody = th.closest("table").tBodies[0], index = th.cellIndex;
      const down = th.getAttribute("aria-sort") === "ascending";
      for (const other of th.parentElement.cells) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => { const v = row.cells[index].dataset.v; return v === undefined ? row.cells[index].textContent : v === "" ? Infinity : Number(v); };
      const rows = [...tbody.rows].sort((a, b) => { const [x, y] = [key(a), key(b)]; return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1); });
      rows.forEach(row => row.classList.remove("first"));
      tbody.append(...rows);
    });
  }
  $("only")?.addEventListener("change", event => {
    for (const row of $("matrix-table").tBodies[0].rows) row.hidden = event.target.value !== "" && row.dataset.app !== event.target.value;
  });

  // apps
  function intervalTable(cells, metric) {
    const unit = C.metrics.get(metric).unit;
    return table(C.metrics.get(metric).help, ["strategy", "median", "95 % interval", "min", "max", "MAD", "n", "outliers", "failed", "× first"], cells.filter(cell => C.figure(cell, metric)).map(cell => {
      const f = C.figure(cell, metric), t = value => C.text(unit, value);
      return [C.strategy(cell), f[0] ? link(cell, metric, t(f[1])) : "–", f[2] === null ? "too few" : f[2] === f[3] ? "exact" : `${t(f[2])} – ${t(f[3])}`, t(f[4]), t(f[5]), t(f[6]), `${f[0]}`, `${f[7]}`, `${f[8]}`, f[9] ? C.times(f[9]) : "1×"];
    }));
  }
  function phaseTable(cells, metric) {
    return table(`Phases of the try whose ${metric} is the median`, ["strategy", "phase", "from", "length"],
      cells.flatMap(cell => C.phases(cell, metric).map(([name, start, seconds]) => [C.strategy(cell), name, C.text("s", start), C.text("s", seconds)])));
  }
  function layerTable(cells) {
    return table("Layers, lowest first; waste is what later layers delete or replace", ["strategy", "layer", "of", "packed", "files", "waste", "step"], cells.flatMap(cell => (data.layers[cell] || []).map(
      ([digest, packed, content, base, step, waste]) => [C.strategy(cell), digest.slice(7, 19), base ? "base" : "image", C.text("B", packed), C.text("B", content), C.text("B", waste), step ? step.slice(0, 160) : "–"])));
  }
  const legend = items => el("div", { class: "legend", "aria-hidden": "true" }, ...items.map(([name, c]) => el("span", {}, el("span", { class: "swatch", style: `--c:var(${c})` }), name)));
  function app(details) {
    const { cells } = data.apps.find(item => item.name === details.dataset.app), place = details.querySelector(".drawn");
    if (place.childElementCount) return;
    const metrics = data.metrics.filter(m => m.headline && m.unit !== "boolean" && m.unit !== "ratio" && has(cells, m.name)).map(m => m.name);
    const zoom = el("button", { type: "button", class: "screen", "aria-pressed": "false", onclick: () => { const on = zoom.getAttribute("aria-pressed") !== "true"; for (const other of document.querySelectorAll(".zoom")) other.setAttribute("aria-pressed", String(on)); C.zoom(on); } }, "Zoom in on durations");
    zoom.classList.add("zoom");
    place.append(el("div", { class: "row" }, el("h3", {}, "Each metric"), zoom), el("p", { class: "note" }, "Dots are samples, the first block on top; the band is the 95 % interval of the median, the tick the median. Figures lead to their samples."),
      el("div", { class: "charts" }, ...metrics.map(m => chart(m, C.metrics.get(m).help, width => C.strip(cells, m, width), () => intervalTable(cells, m)))));
    const wide = el("div", { class: "charts wide" });
    if (has(cells, "size.transfer")) wide.append(chart("Size by layer", "Compressed bytes, lowest layer first; grey are the base's.", width => C.layers(cells, width), cells.some(cell => data.layers[cell]) ? () => layerTable(cells) : null));
    const pulls = data.metrics.filter(m => /^(pull|link)\..*total$|^link\.total$/.test(m.name) && cells.some(cell => C.phases(cell, m.name).length)).map(m => m.name);
    if (pulls.length) wide.append(switched("Pull, as download and unpack", "Downloads above, unpacking below: the try whose total is the median.", pulls, (m, width) => C.pull(cells, m, width), m => phaseTable(cells, m), [["download", "--s2"], ["unpack", "--s1"]]));
    const deploys = data.metrics.filter(m => /^(deploy|start)\./.test(m.name) && cells.some(cell => C.phases(cell, m.name).length)).map(m => m.name);
    deploys.sort((a, b) => a.startsWith("deploy") ? -1 : b.startsWith("deploy") ? 1 : 0);
    if (deploys.length) wide.append(switched("Deploy and start, by phase", "The try whose total is the median, so that its phases add up.", deploys, (m, width) => C.stacked(cells, m, width), m => phaseTable(cells, m), [["pull", "--s2"], ["create", "--s6"], ["start", "--s5"], ["answer", "--s4"]]));
    const builds = data.metrics.filter(m => /^build\./.test(m.name) && cells.some(cell => C.phases(cell, m.name).length)).map(m => m.name);
    if (builds.length) wide.append(switched("Build steps", "BuildKit's own trace; steps that run side by side lie below one another, grey ones came from the cache.", builds, (m, width) => C.steps(cells, m, width), m => phaseTable(cells, m)));
    place.append(el("h3", {}, "Where it comes from"), wide);
  }
  function switched(title, caption, names, make, makeTable, colours) {
    let chosen = names[0];
    const place = el("div", { class: "plot" }), behind = el("details", {}, el("summary", {}, "Table"));
    const row = el("div", { class: "row screen", role: "group", "aria-label": title });
    const said = el("figcaption", {}, caption);
    function choose(name) {
      chosen = name;
      for (const button of row.children) button.setAttribute("aria-pressed", String(button.textContent === name));
      said.textContent = `${name}. ${caption}`;
      C.box(place, width => make(chosen, width));
      if (behind.open) behind.replaceChildren(behind.firstChild, makeTable(chosen));
    }
    for (const name of names) row.append(el("button", { type: "button", onclick: () => choose(name) }, name));
    behind.addEventListener("toggle", () => { if (behind.open) behind.replaceChildren(behind.firstChild, makeTable(chosen)); });
    choose(chosen);
    return el("figure", {}, el("h4", {}, title), said, names.length > 1 ? row : null, colours ? legend(colours) : null, place, behind);
  }
  for (const details of document.querySelectorAll("details.app[data-app]")) {
    details.addEventListener("toggle", () => { if (details.open) app(details); });
    if (details.open) app(details);
  }

  // Pareto
  const deploy = (data.criteria.find(c => c.name === "deploy") || {}).metric || "deploy.total";
  const size = "size.transfer";
  if (data.apps.some(a => has(a.cells, size) && has(a.cells, deploy))) {
    C.box($("pareto-legend"), width => C.legend(width));
    $("pareto-charts").append(...data.apps.map(a => chart(a.name, a.title, width => C.pareto(a.cells, size, deploy, width),
      () => table("Size against deploy", ["strategy", size, deploy], a.cells.map(cell => [C.strategy(cell), C.text("B", C.median(cell, size)), C.text("s", C.median(cell, deploy))])))));
  } else $("pareto-charts").append(el("p", { class: "wait" }, "Size and deploy were not both measured."));

  // scenarios
  const S = data.scenarios, titles = S.titles;
  if (Object.keys(S.parts).length) {
    const pick = $("sc-app"), which = $("sc-curve");
    pick.append(...data.apps.filter(a => a.cells.some(cell => S.parts[cell])).map(a => el("option", {}, a.name)));
    which.append(...Object.entries(titles).map(([name, title]) => el("option", { value: name }, title)));
    const grid = $("sc-charts");
    const value = id => Number($(id).value);
    const question = () => ({ wire: { bits_per_second: Math.pow(10, value("sc-speed")) * 1e6, rtt: value("sc-rtt") / 1000 }, nodes: value("sc-nodes"), versions: value("sc-versions") });
    const cells = () => data.apps.find(a => a.name === pick.value).cells.filter(cell => S.parts[cell]);
    const answers = name => cells().map(cell => ({ s: C.strategy(cell), ...(Scenarios.compute[name](S.parts[cell], question()) || { value: null }) }));
    const stored = () => C.order.filter(name => S.storage[name]).map(s => ({ s, value: Scenarios.storage(S.storage[s], question().versions) }));
    const scenarioTable = rows => table("", ["strategy", "estimate", "95 % interval", "n"], rows.map(row => [row.s, C.text("s", row.value), row.low === null || row.low === undefined ? "–" : `${C.text("s", row.low)} – ${C.text("s", row.high)}`, `${row.n ?? "–"}`]));
    const figures = Object.entries(titles).map(([name, title]) => chart(title, "", width => C.bars(answers(name), "s", width), () => scenarioTable(answers(name))));
    if (Object.keys(S.storage).length) figures.push(chart("registry storage of all apps", "", width => C.bars(stored(), "B", width), () => table("", ["strategy", "bytes"], stored().map(row => [row.s, C.text("B", row.value)]))));
    grid.append(...figures);
    const curve = chart("Over bandwidth", "The dashed line is the speed chosen above; where lines cross, another strategy becomes the faster one.", width => {
      const q = question(), lines = cells().map(cell => ({ s: C.strategy(cell), points: d3.range(0, 61).map(i => {
        const mbit = Math.pow(10, i / 15), answer = Scenarios.compute[which.value](S.parts[cell], { ...q, wire: { ...q.wire, bits_per_second: mbit * 1e6 } });
        return answer ? [mbit, answer.value] : null;
      }).filter(Boolean) })).filter(line => line.points.length);
      return lines.length ? C.curves(lines, q.wire.bits_per_second / 1e6, width) : null;
    });
    $("sc-over").append(curve);
    function crossings() {
      const q = question(), found = [], list = cells();
      list.forEach((one, i) => list.slice(i + 1).forEach(two => {
        for (const cross of Scenarios.breakEven(S.parts[one], S.parts[two], which.value, q)) {
          const [a, b] = cross.below ? [one, two] : [two, one];
          found.push(`below ${C.digits(cross.bits_per_second / 1e6)} Mbit/s ${C.strategy(a)} is faster than ${C.strategy(b)}, above it ${C.strategy(b)}`);
        }
      }));
      $("sc-break").textContent = found.length ? `Break-even: ${found.join("; ")}.` : "No break-even between 1 Mbit/s and 10 Gbit/s: the order of the strategies does not hang on bandwidth.";
    }
    function update() {
      const q = question(), mbit = q.wire.bits_per_second / 1e6;
      $("sc-speed-out").textContent = mbit >= 1000 ? `${C.digits(mbit / 1000)} Gbit/s` : `${C.digits(mbit)} Mbit/s`;
      $("sc-rtt-out").textContent = `${value("sc-rtt")} ms`;
      $("sc-nodes-out").textContent = value("sc-nodes");
      $("sc-versions-out").textContent = value("sc-versions");
      for (const place of document.querySelectorAll("#sc-charts .plot, #sc-over .plot")) C.redraw(place);
      for (const open of document.querySelectorAll("#sc-charts details[open]")) { while (open.childElementCount > 1) open.lastChild.remove(); open.open = false; }
      crossings();
    }
    let waiting = 0;
    const soon = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(update); };
    for (const id of ["sc-speed", "sc-rtt", "sc-nodes", "sc-versions", "sc-app", "sc-curve"]) $(id).addEventListener("input", soon);
    update();
  } else $("scenarios-body").replaceChildren(el("p", { class: "wait" }, "Scenarios need pulls with the layers they fetched; this run has none."));

  // weights
  const used = data.criteria.filter(c => c.metric);
  const place = $("weights"), outcome = $("weights-outcome");
  const sliders = new Map();
  for (const c of used) {
    const output = el("output", {}, `${c.weight}`), input = el("input", { type: "range", min: 0, max: 10, step: 0.5, value: c.weight, "aria-label": `weight of ${c.name}` });
    input.addEventListener("input", () => { output.textContent = input.value; weigh(); });
    sliders.set(c.name, input);
    place.append(el("label", { title: c.meaning }, el("span", {}, c.name), output, input));
  }
  const conditions = [["needs a shell", cell => C.median(cell, "surface.shells") ?? C.median(cell, "intruder.sh"), v => v >= 1], ["must not run as root", cell => C.median(cell, "surface.root"), v => v === 0]]
    .filter(([, of]) => Object.keys(data.cells).some(cell => of(cell) !== null));
  const ticks = conditions.map(([words, of, test]) => {
    const input = el("input", { type: "checkbox", onchange: () => weigh() });
    place.append(el("label", { class: "tick" }, input, words));
    return cell => !input.checked || (of(cell) !== null && test(of(cell)));
  });
  const most = el("input", { type: "number", min: 0, step: 10, placeholder: "any", "aria-label": "at most so many MB to fetch", style: "width:6rem", oninput: () => weigh() });
  place.append(el("label", {}, "at most, MB to fetch", most));
  function weigh() {
    const rows = data.choices.filter(choice => choice.app).map(choice => {
      const cells = data.apps.find(a => a.name === choice.app).cells;
      const ranked = choice.options.map(option => {
        const cell = cells.find(id => C.strategy(id) === option.strategy);
        const bytes = C.median(cell, size), allowed = ticks.every(tick => tick(cell)) && (!most.value || (bytes !== null && bytes <= most.value * 1e6));
        let sum = 0, total = 0;
        for (const [name, input] of sliders) if (option.parts[name] > 0 && Number(input.value)) { sum += input.value * Math.log(option.parts[name]); total += Number(input.value); }
        return { s: option.strategy, score: total && allowed && option.score !== null ? Math.exp(sum / total) : null };
      }).filter(option => option.score !== null).sort((a, b) => a.score - b.score);
      const [first, second] = ranked;
      const close = first && second && second.score / first.score < 1.03;
      return [choice.app, first ? el("span", {}, dot(first.s), ` ${first.s}${close ? ` or ${second.s}` : ""}`) : "none fits", first ? `${C.digits(first.score)}×` : "–", second ? `${second.s}, ${C.digits(second.score)}×` : "–", !first || first.s === choice.take ? "" : `was ${choice.take ?? "open"}`];
    });
    outcome.replaceChildren(table("First under these weights and constraints. The score is relative to the first strategy; how sure it is stands in the verdict above, for the weights given there.", ["app", "first", "score", "next", "changed"], rows));
  }
  weigh();
  $("weights-reset").addEventListener("click", () => { for (const c of used) { const input = sliders.get(c.name); input.value = c.weight; input.previousElementSibling.textContent = c.weight; } most.value = ""; for (const tick of place.querySelectorAll("[type=checkbox]")) tick.checked = false; weigh(); });

  // compare
  const one = $("cmp-a"), two = $("cmp-b"), all = Object.keys(data.cells);
  for (const select of [one, two]) select.append(...all.map(cell => el("option", {}, cell)));
  const favourite = data.choices.find(choice => choice.app && choice.take);
  one.value = all[0];
  if (favourite) { const cells = data.apps.find(a => a.name === favourite.app).cells; one.value = cells[0]; two.value = cells.find(cell => C.strategy(cell) === favourite.take); if (one.value === two.value) two.value = cells[1] || cells[0]; }
  function packages(a, b) {
    const [first, second] = [a, b].map(cell => data.packages.cells[cell]), place = $("cmp-packages");
    if (!first || !second) return place.replaceChildren();
    const names = list => list.map(i => data.packages.names[i]), only = (x, y) => names(x.filter(i => !y.includes(i)));
    const list = (words, found) => el("details", {}, el("summary", {}, `${words}: ${found.length}`), el("p", { class: "note" }, found.join(", ") || "none"));
    place.replaceChildren(el("h3", {}, "Packages"), list(`only in ${a}`, only(first, second)), list(`only in ${b}`, only(second, first)), el("p", { class: "note" }, `in both: ${first.filter(i => second.includes(i)).length}`));
  }
  const cmpLayers = el("div", { class: "plot" }), cmpSteps = el("div", { class: "plot" });
  function compare() {
    const [a, b] = [one.value, two.value], forward = data.pairs[`${a}/${b}`], backward = data.pairs[`${b}/${a}`];
    const rows = data.metrics.filter(m => C.median(a, m.name) !== null && C.median(b, m.name) !== null && (m.headline || (forward || backward || {})[m.name])).map(m => {
      let ratio = forward?.[m.name] || null;
      if (!ratio && backward?.[m.name]) { const [x, low, high, verdict, more, n] = backward[m.name]; ratio = [1 / x, high && 1 / high, low && 1 / low, verdict === "better" ? "worse" : verdict === "worse" ? "better" : verdict, more, n]; }
      const said = ratio ? ratio[3] + (ratio[3] === "undecided" && ratio[4] ? `, about ${ratio[4]} more blocks` : "") : "not of one app: no verdict";
      return [m.name, link(a, m.name, C.text(m.unit, C.median(a, m.name))), link(b, m.name, C.text(m.unit, C.median(b, m.name))), ratio && ratio[0] !== null ? C.times(ratio) : `${C.digits(C.median(b, m.name) / C.median(a, m.name))}×`, ratio && ratio[1] && ratio[1] !== ratio[2] ? `${C.digits(ratio[1])}–${C.digits(ratio[2])}` : "", said];
    });
    $("cmp-table").replaceChildren(table(`What ${b} is to ${a}; × is second ÷ first, paired by block`, ["metric", a, b, "×", "95 %", "the second is"], rows));
    packages(a, b);
    C.box(cmpLayers, width => C.layers(a === b ? [a] : [a, b].filter((cell, i, list) => list.findIndex(c => C.strategy(c) === C.strategy(cell)) === i), width));
    C.box(cmpSteps, width => C.steps([a, b].filter((cell, i, list) => list.findIndex(c => C.strategy(c) === C.strategy(cell)) === i), "build.cold", width));
  }
  $("cmp-charts").append(el("figure", {}, el("h4", {}, "Layers"), cmpLayers), el("figure", {}, el("h4", {}, "Build steps, cold"), cmpSteps));
  for (const select of [one, two]) select.addEventListener("input", compare);
  compare();

  // samples
  const sCell = $("s-cell"), sMetric = $("s-metric"), sPlot = $("s-plot");
  sCell.append(...Object.keys(data.series).map(cell => el("option", { value: cell }, cell || "engine")));
  function offer() {
    const names = Object.keys(data.series[sCell.value] || {}), before = sMetric.value;
    sMetric.replaceChildren(...names.map(name => el("option", {}, name)));
    sMetric.value = names.includes(before) ? before : names[0];
  }
  function samples() {
    const series = (data.series[sCell.value] || {})[sMetric.value], info = C.metrics.get(sMetric.value);
    C.box(sPlot, width => C.history(sCell.value, sMetric.value, width));
    if (!series) return $("s-table").replaceChildren();
    const f = C.figure(sCell.value, sMetric.value), shown = series.v.length;
    const kept = shown < series.n ? `${shown} of ${series.n} samples: extremes, and of the rest an even choice; figures are of all` : `all ${series.n} samples`;
    const what = f ? `median ${C.text(info.unit, f[1])}, MAD ${C.text(info.unit, f[6])}, ${f[7]} outliers flagged; ` : "";
    const rows = [...series.v.keys()].map(i => [`${series.b[i]}`, `${series.o[i]}`, `${series.v[i]}`]);
    $("s-table").replaceChildren(table(`${sCell.value || "engine"}, ${sMetric.value}: ${what}${kept}. Run ${data.run.id}; "order" finds the line in its samples.jsonl. Unit: ${info ? info.unit : "s"}.`, ["block", "order", "value"], rows.slice(0, 2000)));
  }
  sCell.addEventListener("input", () => { offer(); samples(); });
  sMetric.addEventListener("input", samples);
  function route() {
    const [, cell, metric] = location.hash.match(/^#samples\/([^/]*)\/(.+)$/) || [];
    if (cell !== undefined && data.series[cell]) {
      sCell.value = cell; offer(); sMetric.value = decodeURIComponent(metric); samples();
      $("samples").scrollIntoView(); $("samples-title").focus({ preventScroll: true });
    }
    const named = location.hash.match(/^#app-(.+)$/);
    if (named) { const details = document.querySelector(`details.app[data-app="${CSS.escape(named[1])}"]`); if (details) { details.open = true; details.scrollIntoView(); } }
  }
  window.addEventListener("hashchange", route);
  offer(); samples(); route();

  // print: everything open and drawn, in the light theme's colours
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details.app")) details.open = true;
    for (const details of document.querySelectorAll("details.app[data-app]")) app(details);
    C.drawAll(place => place.closest(".small") ? 222 : place.closest(".wide") || !place.closest(".charts") ? 690 : 338);
  });
  window.addEventListener("afterprint", () => C.drawAll());
  document.documentElement.dataset.ready = "yes";
})();
