/* Pagination: previous, next, and page size. */

import { h } from "./dom.js";

/**
 * @param go called with the new offset
 * @param sizes page sizes; null for no choice
 * @param resize called with the new size
 */
export function pager({ name, total, offset, limit, go, sizes = null, resize = null }) {
  const pages = Math.max(1, Math.ceil(total / limit));
  const page = Math.min(pages, Math.floor(offset / limit) + 1);
  const button = (label, target, enabled) =>
    h(
      "button",
      {
        type: "button",
        class: "button",
        "data-focus": `${name}:${label}`,
        // Not "disabled": a disabled button loses the focus when it is pressed.
        "aria-disabled": enabled ? null : "true",
        click: () => enabled && go(target),
      },
      label,
    );
  return h(
    "nav",
    { class: "pager", "aria-label": `Pages of ${name}` },
    button("Previous", Math.max(0, offset - limit), offset > 0),
    h("span", {}, `Page ${page} of ${pages}`),
    button("Next", offset + limit, offset + limit < total),
    sizes &&
      h(
        "span",
        { class: "end" },
        h("label", { for: `${name}-size` }, "Per page"),
        h(
          "select",
          { id: `${name}-size`, "data-focus": `${name}:size`, change: (event) => resize(Number(event.target.value)) },
          sizes.map((size) => h("option", { value: size, selected: size === limit }, size)),
        ),
      ),
  );
}
