// Charts drawn with Observable Plot: boxes that draw themselves when they are seen, rows of samples, rows of segments.
"use strict";
globalThis.Charts = (() => {
  const { data, metrics, colour, strategy, figure, median, series, unit, digits, text, times } = Figures;
  const PHASES = { pull: "--s2", download: "--s2", unpack: "--s1", create: "--s6", start: "--s5", answer: "--s4" };
  const STYLE = { background: "none", color: "var(--ink)", fontFamily: "var(--sans)", fontSize: "12px" };
  const INSET = { marginLeft: 92, marginTop: 4 };
  const AT_THE_RIGHT = { frameAnchor: "right", textAnchor: "start", fill: "var(--ink)" };
  const ZERO = { stroke: "var(--soft)" };

  // A box whose chart is drawn when it is seen, again when its width changes, and before printing.
  const boxes = new Map();
  const seen = new IntersectionObserver(
    entries => {
      for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
    },
    { rootMargin: "600px" },
  );
  const resized = new ResizeObserver(entries => {
    for (const { target, contentRect } of entries) {
      const drawn = boxes.get(target)?.width;
      if (drawn && Math.abs(contentRect.width - drawn) > 2) draw(target);
    }
  });
  function attempt(make, width) {
    try {
      return make(Math.max(width, 240));
    } catch (error) {
      console.error(error);
      return null;
    }
  }
  const nothing = () => Object.assign(document.createElement("p"), { className: "wait", textContent: "Not measured." });
  function draw(element, wanted) {
    const kept = boxes.get(element);
    const width = wanted || element.clientWidth;
    if (!kept || !width) return;
    kept.width = width;
    const svg = attempt(kept.make, width);
    svg?.setAttribute("role", svg.querySelector("a") ? "group" : "img"); // an image hides the links in it
    element.replaceChildren(svg || nothing());
  }
  function box(element, make) {
    const first = !boxes.has(element);
    boxes.set(element, { make, width: boxes.get(element)?.width });
    if (!first) return draw(element);
    seen.observe(element);
    resized.observe(element);
  }
  function redraw(element) {
    if (boxes.get(element)?.width) draw(element);
  }
  // `width` gives the width of a box in CSS pixels; without it each box has the width that it has on the screen.
  function drawAll(width) {
    for (const element of boxes.keys()) if (element.isConnected) draw(element, width?.(element));
  }

  let zoomed = false; // whether duration charts leave out zero
  function zoom(on) {
    zoomed = on;
    drawAll();
  }
  const rightMargin = width => (width < 420 ? 100 : 108);
  const tickCount = (width, least) => Math.max(least, Math.floor((width - 200) / 75));
  const samplesLink = (cell, metric) => `#samples/${cell}/${metric}`;

  // ── samples, interval and median of each strategy of an app ──────────────────────────────────────────────────────

  // `values`: the row's numbers in the chart's unit.
  function summaryRow({ cell, found }, metric, factor) {
    const ratio = found.ratio && found.ratio[0] !== null ? `  ${times(found.ratio)}` : "";
    return {
      strategy: strategy(cell),
      median: found.median * factor,
      low: (found.low ?? found.median) * factor,
      high: (found.high ?? found.median) * factor,
      href: samplesLink(cell, metric),
      label: text(metrics.get(metric).unit, found.median) + ratio,
    };
  }
  function sampleDots(cell, metric, factor) {
    const stored = series(cell, metric);
    if (!stored) return [];
    return stored.v.map((value, i) => ({
      strategy: strategy(cell),
      value: value * factor,
      block: stored.b[i],
      order: stored.o[i],
    }));
  }
  const exactMarks = points => [
    Plot.barX(points, {
      fy: "strategy",
      x: "median",
      fill: row => colour(row.strategy),
      insetTop: 3,
      insetBottom: 3,
      href: "href",
    }),
    Plot.ruleX([0], ZERO),
  ];
  const intervalBand = (points, blocks) =>
    Plot.ruleY(
      points.filter(row => row.high > row.low),
      {
        fy: "strategy",
        x1: "low",
        x2: "high",
        y: blocks / 2,
        stroke: row => colour(row.strategy),
        strokeWidth: 11,
        strokeOpacity: 0.35,
      },
    );
  const dotsByBlock = (dots, unitName) =>
    Plot.dot(dots, {
      fy: "strategy",
      x: "value",
      y: "block",
      r: dots.length > 400 ? 1.2 : 2,
      fill: row => colour(row.strategy),
      fillOpacity: 0.75,
      tip: { format: { fill: false, fy: true, x: value => `${digits(value)} ${unitName}` } },
      channels: { block: "block", order: "order" },
    });
  const medianTicks = points =>
    Plot.tickX(points, {
      fy: "strategy",
      x: "median",
      stroke: "var(--ink)",
      strokeWidth: 2,
      insetTop: 1,
      insetBottom: 1,
      href: "href",
    });
  function stripMarks(points, dots, exact, unitName) {
    if (exact) return { y: { axis: null }, marks: exactMarks(points) };
    const blocks = Math.max(1, ...dots.map(row => row.block));
    return {
      y: { axis: null, domain: [-0.5, blocks + 0.5], reverse: true },
      marks: [
        zoomed ? null : Plot.ruleX([0], { stroke: "var(--line)" }),
        intervalBand(points, blocks),
        dotsByBlock(dots, unitName),
        medianTicks(points),
      ],
    };
  }
  // Bars if the metric is exact.
  function strip(cells, metric, width) {
    const rows = cells.map(cell => ({ cell, found: figure(cell, metric) })).filter(row => row.found?.n);
    if (!rows.length) return null;
    const shown = rows.flatMap(({ found }) => [found.median, found.high || 0]);
    const [factor, unitName] = unit(metric, shown);
    const exact = metrics.get(metric).deterministic && rows.every(({ found }) => found.least === found.most);
    const points = rows.map(row => summaryRow(row, metric, factor));
    const dots = rows.flatMap(row => sampleDots(row.cell, metric, factor));
    const { y, marks } = stripMarks(points, dots, exact, unitName);
    const values = Plot.text(points, { fy: "strategy", ...AT_THE_RIGHT, dx: 8, text: "label", href: "href" });
    return Plot.plot({
      ...INSET,
      width,
      marginRight: rightMargin(width),
      style: STYLE,
      x: { label: unitName || null, grid: true, ticks: tickCount(width, 2), nice: true, zero: exact || !zoomed },
      ariaLabel: `${metric} of ${cells.map(strategy).join(", ")}`,
      height: rows.length * 30 + 34,
      fy: { domain: points.map(row => row.strategy), label: null, padding: 0.12 },
      y,
      marks: [...marks, values],
    });
  }

  // ── rows of segments: phases, layers, steps ──────────────────────────────────────────────────────────────────────

  const clip = (words, most) => (words.length <= most ? words : `${words.slice(0, Math.max(1, most - 1))}…`);
  const segmentBars = rows =>
    Plot.barX(rows, {
      fy: "row",
      y: "lane",
      x1: "x1",
      x2: "x2",
      fill: "fill",
      fillOpacity: row => (row.faint ? 0.35 : 0.92),
      stroke: "var(--card)",
      strokeWidth: 0.8,
      title: "title",
      tip: true,
    });
  // `scale`: CSS pixels of one unit.
  function segmentNames(rows, scale) {
    const room = row => (row.x2 - row.x1) * scale;
    return Plot.text(
      rows.filter(row => room(row) > 46),
      {
        fy: "row",
        y: "lane",
        x: row => (row.x1 + row.x2) / 2,
        text: row => clip(row.short ?? row.title, room(row) / 6.4),
        fill: "#000",
        fontSize: 10.5,
        stroke: "#fff",
        strokeWidth: 2.4,
        strokeOpacity: 0.75,
        pointerEvents: "none",
      },
    );
  }
  const totalTexts = totals =>
    Plot.text([...totals], {
      fy: ([row]) => row,
      ...AT_THE_RIGHT,
      dx: 8,
      text: ([, total]) => total.text,
      href: ([, total]) => total.href,
    });
  // `rows` hold { row, lane, from, to, fill, title }; `totals` the text and link at the end of each row.
  function segments(rows, domain, width, { kind, lanes = 1, labels = false, totals = new Map(), describe }) {
    if (!rows.length) return null;
    const ends = rows.map(row => row.to);
    const [factor, unitName] = unit(kind, ends);
    const drawn = rows.map(row => ({ ...row, x1: row.from * factor, x2: row.to * factor }));
    const marginRight = totals.size ? rightMargin(width) : 16;
    const scale = (width - INSET.marginLeft - marginRight) / Math.max(...drawn.map(row => row.x2));
    return Plot.plot({
      ...INSET,
      width,
      marginRight,
      style: STYLE,
      ariaLabel: describe,
      height: domain.length * Math.max(30, lanes * 15 + 8) + 34,
      fy: { domain, label: null, padding: 0.14 },
      y: { axis: null, domain: d3.range(lanes), padding: 0.08 },
      x: { label: unitName, grid: true, zero: true, ticks: tickCount(width, 3) },
      marks: [
        segmentBars(drawn),
        labels ? segmentNames(drawn, scale) : null,
        totals.size ? totalTexts(totals) : null,
        Plot.ruleX([0], ZERO),
      ],
    });
  }

  // A deployment's try holds its pull too, layer by layer: each chart takes what is its own.
  const ofLayer = ([name]) => /^(download|unpack) /.test(name);
  function phases(cell, metric) {
    const all = data.phases[cell]?.[metric]?.phases ?? [];
    if (/^(pull|link)\b/.test(metric)) return all.filter(ofLayer);
    if (!metric.startsWith("deploy")) return all;
    const own = all.filter(phase => !ofLayer(phase));
    const pulled = own.length && own.length < all.length && !own.some(([name]) => name === "pull");
    return pulled ? [["pull", 0, Math.min(...own.map(([, start]) => start))], ...own] : own;
  }
  const phaseColour = name => `var(${PHASES[name] || "--s3"})`;

  // Segments of durations, a row for each strategy that has some, and the median at its end.
  function durations(cells, metric, width, rows, options) {
    const measured = cells.filter(cell => median(cell, metric) !== null);
    const totals = new Map(
      measured.map(cell => [
        strategy(cell),
        { text: text("s", median(cell, metric)), href: samplesLink(cell, metric) },
      ]),
    );
    const domain = cells.map(strategy).filter(name => rows.some(row => row.row === name));
    return segments(rows, domain, width, { kind: "s", totals, ...options });
  }

  function stacked(cells, metric, width) {
    const row = (cell, [name, start, seconds]) => ({
      row: strategy(cell),
      lane: 0,
      from: start,
      to: start + seconds,
      fill: phaseColour(name),
      title: `${name}: ${text("s", seconds)}`,
    });
    const rows = cells.flatMap(cell => phases(cell, metric).map(phase => row(cell, phase)));
    return durations(cells, metric, width, rows, { describe: `${metric} by phase` });
  }

  function pullRow(cell, [name, start, seconds]) {
    const [what, layer] = name.split(" ");
    const download = what === "download";
    return {
      row: strategy(cell),
      lane: download ? 0 : 1,
      from: start,
      to: start + seconds,
      faint: download,
      fill: phaseColour(what),
      title: `${what} of layer ${layer}: ${text("s", seconds)}, from ${text("s", start)}`,
    };
  }
  function pull(cells, metric, width) {
    const rows = cells.flatMap(cell => phases(cell, metric).map(phase => pullRow(cell, phase)));
    const describe = `${metric}: download above, unpacking below`;
    return durations(cells, metric, width, rows, { lanes: 2, describe });
  }

  const shortStep = name => name.replace(/^\[[^\]]*\]\s*/, "").replace(/^RUN( --\S+)+ /, "RUN ");
  function stepColour(name, index) {
    if (name.endsWith("(cached)")) return "var(--s6)";
    return index % 2 ? "var(--s3)" : "var(--s2)";
  }
  // Steps that run at the same time get lanes of their own.
  function stepRows(cell, metric) {
    const ends = []; // of the last step in each lane
    const timed = phases(cell, metric).filter(([, , seconds]) => seconds > 0);
    timed.sort(([, one], [, other]) => one - other);
    return timed.map(([name, start, seconds], index) => {
      const free = ends.findIndex(end => end <= start + 1e-3);
      const lane = free < 0 ? ends.length : free;
      ends[lane] = start + seconds;
      return {
        row: strategy(cell),
        lane,
        from: start,
        to: start + seconds,
        fill: stepColour(name, index),
        faint: false,
        short: shortStep(name),
        title: `${name}\n${text("s", seconds)}, from ${text("s", start)}`,
      };
    });
  }
  function steps(cells, metric, width) {
    const rows = cells.flatMap(cell => stepRows(cell, metric));
    const lanes = 1 + Math.max(0, ...rows.map(row => row.lane));
    return durations(cells, metric, width, rows, { lanes, labels: true, describe: `steps of ${metric} over time` });
  }

  function layerTitle([digest, packed, content, base, step, waste, folders]) {
    const whose = `${base ? "layer of the base" : "layer"} ${digest.slice(7, 19)}`;
    const files = content === null ? "" : `, ${text("B", content)} of files`;
    const hidden = waste ? `, ${text("B", waste)} hidden by later layers` : "";
    const largest = (folders || []).slice(0, 3).map(([path, bytes]) => `${path}: ${text("B", bytes)}`);
    const made = step ? `: ${step.slice(0, 120)}` : "";
    return [whose + made, `${text("B", packed)} packed${files}${hidden}`, ...largest].join("\n");
  }
  const layerOf = layer => ({ size: layer[1], base: layer[3], step: layer[4], title: layerTitle(layer) });
  // An image whose layers were not read: what it shares with its base, and what it does not.
  function twoParts(cell) {
    const whole = median(cell, "size.transfer");
    if (whole === null) return [];
    const own = median(cell, "size.unique") ?? whole;
    return [
      { size: whole - own, base: true, title: `layers of the base: ${text("B", whole - own)}` },
      { size: own, base: false, title: `layers beyond the base: ${text("B", own)}` },
    ];
  }
  function layerRows(cell) {
    const known = data.layers[cell]?.map(layerOf) ?? twoParts(cell);
    let at = 0;
    return known
      .filter(layer => layer.size)
      .map(layer => {
        at += layer.size;
        return {
          row: strategy(cell),
          lane: 0,
          from: at - layer.size,
          to: at,
          fill: layer.base ? "var(--s6)" : colour(strategy(cell)),
          faint: layer.base,
          short: (layer.step || "").replace(/^RUN( --\S+)* /, ""),
          title: layer.title,
        };
      });
  }
  function layers(cells, width) {
    const totals = new Map();
    const rows = cells.flatMap(cell => {
      const own = layerRows(cell);
      const whole = median(cell, "size.transfer") ?? own.at(-1)?.to;
      const total = { text: text("B", whole), href: samplesLink(cell, "size.transfer") };
      if (own.length) totals.set(strategy(cell), total);
      return own;
    });
    const domain = cells.map(strategy).filter(name => totals.has(name));
    const labels = rows.some(row => row.short);
    return segments(rows, domain, width, { kind: "B", totals, labels, describe: "compressed bytes by layer" });
  }

  return {
    data,
    STYLE,
    INSET,
    ZERO,
    box,
    redraw,
    drawAll,
    zoom,
    samplesLink,
    strip,
    stacked,
    pull,
    steps,
    layers,
    phases,
  };
})();
