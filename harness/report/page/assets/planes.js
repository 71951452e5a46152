// Charts of one quantity against another: size and deploy time, scenarios, curves over bandwidth, samples by block.
"use strict";
(() => {
  const { metrics, order, colour, symbol, strategy, figure, median, series, unit, digits, text } = Figures;
  const { STYLE, INSET, ZERO, samplesLink } = Charts;
  const SYMBOLS = { domain: order, range: order.map(symbol) };

  // ── size against deploy time: what no other strategy beats in both is on the line ────────────────────────────────

  const spread = values => [Math.min(...values) / 1.35, Math.max(...values) * 1.35];
  function stepsOfDecade(ratio) {
    if (ratio > 30) return [1];
    return ratio > 6 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
  }
  function decades([low, high]) {
    const steps = stepsOfDecade(high / low);
    const all = d3.range(-4, 7).flatMap(power => steps.map(step => step * 10 ** power));
    return all.filter(x => x >= low && x <= high);
  }
  const logarithmic = (label, domain) => ({
    type: "log",
    label,
    grid: true,
    domain,
    ticks: decades(domain),
    tickFormat: digits,
  });
  function frontOf(points) {
    const sorted = [...points].sort((a, b) => a.bytes - b.bytes || a.seconds - b.seconds);
    const front = [];
    for (const point of sorted) if (point.seconds < (front.at(-1)?.seconds ?? Infinity)) front.push(point);
    return front;
  }
  // Names that do not lie on one another, those on the front first; the others have their symbol in the legend.
  function apart(points, front, width, [left, right], [bottom, top]) {
    const place = point => [
      (Math.log(point.megabytes / left) / Math.log(right / left)) * (width - 80),
      (Math.log(point.seconds / bottom) / Math.log(top / bottom)) * 180,
    ];
    const clear = (point, other) => {
      const [[x, y], [a, b]] = [place(point), place(other)];
      return Math.abs(a - x) > 62 || Math.abs(b - y) > 13;
    };
    const named = [];
    for (const point of [...front].reverse().concat(points.filter(one => !front.includes(one))))
      if (named.every(other => clear(point, other))) named.push(point);
    return named;
  }
  function paretoPoint(cell, sizeMetric, timeMetric) {
    const found = figure(cell, timeMetric);
    const [bytes, seconds] = [median(cell, sizeMetric), median(cell, timeMetric)];
    return {
      strategy: strategy(cell),
      bytes,
      megabytes: bytes / 1e6,
      seconds,
      low: found?.low ?? seconds,
      high: found?.high ?? seconds,
      href: samplesLink(cell, timeMetric),
    };
  }
  function paretoDots(points, front) {
    const best = point => front.includes(point);
    const words = point => `${point.strategy}\n${text("B", point.bytes)}, ${text("s", point.seconds)}`;
    return Plot.dot(points, {
      x: "megabytes",
      y: "seconds",
      fill: point => colour(point.strategy),
      symbol: "strategy",
      r: point => (best(point) ? 6 : 4),
      stroke: point => (best(point) ? "var(--ink)" : "none"),
      href: "href",
      title: point => words(point) + (best(point) ? "\non the front" : ""),
      tip: true,
    });
  }
  const NAMES = { dy: -13, fill: "var(--ink)", fontSize: 10.5, stroke: "var(--card)", strokeWidth: 3 };
  function pareto(cells, sizeMetric, timeMetric, width) {
    const all = cells.map(cell => paretoPoint(cell, sizeMetric, timeMetric));
    const points = all.filter(point => point.bytes > 0 && point.seconds > 0);
    if (!points.length) return null;
    const front = frontOf(points);
    const across = spread(points.map(point => point.megabytes));
    const up = spread(points.flatMap(point => [point.low, point.high]));
    const at = { x: "megabytes", y: "seconds" };
    return Plot.plot({
      width,
      height: 240,
      marginLeft: 46,
      marginRight: 34,
      marginTop: 24,
      marginBottom: 34,
      style: STYLE,
      ariaLabel: `Pareto front of ${sizeMetric} against ${timeMetric}`,
      x: logarithmic("MB to fetch", across),
      y: logarithmic("s to deploy", up),
      symbol: SYMBOLS,
      marks: [
        Plot.line(front, { ...at, curve: "step-after", stroke: "var(--soft)", strokeDasharray: "4 3" }),
        Plot.ruleX(points, { x: "megabytes", y1: "low", y2: "high", stroke: p => colour(p.strategy), strokeWidth: 2 }),
        paretoDots(points, front),
        Plot.text(apart(points, front, width, across, up), { ...at, text: "strategy", ...NAMES }),
      ],
    });
  }
  // The symbols and colours of the strategies, as marks draw them.
  function legend(width) {
    const gap = Math.min(120, width / order.length);
    const line = offset => ({ x: (_, i) => offset + i * gap, y: () => 0.5 });
    const words = { text: name => name, textAnchor: "start", fill: "var(--soft)", fontSize: gap < 80 ? 9 : 12 };
    return Plot.plot({
      width,
      height: 22,
      margin: 0,
      style: STYLE,
      axis: null,
      x: { domain: [0, width], range: [0, width] },
      y: { domain: [0, 1] },
      symbol: SYMBOLS,
      ariaLabel: "legend",
      marks: [
        Plot.dot(order, { ...line(8), symbol: name => name, fill: colour, r: 5 }),
        Plot.text(order, { ...line(18), ...words }),
      ],
    });
  }

  // ── scenarios ────────────────────────────────────────────────────────────────────────────────────────────────────

  // `rows` hold { strategy, value, low, high }; a value that is not known has no bar.
  function bars(rows, kind, width) {
    const known = rows.filter(row => row.value !== null && row.value !== undefined);
    if (!known.length) return null;
    const ends = known.map(row => row.high ?? row.value);
    const [factor, unitName] = unit(kind, ends);
    const drawn = known.map(row => ({
      ...row,
      x: row.value * factor,
      from: (row.low ?? row.value) * factor,
      to: (row.high ?? row.value) * factor,
    }));
    const words = { frameAnchor: "right", textAnchor: "start", dx: 6, fill: "var(--ink)" };
    const interval = { x1: "from", x2: "to", y1: "strategy", y2: "strategy", stroke: "var(--ink)", strokeWidth: 2 };
    return Plot.plot({
      ...INSET,
      width,
      marginRight: 62,
      height: known.length * 24 + 34,
      style: STYLE,
      ariaLabel: "scenario by strategy",
      x: { label: unitName, grid: true, zero: true, ticks: 4 },
      y: { domain: known.map(row => row.strategy), label: null, padding: 0.2, tickSize: 0 },
      marks: [
        Plot.barX(drawn, { x: "x", y: "strategy", fill: row => colour(row.strategy), fillOpacity: 0.9 }),
        Plot.link(drawn, interval),
        Plot.text(drawn, { y: "strategy", ...words, text: row => text(kind, row.value) }),
        Plot.ruleX([0], ZERO),
      ],
    });
  }

  // A scenario over bandwidth: if lines cross, another strategy becomes the faster one there.
  // `lines` hold { strategy, points: [[Mbit/s, s], …] }; `now` is the bandwidth that is chosen, in Mbit/s.
  function curves(lines, now, width) {
    const points = lines.flatMap(line => line.points.map(([x, y]) => ({ strategy: line.strategy, x, y })));
    if (!points.length) return null;
    const inColour = row => colour(row.strategy);
    const some = points.filter((_, i) => i % 8 === 0);
    const words = row => `${row.strategy}\n${digits(row.x)} Mbit/s: ${text("s", row.y)}`;
    const thousands = mbit => (mbit >= 1000 ? `${mbit / 1000}k` : `${mbit}`);
    return Plot.plot({
      width,
      height: 300,
      marginLeft: 52,
      marginRight: 20,
      marginTop: 18,
      style: STYLE,
      ariaLabel: "seconds over bandwidth, a line for each strategy",
      x: { type: "log", label: "Mbit/s", grid: true, tickFormat: thousands, ticks: width < 500 ? 4 : 6 },
      y: { type: "log", label: "s", grid: true, tickFormat: digits, ticks: 5 },
      symbol: SYMBOLS,
      marks: [
        Plot.ruleX([now], { stroke: "var(--ink)", strokeDasharray: "3 3" }),
        Plot.line(points, { x: "x", y: "y", z: "strategy", stroke: inColour, strokeWidth: 2.2 }),
        Plot.dot(some, { x: "x", y: "y", symbol: "strategy", fill: inColour, r: 3.2 }),
        Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: words })),
      ],
    });
  }

  // ── samples of one metric of one cell, by block ──────────────────────────────────────────────────────────────────

  function intervalBand(found, blocks, factor, fill) {
    const [x1, x2] = [Math.min(...blocks) - 0.4, Math.max(...blocks) + 0.4];
    return Plot.rect([0], { x1, x2, y1: found.low * factor, y2: found.high * factor, fill, fillOpacity: 0.22 });
  }
  function history(cell, metric, width) {
    const stored = series(cell, metric);
    if (!stored?.v.length) return null;
    const [factor, unitName] = unit(metric, stored.v);
    const found = figure(cell, metric) ?? { low: null, median: null };
    const points = stored.v.map((value, i) => ({ x: stored.b[i], y: value * factor, order: stored.o[i] }));
    const fill = colour(strategy(cell));
    const middle = { stroke: "var(--ink)", strokeWidth: 1.5 };
    return Plot.plot({
      width,
      height: 210,
      marginLeft: 54,
      style: STYLE,
      ariaLabel: `samples of ${metric} of ${cell} by block`,
      x: { label: "block", ticks: 6, tickFormat: block => (Number.isInteger(block) ? `${block}` : "") },
      y: { label: unitName || metrics.get(metric)?.unit, grid: true, nice: true },
      marks: [
        found.low === null ? null : intervalBand(found, stored.b, factor, fill),
        found.median === null ? null : Plot.ruleY([found.median * factor], middle),
        Plot.dot(points, { x: "x", y: "y", fill, r: 3, tip: true, channels: { order: "order" } }),
      ],
    });
  }

  Object.assign(Charts, { pareto, legend, bars, curves, history });
})();
