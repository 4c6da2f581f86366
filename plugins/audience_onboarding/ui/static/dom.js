/* Elements, made without any HTML text: what comes from data only ever becomes text or a checked attribute. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. Attributes that are null, undefined or false are left out, true is an empty one, functions are listeners.
 * Children that are null or false are left out, all that is no node becomes text.
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of SVG, likewise. */
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

/** What stands where nothing is known. */
export const unknown = () => [h("span", { "aria-hidden": "true", class: "muted" }, "–"), hiddenText("not known")];

/**
 * Change a part of the page without taking the focus from the reader: what has the focus and a data-focus in there
 * is looked up again afterwards.
 */
export function keepingFocus(container, change) {
  const focused = document.activeElement;
  const name = container.contains(focused) ? focused.dataset.focus : undefined;
  change();
  if (name === undefined || container.contains(document.activeElement)) return;
  const again = [...container.querySelectorAll("[data-focus]")].find((element) => element.dataset.focus === name);
  again?.focus({ preventScroll: true });
}

/** Replace what is in an element, only if what it is made of has changed. */
export function refill(container, given, make) {
  const made = JSON.stringify(given);
  if (container.madeOf === made) return;
  container.madeOf = made;
  keepingFocus(container, () => container.replaceChildren(...[make()].flat(Infinity).filter(Boolean)));
}

/**
 * A table that keeps its meaning where the style sheet makes cards of its rows (browsers drop the roles of what is no
 * longer displayed as a table).
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
