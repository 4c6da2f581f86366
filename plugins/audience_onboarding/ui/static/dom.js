/* DOM elements, created without HTML strings: data only becomes text or a checked attribute. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Create an element. Attributes that are null, undefined or false are omitted, true is an empty attribute, functions are
 * event listeners. Children that are null, undefined or false are omitted; other values become text nodes.
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Create an SVG element, likewise. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const hiddenText = (text) => h("span", { class: "hidden-text" }, text);

/** Placeholder of an unknown value. */
export const emptyValue = () => [h("span", { "aria-hidden": "true", class: "muted" }, "–"), hiddenText("not known")];

/**
 * Change a part of the page and keep the focus: the element with the same data-focus is focused afterwards.
 */
export function preserveFocus(container, change) {
  const focused = document.activeElement;
  const name = container.contains(focused) ? focused.dataset.focus : undefined;
  change();
  if (name === undefined || container.contains(document.activeElement)) return;
  const replacement = [...container.querySelectorAll("[data-focus]")].find((element) => element.dataset.focus === name);
  replacement?.focus({ preventScroll: true });
}

/** Replace the children of an element if the values they depend on have changed. */
export function replaceChildrenKeyed(container, values, build) {
  const key = JSON.stringify(values);
  if (container.childrenKey === key) return;
  container.childrenKey = key;
  preserveFocus(container, () => container.replaceChildren(...[build()].flat(Infinity).filter(Boolean)));
}

/**
 * Elements of a table, with explicit roles: browsers drop the implicit ones when the style sheet displays rows as cards.
 */
export const table = {
  table: (attributes, ...children) => h("table", { role: "table", ...attributes }, ...children),
  head: (...children) => h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...children)),
  body: (attributes, ...children) => h("tbody", { role: "rowgroup", ...attributes }, ...children),
  row: (...children) => h("tr", { role: "row", class: "row" }, ...children),
  column: (attributes, ...children) => h("th", { role: "columnheader", scope: "col", ...attributes }, ...children),
  name: (attributes, ...children) => h("th", { role: "rowheader", scope: "row", ...attributes }, ...children),
  cell: (attributes, ...children) => h("td", { role: "cell", ...attributes }, ...children),
};
