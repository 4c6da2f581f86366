/* The words and signs of an audience's health; keys and order are those of models.Health, the most urgent first. */

import { h, hiddenText } from "./dom.js";
import { icon } from "./icons.js";

const HEALTH = {
  needs_you: { word: "Needs you", tone: "bad", sign: "person" },
  failed: { word: "Failed", tone: "bad", sign: "cross" },
  stopped: { word: "Stopped", tone: "warn", sign: "octagon" },
  late: { word: "Late", tone: "warn", sign: "clock" },
  ending: { word: "Ending", tone: "warn", sign: "calendar" },
  running: { word: "Running", tone: "busy", sign: "turning" },
  never_loaded: { word: "Never loaded", tone: "quiet", sign: "dashed" },
  ok: { word: "OK", tone: "good", sign: "check" },
  paused: { word: "Paused", tone: "quiet", sign: "pause" },
  retired: { word: "Retired", tone: "quiet", sign: "archive" },
};

export const HEALTHS = Object.keys(HEALTH);

/** What is worth a line of its own in the table; of the others the sign says all. */
export const isTrouble = (health) => ["bad", "warn"].includes(told(health).tone);

/** Its word, tone and sign; one that this page does not know (yet) shows as it is called. */
export const told = (health) => HEALTH[health] ?? { word: health, tone: "quiet", sign: "dashed" };

/** Sign and word; the reason as tooltip, and said to those who hear the page. */
export function badge(health, reason = null) {
  const { word, tone, sign } = told(health);
  return h(
    "span",
    { class: `health tone-${tone}`, title: reason, "data-health": health },
    icon(sign),
    word,
    reason === null ? null : hiddenText(`: ${reason}`),
  );
}
