/* The small curve of an audience's match rate. */

import { percent } from "./format.js";
import { svg } from "./dom.js";

const WIDTH = 88;
const HEIGHT = 24;
/** A rate that wavers by less than this looks as calm as it is. */
const LEAST_SPAN = 0.1;

/** What the curve says, null where it says nothing. */
export function trendText(trend) {
  const known = trend.map(({ share }) => share).filter((share) => share !== null);
  if (known.length < 2) return null;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return `between ${percent(low)} and ${percent(high)} over the last ${trend.length} loads`;
}

/** Lines between neighbours that are known; a gap where a load has no rate. */
export function spark(trend) {
  const known = trend.map(({ share }) => share).filter((share) => share !== null);
  if (known.length < 2) return null;
  const middle = (Math.min(...known) + Math.max(...known)) / 2;
  const span = Math.max(Math.max(...known) - Math.min(...known), LEAST_SPAN);
  const at = ({ share }, index) => [
    2 + (index * (WIDTH - 6)) / (trend.length - 1),
    HEIGHT / 2 - ((share - middle) / span) * (HEIGHT - 6),
  ];
  let path = "";
  let drawing = false;
  let last = null;
  trend.forEach((point, index) => {
    if (point.share === null) {
      drawing = false;
      return;
    }
    last = at(point, index);
    const [x, y] = last.map((value) => value.toFixed(1));
    path += `${drawing ? "L" : "M"}${x} ${y}`;
    drawing = true;
  });
  return svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", focusable: "false" },
    svg("path", { d: path }),
    svg("circle", { cx: last[0], cy: last[1], r: 2 }),
  );
}
