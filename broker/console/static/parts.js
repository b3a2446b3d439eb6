// Elements, tables, charts. Text is always a text node.
const SVG = "http://www.w3.org/2000/svg";

export function h(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.flat().filter((one) => one !== ""));
  return made;
}

function s(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// columns: [title, cell of a row, classes]
export function table(columns, rows, empty) {
  if (!rows.length) return h("p", { class: "quiet" }, empty);
  return h("table", {},
    h("thead", {}, h("tr", {}, columns.map(([title, , style]) => h("th", { class: style, scope: "col" }, title)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, columns.map(([, cell, style]) => h("td", { class: style }, cell(row) ?? "-"))))));
}

const path = (values, top, width, height) => {
  let drawn = "", pen = "M";
  values.forEach((value, at) => {
    if (value === null || value === undefined) { pen = "M"; return; }
    const x = values.length > 1 ? (at / (values.length - 1)) * width : width;
    drawn += `${pen}${x.toFixed(1)} ${(height - (value / top) * height).toFixed(1)}`;
    pen = "L";
  });
  return drawn;
};

export function spark(values) {
  const top = Math.max(...values, 0) || 1;
  return s("svg", { class: "spark", viewBox: "0 -1 90 22", preserveAspectRatio: "none", role: "img", "aria-label": "entries added lately" },
    s("path", { d: path(values, top, 90, 20) }));
}

// series: [name, values]; at most two. The scale begins at zero.
export function chart(series, format) {
  const all = series.flatMap(([, values]) => values).filter((value) => value !== null && value !== undefined);
  const top = (Math.max(...all, 0) || 1) * 1.1;
  const drawn = s("svg", { class: "chart", viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": series.map(([name]) => name).join(", ") },
    ...[0.25, 0.5, 0.75, 1].map((part) => s("line", { x1: 0, x2: 300, y1: 100 * part, y2: 100 * part })),
    ...series.map(([, values], at) => s("path", { class: at ? "b" : "a", d: path(values, top, 300, 100) })));
  const legend = h("div", { class: "legend" },
    ...series.map(([name, values], at) => h("span", {}, h("i", { class: at ? "b" : "a" }), `${name} ${format(values.at(-1))}`)));
  return h("div", {}, h("span", { class: "quiet scale" }, all.length ? `top ${format(top / 1.1)}` : ""), legend, drawn);
}
