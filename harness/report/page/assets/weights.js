// The reader's own weights and constraints: which strategy comes first under them, for each app.
"use strict";
(() => {
  const { data, strategy, median, digits } = Figures;
  const { byId, el, table, dot } = Elements;
  const place = byId("weights");
  const criteria = data.criteria.filter(criterion => criterion.metric);
  const CLOSE = 1.03; // the score of the second over the score of the first: both are named

  // ── controls ─────────────────────────────────────────────────────────────────────────────────────────────────────

  function slider({ name, weight, meaning }) {
    const range = { type: "range", min: 0, max: 10, step: 0.5, value: weight };
    const output = el("output", {}, `${weight}`);
    const input = el("input", { ...range, "aria-label": `weight of ${name}` });
    input.addEventListener("input", () => {
      output.textContent = input.value;
      weigh();
    });
    place.append(el("label", { title: meaning }, el("span", {}, name), output, input));
    return [name, input];
  }
  const sliders = new Map(criteria.map(slider));

  const shells = cell => median(cell, "surface.shells") ?? median(cell, "intruder.sh");
  const root = cell => median(cell, "surface.root");
  const conditions = [
    { words: "needs a shell", of: shells, holds: found => found >= 1 },
    { words: "must not run as root", of: root, holds: found => found === 0 },
  ].filter(({ of }) => Object.keys(data.cells).some(cell => of(cell) !== null));
  // A box to tick; gives a function that says whether a cell is allowed.
  function tick({ words, of, holds }) {
    const input = el("input", { type: "checkbox", onchange: weigh });
    place.append(el("label", { class: "tick" }, input, words));
    return cell => !input.checked || (of(cell) !== null && holds(of(cell)));
  }
  const ticks = conditions.map(tick);

  const most = el("input", {
    type: "number",
    min: 0,
    step: 10,
    placeholder: "any",
    "aria-label": "upper limit of MB to fetch",
    style: "width:6rem",
    oninput: weigh,
  });
  place.append(el("label", {}, "at most, MB to fetch", most));

  // ── ranking ──────────────────────────────────────────────────────────────────────────────────────────────────────

  function isAllowed(cell) {
    const bytes = median(cell, "size.transfer");
    const fits = !most.value || (bytes !== null && bytes <= most.value * 1e6);
    return fits && ticks.every(allows => allows(cell));
  }
  // The weighted geometric mean of the ratios to the best; null if nothing has a weight.
  function score(ratios) {
    let [sum, total] = [0, 0];
    for (const [name, input] of sliders) {
      const weight = Number(input.value);
      if (!(ratios[name] > 0) || !weight) continue;
      sum += weight * Math.log(ratios[name]);
      total += weight;
    }
    return total ? Math.exp(sum / total) : null;
  }
  function ranked(choice) {
    const { cells } = data.apps.find(app => app.name === choice.app);
    const cellOf = option => cells.find(cell => strategy(cell) === option.strategy);
    return choice.options
      .filter(option => option.score !== null && isAllowed(cellOf(option)))
      .map(option => ({ strategy: option.strategy, score: score(option.parts) }))
      .filter(option => option.score !== null)
      .sort((one, other) => one.score - other.score);
  }
  function firstText(first, second) {
    const close = second && second.score / first.score < CLOSE;
    return el("span", {}, dot(first.strategy), ` ${first.strategy}${close ? ` or ${second.strategy}` : ""}`);
  }
  function row(choice) {
    const [first, second] = ranked(choice);
    if (!first) return [choice.app, "no strategy fits", "–", "–", ""];
    return [
      choice.app,
      firstText(first, second),
      `${digits(first.score)}×`,
      second ? `${second.strategy}, ${digits(second.score)}×` : "–",
      first.strategy === choice.take ? "" : `was ${choice.take ?? "open"}`,
    ];
  }
  const CAPTION =
    "The best strategy under these weights and constraints. The score is relative to the app's first strategy. " +
    "The verdict above shows how sure the choice is with the weights of the document.";
  function weigh() {
    const rows = data.choices.filter(choice => choice.app).map(row);
    byId("weights-outcome").replaceChildren(table(CAPTION, ["app", "first", "score", "next", "changed"], rows));
  }
  function reset() {
    for (const { name, weight } of criteria) {
      const input = sliders.get(name);
      input.value = weight;
      input.previousElementSibling.textContent = weight;
    }
    most.value = "";
    for (const box of place.querySelectorAll("[type=checkbox]")) box.checked = false;
    weigh();
  }
  byId("weights-reset").addEventListener("click", reset);
  weigh();
})();
