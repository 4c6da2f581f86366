/* Labels and icons of the health states, in the order of models.Health: most urgent first. */

import { h, hiddenText } from "./dom.js";
import { icon } from "./icons.js";

const LABELS = {
  action_required: { text: "Action required", tone: "bad", sign: "person" },
  failed: { text: "Failed", tone: "bad", sign: "cross" },
  blocked: { text: "Blocked", tone: "warn", sign: "octagon" },
  late: { text: "Late", tone: "warn", sign: "clock" },
  expiring: { text: "Expiring", tone: "warn", sign: "calendar" },
  running: { text: "Running", tone: "busy", sign: "cycle" },
  never_loaded: { text: "Never loaded", tone: "quiet", sign: "dashed" },
  ok: { text: "OK", tone: "good", sign: "check" },
  paused: { text: "Paused", tone: "quiet", sign: "pause" },
  retired: { text: "Retired", tone: "quiet", sign: "archive" },
};

export const HEALTH_STATES = Object.keys(LABELS);

/** Text, tone and icon of a state; a state that this page does not know is shown by its name. */
export const healthLabel = (health) => LABELS[health] ?? { text: health, tone: "quiet", sign: "dashed" };

/** Whether the table shows the reason below the badge; for other states the badge is sufficient. */
export const isProblem = (health) => ["bad", "warn"].includes(healthLabel(health).tone);

/** Icon and text; the reason is a tooltip, and text for screen readers. */
export function badge(health, reason = null) {
  const { text, tone, sign } = healthLabel(health);
  return h(
    "span",
    { class: `health tone-${tone}`, title: reason, "data-health": health },
    icon(sign),
    text,
    reason === null ? null : hiddenText(`: ${reason}`),
  );
}
