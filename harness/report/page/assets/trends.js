// Charts of trends.html, drawn with Observable Plot when they come into view.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SIDE = { bad: "var(--s0)", good: "var(--s4)", neutral: "var(--soft)" };

  // From which value on a unit is used, what to multiply by, and its name.
  const UNITS = {
    B: [
      [1e9, 1e-9, "GB"],
      [1e6, 1e-6, "MB"],
      [1e3, 1e-3, "kB"],
      [0, 1, "B"],
    ],
    s: [
      [1, 1, "s"],
      [1e-3, 1e3, "ms"],
      [0, 1e6, "µs"],
    ],
    ratio: [[0, 100, "%"]],
    boolean: [[0, 1, "yes = 1"]],
  };
  // One unit for a chart: the factor and the name.
  function unitOf(kind, values) {
    const top = Math.max(...values.map(Math.abs));
    const [, factor, name] = UNITS[kind]?.find(([least]) => top >= least) ?? [0, 1, ""];
    return [factor, name];
  }
  // Digits that tell the values of a chart apart.
  function digits(x) {
    if (Number.isInteger(x)) return String(x);
    return x.toFixed(Math.max(0, 3 - Math.floor(Math.log10(Math.abs(x) || 1))));
  }
  const day = at => at.toISOString().slice(0, 10);
  const bullets = words => words.map(word => `\n• ${word}`).join("");

  // ── what a chart shows, as flat rows with dates and scaled values ────────────────────────────────────────────────

  const dates = part => part.at.map(seconds => new Date(seconds * 1000));
  const allValues = part => [...part.m, ...part.lo, ...part.hi, ...(part.s || []).flat()];
  const scaled = (value, factor) => (value === null ? Number.NaN : value * factor);

  function nightRows(part, number, factor) {
    const at = dates(part);
    return part.m.map((median, i) => ({
      part: number,
      i,
      at: at[i],
      m: median * factor,
      lo: scaled(part.lo[i], factor),
      hi: scaled(part.hi[i], factor),
    }));
  }
  function sampleRows(part, factor) {
    const at = dates(part);
    return (part.s || []).flatMap((values, i) => (values || []).map(value => ({ at: at[i], value: value * factor })));
  }
  function changeText({ kind, text, causes }) {
    const what = kind === "drift" ? `drift from here: ${text}` : text;
    return what + (bullets(causes) || "\nno known input differs");
  }
  const mark = (at, text, colour, dash) => ({ at, text: `${day(at)}\n${text}`, colour, dash });
  function markRows(part) {
    const at = dates(part);
    const changes = part.changes.map(change => mark(at[change.i], changeText(change), SIDE[change.side], "4 3"));
    const accepted = part.accepted.map(([i, reason]) => mark(at[i], `accepted: ${reason}`, "var(--s5)", "1 3"));
    return [...changes, ...accepted];
  }
  function alarmRow({ alarm, parts }) {
    const last = parts.at(-1);
    const at = dates(last)[Math.max(0, last.at.length - (last.of - alarm.i))];
    return mark(at, `${alarm.hard ? "alarm" : "warning"}: ${alarm.what}`, "var(--s0)", "none");
  }
  function breakRow(part) {
    const [at] = dates(part);
    return { at, text: `${day(at)}\nnew environment ${part.env}${bullets(part.new)}` };
  }
  function rows(chart) {
    const known = chart.parts.flatMap(allValues).filter(value => value !== null);
    const [factor, unit] = unitOf(data.metrics[chart.metric].unit, known);
    return {
      factor,
      unit,
      nights: chart.parts.flatMap((part, number) => nightRows(part, number, factor)).filter(Question.isWithin),
      samples: chart.parts.flatMap(part => sampleRows(part, factor)).filter(Question.isWithin),
      marks: [...chart.parts.flatMap(markRows), ...(chart.alarm ? [alarmRow(chart)] : [])].filter(Question.isWithin),
      breaks: chart.parts.slice(1).map(breakRow).filter(Question.isWithin),
    };
  }

  // ── the chart ────────────────────────────────────────────────────────────────────────────────────────────────────

  // A spike must not flatten the rest: the axis holds all medians and intervals; samples beyond it are cut.
  function axis(nights) {
    const values = nights.map(row => row.m).concat(nights.flatMap(row => [row.lo, row.hi]).filter(Number.isFinite));
    const [low, high] = d3.extent(values);
    const constant = new Set(nights.map(row => row.m)).size === 1;
    if (constant) return [low * 0.95 - (low ? 0 : 1), high * 1.05 + (high ? 0 : 1)];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    return [low - room, high + room];
  }
  // With the limit of a budget, if it is near.
  function axisWithLimit(nights, limit) {
    const [low, high] = axis(nights);
    const near = limit !== null && limit > high && limit < high * 1.5;
    return [low, near ? limit * 1.02 : high];
  }
  function description(chart, nights, marks) {
    const changes = marks.map(({ text }) => text.replaceAll("\n", ": ")).join("; ");
    return `${chart.cell || "engine"} ${chart.metric}, ${nights.length} nights; ${changes || "no change"}`;
  }
  function sampleDots(samples, [low, high]) {
    if (!samples.length) return null;
    const shown = samples.filter(({ value }) => value >= low && value <= high);
    return Plot.dot(shown, { x: "at", y: "value", r: 1.3, fill: "var(--s3)", fillOpacity: 0.45 });
  }
  function nothing() {
    return Object.assign(document.createElement("p"), { className: "soft", textContent: "No night in these dates." });
  }
  const rule = (list, options) => Plot.ruleX(list, { x: "at", ...options });
  const BAND = { x: "at", y1: "lo", y2: "hi", z: "part", fill: "var(--s3)", fillOpacity: 0.28, curve: "step" };
  function draw(chart, width) {
    const { nights, samples, marks, breaks, factor, unit } = rows(chart);
    if (!nights.length) return nothing();
    const limit = chart.limit === undefined ? null : chart.limit * factor;
    const domain = axisWithLimit(nights, limit);
    const tickFormat = tick => String(Number(tick.toPrecision(6)));
    const figure = Plot.plot({
      width,
      height: Math.max(150, Math.min(220, width * 0.42)),
      marginLeft: 52,
      marginRight: 10,
      marginTop: 18,
      marginBottom: 26,
      style: { background: "transparent", color: "var(--ink)", fontSize: "11px" },
      x: { type: "utc", label: null, ticks: Math.max(3, Math.floor(width / 90)) },
      y: { label: unit ? `↑ ${unit}` : null, domain, clamp: true, grid: true, ticks: 5, tickFormat },
      marks: [
        Plot.areaY(nights, BAND),
        sampleDots(samples, domain),
        limit === null ? null : Plot.ruleY([limit], { stroke: "var(--s0)", strokeWidth: 1 }),
        rule(breaks, { stroke: "var(--soft)", strokeWidth: 3 }),
        rule(marks, { stroke: "colour", strokeWidth: 1.8, strokeDasharray: "4 3" }),
        Plot.line(nights, { x: "at", y: "m", z: "part", stroke: "var(--s2)", strokeWidth: 1.6 }),
        Plot.dot(nights, { x: "at", y: "m", r: nights.length > 200 ? 0.8 : 1.8, fill: "var(--s2)" }),
      ],
    });
    figure.setAttribute("aria-label", description(chart, nights, marks));
    hover(figure, nights, x => wordsAt(x, figure.scale("x"), nights, [...marks, ...breaks], unit));
    figure.addEventListener("click", event => openNight(chart, nearest(figure, nights, event)));
    const sameDay = row => [...marks, ...breaks].filter(({ at }) => day(at) === day(row.at)).map(({ text }) => text);
    walk(
      figure,
      nights,
      row => [nightText(row, unit), ...sameDay(row)].join("\n"),
      row => openNight(chart, row),
    );
    return figure;
  }

  // The mark or night nearest to the pointer, in words.
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  tip.setAttribute("role", "status");
  document.body.append(tip);
  function nightText(night, unit) {
    const interval = Number.isFinite(night.lo) ? ` [${digits(night.lo)}–${digits(night.hi)}]` : "";
    return `${day(night.at)}\n${digits(night.m)}${interval} ${unit}`;
  }
  // `x`: CSS pixels from the left edge of the chart.
  function wordsAt(x, scale, nights, marks, unit) {
    const distance = ({ at }) => Math.abs(scale.apply(at) - x);
    const near = marks.filter(mark => distance(mark) < 7).sort((one, other) => distance(one) - distance(other));
    if (near.length) return [...new Set(near.map(({ text }) => text))].join("\n");
    return nightText(d3.least(nights, distance), unit);
  }
  function placeTip(event) {
    const left = Math.min(event.pageX + 14, scrollX + innerWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(left, scrollX + 8)}px`;
    tip.style.top = `${event.pageY + 16}px`;
  }
  // Where the pointer is, in pixels of the drawing.
  function place(figure, event) {
    const box = figure.getBoundingClientRect();
    return (event.clientX - box.left) * (figure.viewBox.baseVal.width / box.width);
  }
  function nearest(figure, list, event) {
    const scale = figure.scale("x");
    return d3.least(list, ({ at }) => Math.abs(scale.apply(at) - place(figure, event)));
  }
  // `words`: the text for a place.
  function hover(figure, nights, words) {
    if (!nights.length) return;
    function show(event) {
      tip.textContent = words(place(figure, event));
      tip.hidden = false;
      placeTip(event);
    }
    figure.addEventListener("pointermove", show);
    figure.addEventListener("pointerdown", show);
    figure.addEventListener("pointerleave", () => {
      tip.hidden = true;
    });
  }

  // A chart with the focus: arrows, Home and End go from night to night, Enter opens the night, Escape closes it.
  // `words`: the text of a row.
  function walk(figure, nights, words, open) {
    const rows = d3.sort(nights, row => row.at);
    const last = rows.length - 1;
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    let index = last;
    function show() {
      const box = figure.getBoundingClientRect();
      const x = figure.scale("x").apply(rows[index].at);
      for (const [name, value] of Object.entries({ x1: x, x2: x, y1: 0, y2: figure.viewBox.baseVal.height })) {
        cursor.setAttribute(name, value);
      }
      cursor.setAttribute("stroke", "var(--ink)");
      figure.append(cursor);
      figure.setAttribute("aria-valuenow", index);
      figure.setAttribute("aria-valuetext", words(rows[index]));
      tip.textContent = words(rows[index]);
      tip.hidden = false;
      const left = box.left + (x * box.width) / figure.viewBox.baseVal.width;
      placeTip({ pageX: left + scrollX, pageY: box.top + box.height / 2 + scrollY });
    }
    function hide() {
      cursor.remove();
      tip.hidden = true;
    }
    const keys = {
      ArrowLeft: () => Math.max(index - 1, 0),
      ArrowRight: () => Math.min(index + 1, last),
      PageUp: () => Math.max(index - 30, 0),
      PageDown: () => Math.min(index + 30, last),
      Home: () => 0,
      End: () => last,
    };
    figure.tabIndex = 0;
    for (const [name, value] of [
      ["role", "slider"],
      ["aria-valuemin", 0],
      ["aria-valuemax", last],
      ["aria-valuenow", index],
    ]) {
      figure.setAttribute(name, value);
    }
    figure.setAttribute("aria-valuetext", words(rows[index]));
    figure.addEventListener("focus", () => figure.matches(":focus-visible") && show());
    figure.addEventListener("blur", hide);
    figure.addEventListener("keydown", event => {
      if (event.key === "Enter") {
        open(rows[index]);
        panel.querySelector("button").focus();
      } else if (event.key in keys) {
        index = keys[event.key]();
        show();
      } else return;
      event.preventDefault();
    });
  }

  const sizes = new WeakMap();
  function render(element) {
    const width = element.clientWidth;
    if (!width || Math.abs((sizes.get(element) || 0) - width) < 3) return;
    sizes.set(element, width);
    element.replaceChildren(draw(data.charts[Number(element.dataset.chart)], Math.max(width, 240)));
  }
  const seen = new IntersectionObserver(
    entries => {
      for (const entry of entries) if (entry.isIntersecting) render(entry.target);
    },
    { rootMargin: "500px" },
  );
  const resized = new ResizeObserver(entries => {
    for (const entry of entries) if (sizes.has(entry.target)) render(entry.target);
  });
  for (const element of document.querySelectorAll("[data-chart]")) {
    seen.observe(element);
    resized.observe(element);
  }

  // what is printed has not all been seen
  addEventListener("beforeprint", () => {
    for (const element of document.querySelectorAll("[data-chart]")) render(element);
  });

  // ── which charts are shown ───────────────────────────────────────────────────────────────────────────────────────

  const find = document.getElementById("find");
  const rest = document.getElementById("rest");
  // Without words to find, the charts of the rest are shown only if they are asked for.
  function isShown({ dataset }, words) {
    const name = dataset.name.toLowerCase();
    return words.every(word => name.includes(word)) && (rest.checked || words.length > 0 || !("rest" in dataset));
  }
  function filterApp(app, words) {
    const figures = [...app.querySelectorAll("figure[data-name]")];
    for (const figure of figures) figure.hidden = !isShown(figure, words);
    app.hidden = figures.every(figure => figure.hidden);
    if (words.length && !app.hidden) app.open = true;
  }
  function filter() {
    Question.put("find", find.value.trim());
    Question.put("all", rest.checked ? "yes" : "");
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const app of document.querySelectorAll("details.app")) filterApp(app, words);
  }
  // ── one night of a series: its run, its commit, and what changed ─────────────────────────────────────────────────

  const panel = document.getElementById("night");
  const nameOf = ({ cell, metric, track }) => `${cell || "engine"} ${metric} ${track}`;
  const byName = new Map(data.charts.map(chart => [nameOf(chart), chart]));
  const node = (tag, options, ...children) => {
    const made = Object.assign(document.createElement(tag), options);
    made.append(...children);
    return made;
  };
  function commitText(run, before) {
    if (!run.git) return "no commit is known";
    const changed = before?.git && before.git !== run.git ? ` (the night before: ${before.git.slice(0, 12)})` : "";
    return `commit ${run.git.slice(0, 12)}${changed}`;
  }
  function whatChanged(part, i) {
    const changes = part.changes.filter(change => change.i === i).map(changeText);
    const accepted = part.accepted.filter(([at]) => at === i).map(([, reason]) => `accepted: ${reason}`);
    return [...changes, ...accepted].join("\n") || "No change of level was found in this night.";
  }
  function openNight(chart, { part: number, i }) {
    const part = chart.parts[number];
    const run = data.runs[part.r[i]];
    const before = i > 0 ? data.runs[part.r[i - 1]] : null;
    const [factor, unit] = unitOf(data.metrics[chart.metric].unit, [part.m[i]]);
    const folder = `${data.results}/${encodeURIComponent(run.run)}/`;
    const close = node("button", { type: "button", textContent: "Close", onclick: closeNight });
    panel.replaceChildren(
      node("h3", { textContent: nameOf(chart) }),
      node("p", { textContent: `${day(dates(part)[i])}: ${digits(part.m[i] * factor)} ${unit}` }),
      node("p", {}, "run ", node("a", { href: folder, textContent: run.run }), `, ${commitText(run, before)}`),
      node("p", { textContent: `environment ${part.env}${i === 0 ? bullets(part.new) : ""}`, className: "words" }),
      node("p", { textContent: whatChanged(part, i), className: "words" }),
      close,
    );
    opener = document.activeElement?.closest("svg") ?? null;
    panel.hidden = false;
    Question.put("night", [nameOf(chart), run.run]);
  }
  let opener = null; // what had the focus before the panel
  function closeNight() {
    panel.hidden = true;
    Question.put("night", "");
    opener?.focus();
  }
  addEventListener("keydown", event => event.key === "Escape" && !panel.hidden && closeNight());
  function openAsked() {
    const [name, run] = Question.all("night");
    const chart = byName.get(name);
    const number = chart?.parts.findIndex(part => part.r.some(index => data.runs[index].run === run)) ?? -1;
    if (number < 0) return;
    openNight(chart, { part: number, i: chart.parts[number].r.findIndex(index => data.runs[index].run === run) });
  }

  // ── series laid over each other, each relative to its baseline ───────────────────────────────────────────────────

  const BASELINE = 14; // nights whose median is 100 %
  const laid = document.getElementById("laid");
  // The baseline begins at the start of a part, or at its last accepted change.
  function relativeRows(chart) {
    const name = nameOf(chart);
    return chart.parts.flatMap((part, number) => {
      const begin = part.accepted.at(-1)?.[0] ?? 0;
      const level = d3.median(part.m.slice(begin, begin + BASELINE));
      const at = dates(part);
      const rows = part.m.map((median, i) => ({ at: at[i], name, part: number, i, share: (100 * median) / level }));
      return level ? rows : [];
    });
  }
  function drawLaid() {
    const names = Question.all("over").filter(name => byName.has(name));
    laid.hidden = names.length === 0;
    const nights = names.flatMap(name => relativeRows(byName.get(name))).filter(Question.isWithin);
    const plot = laid.querySelector(".plot");
    if (!nights.length) return plot.replaceChildren(...(laid.hidden ? [] : [nothing()]));
    const [low, high] = d3.extent(nights, row => row.share);
    const figure = Plot.plot({
      width: Math.max(plot.clientWidth, 240),
      height: 260,
      marginLeft: 52,
      style: { background: "transparent", color: "var(--ink)", fontSize: "11px" },
      x: { type: "utc", label: null },
      y: { label: "↑ % of the baseline", domain: [Math.min(low, 98), Math.max(high, 102)], grid: true, nice: true },
      color: { domain: names, range: names.map((_, i) => `var(--s${i % 7})`) },
      marks: [
        Plot.ruleY([100], { stroke: "var(--soft)" }),
        Plot.line(nights, {
          x: "at",
          y: "share",
          stroke: "name",
          z: row => `${row.name} ${row.part}`,
          strokeWidth: 1.5,
        }),
        Plot.dot(nights, { x: "at", y: "share", fill: "name", r: 1.5 }),
      ],
    });
    figure.setAttribute("aria-label", `${names.join(", ")}, each relative to its baseline`);
    const words = ({ at }) => {
      const same = nights.filter(row => day(row.at) === day(at));
      return `${day(at)}${bullets(same.map(row => `${row.name}: ${row.share.toFixed(1)} %`))}`;
    };
    hover(figure, nights, x => words(d3.least(nights, row => Math.abs(figure.scale("x").apply(row.at) - x))));
    walk(figure, nights, words, row => openNight(byName.get(row.name), row));
    figure.addEventListener("click", event => {
      const row = nearest(figure, nights, event);
      openNight(byName.get(row.name), row);
    });
    const keys = names.map((name, i) => {
      const key = node("i", { className: "key line" });
      key.style.background = `var(--s${i % 7})`;
      return node("span", {}, key, name);
    });
    plot.replaceChildren(node("p", { className: "legend" }, ...keys), figure);
  }
  const boxes = [...document.querySelectorAll("input[data-over]")];
  const nameOfBox = box => nameOf(data.charts[Number(box.dataset.over)]);
  for (const box of boxes) {
    box.checked = Question.all("over").includes(nameOfBox(box));
    box.addEventListener("change", () => {
      Question.put("over", boxes.filter(other => other.checked).map(nameOfBox));
      drawLaid();
    });
  }
  addEventListener("resize", drawLaid);

  // ── dates, and the question of the address ───────────────────────────────────────────────────────────────────────

  function redraw() {
    for (const element of document.querySelectorAll("[data-chart]")) {
      if (!sizes.has(element)) continue;
      sizes.delete(element);
      render(element);
    }
    drawLaid();
  }
  for (const name of ["from", "to"]) {
    const input = document.getElementById(name);
    input.value = Question.one(name);
    input.addEventListener("change", () => {
      Question.put(name, input.value);
      redraw();
    });
  }
  find.value = Question.one("find");
  rest.checked = Question.one("all") === "yes";
  filter();
  drawLaid();
  openAsked();
  find.addEventListener("input", filter);
  rest.addEventListener("change", filter);

  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
    document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  });
})();
