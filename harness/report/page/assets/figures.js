// What the page knows: the run's data, how quantities are written, and each strategy's colour and symbol.
"use strict";
globalThis.Figures = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const metrics = new Map(data.metrics.map(metric => [metric.name, metric]));
  const order = data.strategies.map(strategy => strategy.name);
  const symbols = ["circle", "square", "triangle", "diamond", "star", "wye", "cross"];

  // A strategy has one colour and one symbol everywhere.
  const colour = name => `var(--s${Math.max(order.indexOf(name), 0) % 7})`;
  const symbol = name => symbols[Math.max(order.indexOf(name), 0) % symbols.length];
  const strategy = cell => data.cells[cell]?.strategy ?? "engine";

  // The figure of a metric of a cell, with the names of harness/report/page/data.py; undefined if it was not measured.
  function figure(cell, metric) {
    const stored = data.figures[cell]?.[metric];
    if (!stored) return undefined;
    const [n, median, low, high, least, most, mad, outliers, failed, ratio] = stored;
    return { n, median, low, high, least, most, mad, outliers, failed, ratio };
  }
  function median(cell, metric) {
    const found = figure(cell, metric);
    return found?.n ? found.median : null;
  }
  const has = (cells, metric) => cells.some(cell => median(cell, metric) !== null);
  const series = (cell, metric) => data.series[cell]?.[metric];

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
  };
  // One unit for all values of a metric or kind: the factor and the name.
  function unit(name, values) {
    const kind = metrics.get(name)?.unit ?? name;
    const top = Math.max(0, ...values.filter(Number.isFinite));
    const [, factor, shown] = UNITS[kind]?.find(([least]) => top >= least) ?? [0, 1, ""];
    return [factor, shown];
  }

  // Digits that tell values apart.
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
  // A ratio [×, low, high, verdict, …] as the tables write it.
  function times([x, , , verdict]) {
    const same = verdict === "no practical difference" && x !== 1 ? "≈" : "";
    const open = verdict === "undecided" ? "?" : "";
    return `${same}${threeDigits(x)}×${open}`;
  }
  function threeDigits(x) {
    if (x < 0.0995) return x.toPrecision(2);
    return x.toFixed(x >= 99.5 ? 0 : x >= 9.95 ? 1 : 2);
  }

  return { data, metrics, order, colour, symbol, strategy, figure, median, has, series, unit, digits, text, times };
})();
