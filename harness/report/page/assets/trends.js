// Charts of trends.html, drawn with Observable Plot when they come into view.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SIDE = { bad: "var(--s0)", good: "var(--s4)", neutral: "var(--soft)" };

  // One unit for a chart, and digits that tell its values apart.
  function scaleOf(kind, values) {
    const top = Math.max(...values.map(Math.abs));
    if (kind === "B") return top >= 1e9 ? [1e-9, "GB"] : top >= 1e6 ? [1e-6, "MB"] : top >= 1e3 ? [1e-3, "kB"] : [1, "B"];
    if (kind === "s") return top >= 1 ? [1, "s"] : top >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"];
    if (kind === "ratio") return [100, "%"];
    return [1, kind === "boolean" ? "yes = 1" : ""];
  }
  const digits = x => Number.isInteger(x) ? String(x) : x.toFixed(Math.max(0, 3 - Math.floor(Math.log10(Math.abs(x) || 1))));
  const day = at => at.toISOString().slice(0, 10);

  // What a chart shows, as flat rows with dates and scaled values.
  function rows(chart) {
    const all = chart.parts.flatMap(part => [...part.m, ...part.lo, ...part.hi, ...(part.s || []).flat()]).filter(x => x !== null);
    const [factor, unit] = scaleOf(data.metrics[chart.metric].unit, all);
    const nights = [], samples = [], marks = [], breaks = [];
    chart.parts.forEach((part, number) => {
      const at = part.at.map(seconds => new Date(seconds * 1000));
      const on = (index, text, colour, dash) => marks.push({ at: at[index], text: `${day(at[index])}\n${text}`, colour, dash });
      part.m.forEach((median, i) => {
        nights.push({ part: number, at: at[i], m: median * factor, lo: part.lo[i] === null ? NaN : part.lo[i] * factor, hi: part.hi[i] === null ? NaN : part.hi[i] * factor });
        for (const value of (part.s || [])[i] || []) samples.push({ at: at[i], value: value * factor });
      });
      for (const change of part.changes) {
        const causes = change.causes.map(cause => `\n• ${cause}`).join("");
        on(change.i, `${change.kind === "drift" ? "drift from here: " : ""}${change.text}${causes || "\nno input is known to differ"}`, SIDE[change.side], "4 3");
      }
      for (const [index, reason] of part.accepted) on(index, `accepted: ${reason}`, "var(--s5)", "1 3");
      if (number) breaks.push({ at: at[0], text: `${day(at[0])}\nnew environment ${part.env}${part.new.map(fact => `\n• ${fact}`).join("")}` });
    });
    if (chart.alarm) {
      const last = chart.parts.length - 1, part = chart.parts[last];
      const at = new Date(part.at[Math.max(0, part.at.length - (part.of - chart.alarm.i))] * 1000);
      marks.push({ at, text: `${day(at)}\n${chart.alarm.hard ? "alarm" : "warning"}: ${chart.alarm.what}`, colour: "var(--s0)", dash: "none" });
    }
    return { nights, samples, marks, breaks, factor, unit };
  }

  function draw(chart, width) {
    const { nights, samples, marks, breaks, factor, unit } = rows(chart);
    const one = new Set(nights.map(row => row.m)).size === 1;
    const values = nights.map(row => row.m).concat(nights.flatMap(row => [row.lo, row.hi]).filter(Number.isFinite));
    // a spike must not flatten the rest: the axis holds all medians and intervals, samples beyond it are cut
    let [low, high] = d3.extent(values);
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    [low, high] = one ? [low * 0.95 - (low ? 0 : 1), high * 1.05 + (high ? 0 : 1)] : [low - room, high + room];
    const limit = chart.limit === undefined ? null : chart.limit * factor;
    if (limit !== null && limit > high && limit < high * 1.5) high = limit * 1.02;
    const rule = (list, options) => Plot.ruleX(list, { x: "at", ...options });
    const figure = Plot.plot({
      width, height: Math.max(150, Math.min(220, width * 0.42)), marginLeft: 52, marginRight: 10, marginTop: 18, marginBottom: 26,
      style: { background: "transparent", color: "var(--ink)", fontSize: "11px" },
      x: { type: "utc", label: null, ticks: Math.max(3, Math.floor(width / 90)) },
      y: { label: unit ? `↑ ${unit}` : null, domain: [low, high], clamp: true, grid: true, ticks: 5, tickFormat: tick => String(Number(tick.toPrecision(6))) },
      marks: [
        Plot.areaY(nights, { x: "at", y1: "lo", y2: "hi", z: "part", fill: "var(--s3)", fillOpacity: 0.28, curve: "step" }),
        samples.length ? Plot.dot(samples.filter(row => row.value >= low && row.value <= high), { x: "at", y: "value", r: 1.3, fill: "var(--s3)", fillOpacity: 0.45 }) : null,
        limit !== null ? Plot.ruleY([limit], { stroke: "var(--s0)", strokeWidth: 1 }) : null,
        rule(breaks, { stroke: "var(--soft)", strokeWidth: 3 }),
        rule(marks, { stroke: "colour", strokeWidth: 1.8, strokeDasharray: "4 3" }),
        Plot.line(nights, { x: "at", y: "m", z: "part", stroke: "var(--s2)", strokeWidth: 1.6 }),
        Plot.dot(nights, { x: "at", y: "m", r: nights.length > 200 ? 0.8 : 1.8, fill: "var(--s2)" }),
      ],
    });
    figure.setAttribute("role", "img");
    figure.setAttribute("aria-label", `${chart.cell || "engine"} ${chart.metric}, ${nights.length} nights; ` +
      (marks.length ? marks.map(mark => mark.text.replaceAll("\n", ": ")).join("; ") : "no change"));
    hover(figure, nights, marks, breaks, unit);
    return figure;
  }

  // The mark or night nearest to the pointer, in words.
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  tip.setAttribute("role", "status");
  document.body.append(tip);
  function hover(figure, nights, marks, breaks, unit) {
    const x = figure.scale("x");
    const noted = [...marks, ...breaks].map(mark => ({ at: x.apply(mark.at), text: mark.text }));
    const show = event => {
      const box = figure.getBoundingClientRect();
      const at = (event.clientX - box.left) * (figure.viewBox.baseVal.width / box.width);
      const near = noted.filter(mark => Math.abs(mark.at - at) < 7).sort((a, b) => Math.abs(a.at - at) - Math.abs(b.at - at));
      const night = d3.least(nights, row => Math.abs(x.apply(row.at) - at));
      const interval = Number.isFinite(night.lo) ? ` [${digits(night.lo)}–${digits(night.hi)}]` : "";
      tip.textContent = near.length ? [...new Set(near.map(mark => mark.text))].join("\n") : `${day(night.at)}\n${digits(night.m)}${interval} ${unit}`;
      tip.hidden = false;
      const left = Math.min(event.pageX + 14, scrollX + innerWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(left, scrollX + 8)}px`;
      tip.style.top = `${event.pageY + 16}px`;
    };
    figure.addEventListener("pointermove", show);
    figure.addEventListener("pointerdown", show);
    figure.addEventListener("pointerleave", () => { tip.hidden = true; });
  }

  const sizes = new WeakMap();
  function render(element) {
    const width = element.clientWidth;
    if (!width || Math.abs((sizes.get(element) || 0) - width) < 3) return;
    sizes.set(element, width);
    element.replaceChildren(draw(data.charts[Number(element.dataset.chart)], Math.max(width, 240)));
  }
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) render(entry.target);
  }, { rootMargin: "500px" });
  const resized = new ResizeObserver(entries => {
    for (const entry of entries) if (sizes.has(entry.target)) render(entry.target);
  });
  for (const element of document.querySelectorAll("[data-chart]")) { seen.observe(element); resized.observe(element); }

  // what is printed has not all been seen
  addEventListener("beforeprint", () => { for (const element of document.querySelectorAll("[data-chart]")) render(element); });

  const find = document.getElementById("find"), rest = document.getElementById("rest");
  function filter() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const app of document.querySelectorAll("details.app")) {
      let any = false;
      for (const figure of app.querySelectorAll("figure[data-name]")) {
        const named = words.every(word => figure.dataset.name.toLowerCase().includes(word));
        figure.hidden = !(named && (rest.checked || words.length || !("rest" in figure.dataset)));
        any ||= !figure.hidden;
      }
      app.hidden = !any;
      if (words.length && any) app.open = true;
    }
  }
  find.addEventListener("input", filter);
  rest.addEventListener("change", filter);

  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
    document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  });
})();
