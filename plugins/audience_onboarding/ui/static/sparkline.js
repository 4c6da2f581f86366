/* Sparkline of an audience's match rate. */

import { percent } from "./format.js";
import { svg } from "./dom.js";

const WIDTH = 88;
const HEIGHT = 24;
/** Range of rates that the height covers at least, so that small changes stay small. */
const MIN_RANGE = 0.1;

const knownRates = (trend) => trend.map(({ rate }) => rate).filter((rate) => rate !== null);

/** The trend as text, null if there are fewer than two known rates. */
export function trendText(trend) {
  const known = knownRates(trend);
  if (known.length < 2) return null;
  return `between ${percent(Math.min(...known))} and ${percent(Math.max(...known))} over the last ${trend.length} loads`;
}

/** Lines between neighbouring known rates, with a gap for a load without a rate; null as for trendText. */
export function sparkline(trend) {
  const known = knownRates(trend);
  if (known.length < 2) return null;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const middle = (low + high) / 2;
  const range = Math.max(high - low, MIN_RANGE);
  const point = (rate, index) => [
    2 + (index * (WIDTH - 6)) / (trend.length - 1),
    HEIGHT / 2 - ((rate - middle) / range) * (HEIGHT - 6),
  ];
  let path = "";
  let command = "M";
  let last = null;
  trend.forEach(({ rate }, index) => {
    if (rate === null) {
      command = "M";
      return;
    }
    last = point(rate, index);
    path += command + last.map((value) => value.toFixed(1)).join(" ");
    command = "L";
  });
  return svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", focusable: "false" },
    svg("path", { d: path }),
    svg("circle", { cx: last[0], cy: last[1], r: 2 }),
  );
}
