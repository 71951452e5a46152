// Elements of the page: made of names, attributes and children; tables; figures with a chart and the table behind it.
"use strict";
globalThis.Elements = (() => {
  const byId = id => document.getElementById(id);

  function setAttribute(node, name, value) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
    node.append(...children.filter(child => child !== null));
    return node;
  }

  const headCell = text => el("th", { scope: "col" }, text);
  const bodyCell = (content, i) => (i ? el("td", {}, content) : el("th", { scope: "row" }, content));
  function table(caption, head, rows) {
    const body = rows.map(row => el("tr", {}, ...row.map(bodyCell)));
    const headRow = el("tr", {}, ...head.map(headCell));
    const whole = el("table", {}, el("caption", {}, caption), el("thead", {}, headRow), el("tbody", {}, ...body));
    return el("div", { class: "scroll" }, whole);
  }

  // The table that says the same as a chart; it is made when it is opened.
  function tableBehind(makeTable) {
    const details = el("details", {}, el("summary", {}, "Table"));
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) details.append(makeTable());
    });
    return details;
  }
  function chart(title, caption, make, makeTable) {
    const place = el("div", { class: "plot" });
    const behind = makeTable ? tableBehind(makeTable) : null;
    const figure = el("figure", {}, el("h4", {}, title), el("figcaption", {}, caption), place, behind);
    Charts.box(place, make);
    return figure;
  }
  const samplesLink = (cell, metric, words) => el("a", { href: Charts.samplesLink(cell, metric) }, words);
  const swatch = style => el("span", { class: "swatch", style });
  const dot = name => el("span", { class: "swatch", style: `--c:${Figures.colour(name)}`, "aria-hidden": "true" });
  const note = text => el("p", { class: "note" }, text);

  return { byId, el, table, chart, samplesLink, swatch, dot, note };
})();
