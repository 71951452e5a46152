// Charts of Tare's page, drawn with Observable Plot. A strategy has one colour and one symbol everywhere, and its name.
"use strict";
const Charts = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const metrics = new Map(data.metrics.map(metric => [metric.name, metric]));
  const order = data.strategies.map(strategy => strategy.name);
  const symbols = ["circle", "square", "triangle", "diamond", "star", "wye", "cross"];
  const PHASES = { pull: "--s2", download: "--s2", unpack: "--s1", create: "--s6", start: "--s5", answer: "--s4" };

  const colour = name => `var(--s${Math.max(order.indexOf(name), 0) % 7})`;
  const symbol = name => symbols[Math.max(order.indexOf(name), 0) % symbols.length];
  const strategy = cell => data.cells[cell] ? data.cells[cell].strategy : "engine";
  const figure = (cell, metric) => (data.figures[cell] || {})[metric];
  const median = (cell, metric) => { const f = figure(cell, metric); return f && f[0] ? f[1] : null; };

  // One unit for a set of values, and digits that tell them apart.
  function unit(name, values) {
    const kind = typeof name === "string" && metrics.has(name) ? metrics.get(name).unit : name;
    const top = Math.max(0, ...values.filter(Number.isFinite));
    if (kind === "B") return top >= 1e9 ? [1e-9, "GB"] : top >= 1e6 ? [1e-6, "MB"] : top >= 1e3 ? [1e-3, "kB"] : [1, "B"];
    if (kind === "s") return top >= 1 ? [1, "s"] : top >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"];
    if (kind === "ratio") return [100, "%"];
    return [1, ""];
  }
  function digits(x) {
    const size = Math.abs(x);
    if (!Number.isFinite(x)) return "–";
    if (size >= 99.95 || Number.isInteger(x)) return x.toFixed(0);
    return x.toFixed(size >= 9.995 ? 1 : size >= 0.1 ? 2 : 3);
  }
  function text(kind, value) {
    if (value === null || value === undefined) return "–";
    if (kind === "boolean") return value ? "yes" : "no";
    const [factor, name] = unit(kind, [Math.abs(value)]);
    return digits(value * factor) + (name ? ` ${name}` : "");
  }

  // A box whose chart is drawn when it is seen, again when its width changes, and before printing.
  const boxes = new Map();
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: "600px" });
  const resized = new ResizeObserver(entries => {
    for (const { target, contentRect } of entries) {
      const box = boxes.get(target);
      if (box && box.width && Math.abs(contentRect.width - box.width) > 2) draw(target);
    }
  });
  function draw(element, width) {
    const box = boxes.get(element);
    width = width || element.clientWidth;
    if (!box || !width) return;
    box.width = width;
    let svg;
    try { svg = box.make(Math.max(width, 240)); } catch (error) { svg = null; console.error(error); }
    svg?.setAttribute("role", svg.querySelector("a") ? "group" : "img");  // an image hides the links in it
    element.replaceChildren(svg || Object.assign(document.createElement("p"), { className: "wait", textContent: "Not measured." }));
  }
  function box(element, make) {
    const first = !boxes.has(element);
    boxes.set(element, { make, width: boxes.get(element)?.width });
    if (first) { seen.observe(element); resized.observe(element); } else draw(element);
  }
  const redraw = element => { if (boxes.get(element)?.width) draw(element); };
  function drawAll(width) {
    for (const element of boxes.keys()) if (element.isConnected) draw(element, width && width(element));
  }

  const style = { background: "none", color: "var(--ink)", fontFamily: "var(--sans)", fontSize: "12px" };
  const inset = { marginLeft: 92, marginTop: 4 };
  const room = width => width < 420 ? 100 : 108;
  let zoomed = false;  // whether duration charts leave out zero
  const label = cells => cells.map(strategy);

  // Samples, interval and median of each strategy of an app; bars where the metric is exact.
  function strip(cells, metric, width) {
    const rows = cells.map(cell => ({ cell, s: strategy(cell), f: figure(cell, metric) })).filter(row => row.f && row.f[0]);
    if (!rows.length) return null;
    const info = metrics.get(metric);
    const [factor, name] = unit(metric, rows.flatMap(row => [row.f[1], row.f[3] || 0]));
    const exact = info.deterministic && rows.every(row => row.f[4] === row.f[5]);
    const marginRight = room(width), height = rows.length * 30 + 34;
    const point = row => ({
      s: row.s, x: row.f[1] * factor, lo: (row.f[2] ?? row.f[1]) * factor, hi: (row.f[3] ?? row.f[1]) * factor,
      href: `#samples/${row.cell}/${metric}`, label: text(info.unit, row.f[1]) + (row.f[9] && row.f[9][0] !== null ? `  ${times(row.f[9])}` : ""),
    });
    const points = rows.map(point);
    const x = { label: name || null, grid: true, ticks: Math.max(2, Math.floor((width - 200) / 75)), nice: true, zero: exact || !zoomed };
    const common = { ...inset, width, marginRight, style, x, ariaLabel: `${metric} of ${label(cells).join(", ")}` };
    const values = Plot.text(points, { fy: "s", frameAnchor: "right", textAnchor: "start", dx: 8, text: "label", href: "href", fill: "var(--ink)" });
    const fy = { domain: label(cells).filter(s => points.some(p => p.s === s)), label: null, padding: 0.12 };
    if (exact) {
      return Plot.plot({ ...common, height, fy, y: { axis: null }, marks: [
        Plot.barX(points, { fy: "s", x: "x", fill: d => colour(d.s), insetTop: 3, insetBottom: 3, href: "href" }),
        Plot.ruleX([0], { stroke: "var(--soft)" }), values,
      ] });
    }
    const dots = rows.flatMap(row => {
      const series = (data.series[row.cell] || {})[metric];
      return series ? series.v.map((v, i) => ({ s: row.s, x: v * factor, b: series.b[i], o: series.o[i] })) : [];
    });
    const blocks = Math.max(1, ...dots.map(d => d.b));
    return Plot.plot({ ...common, height, fy, y: { axis: null, domain: [-0.5, blocks + 0.5], reverse: true }, marks: [
      zoomed ? null : Plot.ruleX([0], { stroke: "var(--line)" }),
      Plot.ruleY(points.filter(p => p.hi > p.lo), { fy: "s", x1: "lo", x2: "hi", y: blocks / 2, stroke: d => colour(d.s), strokeWidth: 11, strokeOpacity: 0.35 }),
      Plot.dot(dots, { fy: "s", x: "x", y: "b", r: dots.length > 400 ? 1.2 : 2, fill: d => colour(d.s), fillOpacity: 0.75, tip: { format: { fill: false, fy: true, x: d => `${digits(d)} ${name}` } }, channels: { block: "b", order: "o" } }),
      Plot.tickX(points, { fy: "s", x: "x", stroke: "var(--ink)", strokeWidth: 2, insetTop: 1, insetBottom: 1, href: "href" }),
      values,
    ] });
  }

  function times(ratio) {
    const [x, , , verdict] = ratio;
    const shown = x >= 99.5 ? x.toFixed(0) : x >= 9.95 ? x.toFixed(1) : x >= 0.0995 ? x.toFixed(2) : x.toPrecision(2);
    return `${verdict === "no practical difference" && x !== 1 ? "≈" : ""}${shown}×${verdict === "undecided" ? "?" : ""}`;
  }

  // Rows of segments [row, from, to, fill, title, lane]: phases, layers, steps.
  function segments(rows, domain, width, { kind, lanes = 1, zero = "0", labels = false, totals = new Map(), describe }) {
    if (!rows.length) return null;
    const [factor, name] = unit(kind, rows.map(row => row.to));
    const drawn = rows.map(row => ({ ...row, x1: row.from * factor, x2: row.to * factor }));
    const right = totals.size ? room(width) : 16;
    const scale = (width - 92 - right) / Math.max(...drawn.map(row => row.x2));
    return Plot.plot({
      ...inset, width, marginRight: right, style, ariaLabel: describe,
      height: domain.length * Math.max(30, lanes * 15 + 8) + 34,
      fy: { domain, label: null, padding: 0.14 },
      y: { axis: null, domain: d3.range(lanes), padding: 0.08 },
      x: { label: name, grid: true, zero: true, ticks: Math.max(3, Math.floor((width - 200) / 75)) },
      marks: [
        Plot.barX(drawn, { fy: "row", y: "lane", x1: "x1", x2: "x2", fill: "fill", fillOpacity: d => d.faint ? 0.35 : 0.92, stroke: "var(--card)", strokeWidth: 0.8, title: "title", tip: true }),
        labels ? Plot.text(drawn.filter(d => (d.x2 - d.x1) * scale > 46), { fy: "row", y: "lane", x: d => (d.x1 + d.x2) / 2, text: d => clip(d.short ?? d.title, (d.x2 - d.x1) * scale / 6.4), fill: "#000", fontSize: 10.5, stroke: "#fff", strokeWidth: 2.4, strokeOpacity: .75, pointerEvents: "none" }) : null,
        totals.size ? Plot.text([...totals], { fy: d => d[0], frameAnchor: "right", textAnchor: "start", dx: 8, text: d => d[1].text, href: d => d[1].href, fill: "var(--ink)" }) : null,
        Plot.ruleX([0], { stroke: "var(--soft)" }),
      ],
    });
  }
  const clip = (words, room) => words.length <= room ? words : words.slice(0, Math.max(1, room - 1)) + "…";

  // A deployment's try holds its pull too, layer by layer: each chart takes what is its own.
  const ofLayer = ([name]) => /^(download|unpack) /.test(name);
  function phases(cell, metric) {
    const all = ((data.phases[cell] || {})[metric] || {}).phases || [];
    if (/^(pull|link)\b/.test(metric)) return all.filter(ofLayer);
    if (!metric.startsWith("deploy")) return all;
    const own = all.filter(phase => !ofLayer(phase));
    const pulled = own.length && own.length < all.length && !own.some(([name]) => name === "pull");
    return pulled ? [["pull", 0, Math.min(...own.map(phase => phase[1]))], ...own] : own;
  }
  function total(cell, metric) {
    return [strategy(cell), { text: text("s", median(cell, metric)), href: `#samples/${cell}/${metric}` }];
  }

  function stacked(cells, metric, width) {
    const rows = cells.flatMap(cell => phases(cell, metric).map(([name, start, seconds]) => ({
      row: strategy(cell), lane: 0, from: start, to: start + seconds, fill: `var(${PHASES[name] || "--s3"})`, title: `${name}: ${text("s", seconds)}`,
    })));
    const totals = new Map(cells.filter(cell => median(cell, metric) !== null).map(cell => total(cell, metric)));
    return segments(rows, label(cells).filter(s => rows.some(row => row.row === s)), width, { kind: "s", totals, describe: `${metric} by phase` });
  }

  function pull(cells, metric, width) {
    const rows = cells.flatMap(cell => phases(cell, metric).map(([name, start, seconds]) => {
      const [what, layer] = name.split(" ");
      return { row: strategy(cell), lane: what === "download" ? 0 : 1, from: start, to: start + seconds, faint: what === "download", fill: `var(${PHASES[what] || "--s3"})`, title: `${what} of layer ${layer}: ${text("s", seconds)}, from ${text("s", start)}` };
    }));
    const totals = new Map(cells.filter(cell => median(cell, metric) !== null).map(cell => total(cell, metric)));
    return segments(rows, label(cells).filter(s => rows.some(row => row.row === s)), width, { kind: "s", lanes: 2, totals, describe: `${metric}: download above, unpacking below` });
  }

  // Steps that run at the same time get lanes of their own.
  function steps(cells, metric, width) {
    let lanes = 1;
    const rows = cells.flatMap(cell => {
      const ends = [];
      return [...phases(cell, metric)].sort((a, b) => a[1] - b[1]).filter(step => step[2] > 0).map(([name, start, seconds], index) => {
        let lane = ends.findIndex(end => end <= start + 1e-3);
        if (lane < 0) lane = ends.length;
        ends[lane] = start + seconds;
        lanes = Math.max(lanes, lane + 1);
        return { row: strategy(cell), lane, from: start, to: start + seconds, fill: name.endsWith("(cached)") ? "var(--s6)" : index % 2 ? "var(--s3)" : "var(--s2)", faint: false, short: name.replace(/^\[[^\]]*\]\s*/, "").replace(/^RUN( --\S+)+ /, "RUN "), title: `${name}\n${text("s", seconds)}, from ${text("s", start)}` };
      });
    });
    const totals = new Map(cells.filter(cell => median(cell, metric) !== null).map(cell => total(cell, metric)));
    return segments(rows, label(cells).filter(s => rows.some(row => row.row === s)), width, { kind: "s", lanes, labels: true, totals, describe: `steps of ${metric} over time` });
  }

  function layers(cells, width) {
    const rows = [], totals = new Map();
    for (const cell of cells) {
      const known = data.layers[cell], whole = median(cell, "size.transfer"), unique = median(cell, "size.unique");
      const list = known ? known.map(([digest, packed, content, base, step, waste, folders]) => ({ size: packed, base, step, title: [`${base ? "layer of the base" : "layer"} ${digest.slice(7, 19)}${step ? `: ${step.slice(0, 120)}` : ""}`, `${text("B", packed)} packed${content === null ? "" : `, ${text("B", content)} of files`}${waste ? `, ${text("B", waste)} hidden by later layers` : ""}`, ...(folders || []).slice(0, 3).map(([path, bytes]) => `${path}: ${text("B", bytes)}`)].join("\n") }))
        : whole === null ? [] : [{ size: whole - (unique ?? whole), base: true, title: "layers of the base" }, { size: unique ?? whole, base: false, title: "layers beyond the base" }];
      let at = 0;
      for (const layer of list) {
        if (!layer.size) continue;
        rows.push({ row: strategy(cell), lane: 0, from: at, to: at + layer.size, fill: layer.base ? "var(--s6)" : colour(strategy(cell)), faint: layer.base, short: (layer.step || "").replace(/^RUN( --\S+)* /, ""), title: known ? layer.title : `${layer.title}: ${text("B", layer.size)}` });
        at += layer.size;
      }
      if (at) totals.set(strategy(cell), { text: text("B", whole ?? at), href: `#samples/${cell}/size.transfer` });
    }
    return segments(rows, label(cells).filter(s => totals.has(s)), width, { kind: "B", totals, labels: Boolean(rows.some(row => row.short)), describe: "compressed bytes by layer" });
  }

  // Size against deploy time: what no other strategy beats in both is on the line.
  function pareto(cells, metricX, metricY, width) {
    const points = cells.map(cell => ({ cell, s: strategy(cell), x: median(cell, metricX), y: median(cell, metricY), f: figure(cell, metricY) }))
      .filter(p => p.x > 0 && p.y > 0).map(p => ({ ...p, X: p.x / 1e6, href: `#samples/${p.cell}/${metricY}`, lo: p.f[2] ?? p.y, hi: p.f[3] ?? p.y }));
    if (!points.length) return null;
    const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
    let best = Infinity;
    const front = sorted.filter(p => p.y < best && ((best = p.y), true));
    return Plot.plot({
      width, height: 240, marginLeft: 46, marginRight: 34, marginTop: 24, marginBottom: 34, style, ariaLabel: `Pareto front of ${metricX} against ${metricY}`,
      x: { type: "log", label: "MB to fetch", grid: true, domain: spread(points.map(p => p.X)), ticks: decades(spread(points.map(p => p.X))), tickFormat: digits },
      y: { type: "log", label: "s to deploy", grid: true, domain: spread(points.flatMap(p => [p.lo, p.hi])), ticks: decades(spread(points.flatMap(p => [p.lo, p.hi]))), tickFormat: digits },
      symbol: { domain: order, range: order.map(symbol) },
      marks: [
        Plot.line(front, { x: "X", y: "y", curve: "step-after", stroke: "var(--soft)", strokeDasharray: "4 3" }),
        Plot.ruleX(points, { x: "X", y1: "lo", y2: "hi", stroke: d => colour(d.s), strokeWidth: 2 }),
        Plot.dot(points, { x: "X", y: "y", fill: d => colour(d.s), symbol: "s", r: d => front.includes(d) ? 6 : 4, stroke: d => front.includes(d) ? "var(--ink)" : "none", href: "href", title: d => `${d.s}\n${text("B", d.x)}, ${text("s", d.y)}${front.includes(d) ? "\non the front" : ""}`, tip: true }),
        Plot.text(apart(points, front, width), { x: "X", y: "y", text: "s", dy: -13, fill: "var(--ink)", fontSize: 10.5, stroke: "var(--card)", strokeWidth: 3 }),
      ],
    });
  }
  const spread = values => [Math.min(...values) / 1.35, Math.max(...values) * 1.35];
  const decades = ([low, high]) => {
    const steps = high / low > 30 ? [1] : high / low > 6 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
    return d3.range(-4, 7).flatMap(power => steps.map(step => step * Math.pow(10, power))).filter(x => x >= low && x <= high);
  };
  // Names that do not lie on one another, those on the front first; the others have their symbol in the legend.
  function apart(points, front, width) {
    const [x0, x1] = spread(points.map(p => p.X)), [y0, y1] = spread(points.flatMap(p => [p.lo, p.hi])), named = [];
    const place = p => [Math.log(p.X / x0) / Math.log(x1 / x0) * (width - 80), Math.log(p.y / y0) / Math.log(y1 / y0) * 180];
    for (const p of [...front].reverse().concat(points.filter(p => !front.includes(p)))) {
      const [x, y] = place(p);
      if (named.every(other => { const [a, b] = place(other); return Math.abs(a - x) > 62 || Math.abs(b - y) > 13; })) named.push(p);
    }
    return named;
  }
  // The symbols and colours of the strategies, as marks draw them.
  function legend(width) {
    const gap = Math.min(120, width / order.length);
    return Plot.plot({ width, height: 22, margin: 0, style, axis: null, x: { domain: [0, width], range: [0, width] }, y: { domain: [0, 1] }, symbol: { domain: order, range: order.map(symbol) }, ariaLabel: "legend", marks: [
      Plot.dot(order, { x: (_, i) => 8 + i * gap, y: () => 0.5, symbol: d => d, fill: colour, r: 5 }),
      Plot.text(order, { x: (_, i) => 18 + i * gap, y: () => 0.5, text: d => d, textAnchor: "start", fill: "var(--soft)", fontSize: gap < 80 ? 9 : 12 }),
    ] });
  }

  function bars(rows, kind, width) {
    rows = rows.filter(row => row.value !== null && row.value !== undefined);
    if (!rows.length) return null;
    const [factor, name] = unit(kind, rows.map(row => row.high ?? row.value));
    const drawn = rows.map(row => ({ ...row, x: row.value * factor, lo: (row.low ?? row.value) * factor, hi: (row.high ?? row.value) * factor }));
    return Plot.plot({
      ...inset, width, marginRight: 62, height: rows.length * 24 + 34, style, ariaLabel: "scenario by strategy",
      x: { label: name, grid: true, zero: true, ticks: 4 }, y: { domain: rows.map(row => row.s), label: null, padding: 0.2, tickSize: 0 },
      marks: [
        Plot.barX(drawn, { x: "x", y: "s", fill: d => colour(d.s), fillOpacity: 0.9 }),
        Plot.link(drawn, { x1: "lo", x2: "hi", y1: "s", y2: "s", stroke: "var(--ink)", strokeWidth: 2 }),
        Plot.text(drawn, { y: "s", frameAnchor: "right", textAnchor: "start", dx: 6, text: d => text(kind, d.value), fill: "var(--ink)" }),
        Plot.ruleX([0], { stroke: "var(--soft)" }),
      ],
    });
  }

  // A scenario over bandwidth: where lines cross, another strategy becomes the faster one.
  function curves(lines, now, width) {
    const points = lines.flatMap(line => line.points.map(([x, y]) => ({ s: line.s, x, y })));
    if (!points.length) return null;
    const last = lines.map(line => ({ s: line.s, x: line.points[0][0], y: line.points[0][1] }));
    return Plot.plot({
      width, height: 300, marginLeft: 52, marginRight: 20, marginTop: 18, style, ariaLabel: "seconds over bandwidth, a line for each strategy",
      x: { type: "log", label: "Mbit/s", grid: true, tickFormat: d => d >= 1000 ? `${d / 1000}k` : `${d}`, ticks: width < 500 ? 4 : 6 },
      y: { type: "log", label: "s", grid: true, tickFormat: d => digits(d), ticks: 5 },
      symbol: { domain: order, range: order.map(symbol) },
      marks: [
        Plot.ruleX([now], { stroke: "var(--ink)", strokeDasharray: "3 3" }),
        Plot.line(points, { x: "x", y: "y", z: "s", stroke: d => colour(d.s), strokeWidth: 2.2 }),
        Plot.dot(points.filter((_, i) => i % 8 === 0), { x: "x", y: "y", symbol: "s", fill: d => colour(d.s), r: 3.2 }),
        Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: d => `${d.s}\n${digits(d.x)} Mbit/s: ${text("s", d.y)}` })),
      ],
    });
  }

  function history(cell, metric, width) {
    const series = (data.series[cell] || {})[metric], info = metrics.get(metric);
    if (!series || !series.v.length) return null;
    const [factor, name] = unit(metric, series.v);
    const f = figure(cell, metric), points = series.v.map((v, i) => ({ x: series.b[i], y: v * factor, o: series.o[i] }));
    const c = colour(strategy(cell));
    return Plot.plot({
      width, height: 210, marginLeft: 54, style, ariaLabel: `samples of ${metric} of ${cell} by block`,
      x: { label: "block", ticks: 6, tickFormat: d => Number.isInteger(d) ? `${d}` : "" }, y: { label: name || info?.unit, grid: true, nice: true },
      marks: [
        f && f[2] !== null ? Plot.rect([0], { x1: Math.min(...series.b) - .4, x2: Math.max(...series.b) + .4, y1: f[2] * factor, y2: f[3] * factor, fill: c, fillOpacity: 0.22 }) : null,
        f && f[1] !== null ? Plot.ruleY([f[1] * factor], { stroke: "var(--ink)", strokeWidth: 1.5 }) : null,
        Plot.dot(points, { x: "x", y: "y", fill: c, r: 3, tip: true, channels: { order: "o" } }),
      ],
    });
  }

  return { data, metrics, order, colour, symbol, strategy, figure, median, text, times, digits, box, redraw, drawAll, strip, stacked, pull, steps, layers, pareto, bars, curves, history, phases, legend, zoom: on => { zoomed = on; drawAll(); } };
})();
