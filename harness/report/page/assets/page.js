// What moves on the page as a whole: theme, age, sorting, links within it, printing.
"use strict";
(() => {
  const { data } = Figures;
  const { byId, el } = Elements;
  const root = document.documentElement;

  // ── theme ────────────────────────────────────────────────────────────────────────────────────────────────────────

  const THEMES = { auto: "◐ auto", light: "○ light", dark: "● dark" };
  const names = Object.keys(THEMES);
  let theme = "auto";
  function setTheme(name) {
    theme = name;
    if (name === "auto") delete root.dataset.theme;
    else root.dataset.theme = name;
    byId("theme").textContent = THEMES[name];
    byId("theme").setAttribute("aria-label", `Theme: ${name}`);
    try {
      localStorage.setItem("tare-theme", name);
    } catch {
      // a page from disk may have no storage
    }
  }
  function storedTheme() {
    try {
      return localStorage.getItem("tare-theme") || "auto";
    } catch {
      return "auto";
    }
  }
  const asked = location.hash.slice(1);
  setTheme(["dark", "light"].includes(asked) ? asked : storedTheme());
  byId("theme").addEventListener("click", () => setTheme(names[(names.indexOf(theme) + 1) % names.length]));

  // ── age: a page gets old after it was written ────────────────────────────────────────────────────────────────────

  const { started, stale_days: staleDays } = data.run;
  const days = (Date.now() / 1000 - started) / 86400;
  if (days > staleDays && !document.querySelector("[data-kind=stale]")) {
    const words =
      `This was measured ${Math.floor(days)} days ago. After ${staleDays} days, people pull different images. ` +
      "Measure again before you decide.";
    byId("banners").append(el("div", { class: "banner", role: "alert" }, el("p", {}, el("b", {}, "Stale. "), words)));
  }

  // ── the matrix: sorted by a column, rows of one app ──────────────────────────────────────────────────────────────

  // The number behind a cell of a table; cells without one come last, cells with text only are sorted by it.
  function sortKey(cell) {
    const value = cell.dataset.v;
    if (value === undefined) return cell.textContent;
    return value === "" ? Number.POSITIVE_INFINITY : Number(value);
  }
  function order(one, other) {
    if (one < other) return -1;
    return one > other ? 1 : 0;
  }
  function sortBy(head) {
    const body = head.closest("table").tBodies[0];
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    const key = row => sortKey(row.cells[head.cellIndex]);
    const rows = [...body.rows].sort((one, other) => sign * order(key(one), key(other)));
    for (const row of rows) row.classList.remove("first");
    body.append(...rows);
  }
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }
  byId("only")?.addEventListener("change", ({ target }) => {
    for (const row of byId("matrix-table").tBodies[0].rows) {
      row.hidden = target.value !== "" && row.dataset.app !== target.value;
    }
  });

  // ── links: #samples/CELL/METRIC and #app-NAME ────────────────────────────────────────────────────────────────────

  function route() {
    const [, cell, metric] = location.hash.match(/^#samples\/([^/]*)\/(.+)$/) || [];
    if (cell !== undefined && data.series[cell]) Samples.goTo(cell, decodeURIComponent(metric));
    const [, name] = location.hash.match(/^#app-(.+)$/) || [];
    const details = name && document.querySelector(`details.app[data-app="${CSS.escape(name)}"]`);
    if (!details) return;
    details.open = true;
    details.scrollIntoView();
  }
  window.addEventListener("hashchange", route);
  route();

  // ── print: everything open and drawn, in the light theme's colours ───────────────────────────────────────────────

  // The width of a chart on paper, in CSS pixels.
  function paperWidth(place) {
    if (place.closest(".small")) return 222;
    return place.closest(".charts") && !place.closest(".wide") ? 338 : 690;
  }
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details.app")) details.open = true;
    for (const details of document.querySelectorAll("details.app[data-app]")) Apps.open(details);
    Charts.drawAll(paperWidth);
  });
  window.addEventListener("afterprint", () => Charts.drawAll());
  byId("print").addEventListener("click", () => window.print());

  root.dataset.ready = "yes";
})();
