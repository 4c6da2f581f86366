/* Icons, 24 by 24, strokes only. Shapes differ, so that no meaning depends on colour alone. */

import { svg } from "./dom.js";

const PATHS = {
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4 21c0-4 3.6-7 8-7s8 3 8 7",
  cross: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM15 9l-6 6M9 9l6 6",
  octagon: "M8 3h8l5 5v8l-5 5H8l-5-5V8ZM8.5 12h7",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7v5l3.5 2",
  calendar: "M4 6h16v15H4ZM4 10.5h16M8.5 3v4M15.5 3v4M9.5 15h5",
  cycle: "M20 11a8 8 0 0 0-14.3-4.3L3.5 9M3.5 4v5h5M4 13a8 8 0 0 0 14.3 4.3l2.2-2.3M20.5 20v-5h-5",
  dashed: "M8 4a9 9 0 0 1 8 0M20 8a9 9 0 0 1 0 8M16 20a9 9 0 0 1-8 0M4 16a9 9 0 0 1 0-8",
  check: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM8 12.5l2.8 2.8L16 9.5",
  pause: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM10 9v6M14 9v6",
  archive: "M3 4h18v4H3ZM5 8v12h14V8M10 12.5h4",
  up: "M12 20V5M5.5 11 12 4.5l6.5 6.5",
  external: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  right: "M9 5l7 7-7 7",
  down: "M5 9l7 7 7-7",
};

export function icon(name, extra = "") {
  return svg(
    "svg",
    { viewBox: "0 0 24 24", class: `icon ${extra}`.trim(), "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] }),
  );
}
