/* Numbers, ratios and times in the page's format, the same in every browser locale. */

const numbers = new Intl.NumberFormat("en");
const percentages = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
const parts = new Intl.DateTimeFormat("en", {
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
  timeZoneName: "short",
});

export const timeZone = parts.resolvedOptions().timeZone;

export const number = (value) => numbers.format(value);

export const percent = (ratio) => percentages.format(ratio);

export const count = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

/**
 * A timestamp in the time zone of the browser: "2026-11-22 03:00 GMT+1".
 * @param zone false omits the zone, where the page names it elsewhere
 */
export function exact(text, { zone = true } = {}) {
  const values = Object.fromEntries(parts.formatToParts(new Date(text)).map(({ type, value }) => [type, value]));
  const time = `${values.year}-${values.month}-${values.day} ${values.hour}:${values.minute}`;
  return zone ? `${time} ${values.timeZoneName}` : time;
}

const UNITS = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];

/** "in 5 hours", "2 days ago". */
export function fromNow(text, now) {
  const seconds = (new Date(text) - new Date(now)) / 1000;
  for (const [unit, size] of UNITS) {
    // Up to two days are given in hours.
    if (Math.abs(seconds) >= (unit === "day" ? 2 * size : size)) return relative.format(Math.trunc(seconds / size), unit);
  }
  return seconds >= 0 ? "in less than a minute" : "less than a minute ago";
}

/** Days to an end date: "in 14 days", "today", "3 days ago". */
export function inDays(days) {
  return days === 0 ? "today" : relative.format(days, "day");
}

/** Milliseconds as "2026-11-22", in UTC: the time zone of the browser must not shift dates. */
export const isoDate = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);

export const dateInMs = (text) => Date.parse(`${text}T00:00:00Z`);

const NAMES = { commbox: "CommBox" };

/** Display name of a key with underscores, such as a platform. */
export function displayName(key) {
  return NAMES[key] ?? key.replace(/_/g, " ").replace(/(^|\s)\S/g, (letter) => letter.toUpperCase());
}

/** The highest known match rate, null if none is known. */
export function bestRate(rates) {
  const known = rates.filter(({ rate }) => rate !== null);
  return known.length ? known.reduce((best, other) => (other.rate > best.rate ? other : best)) : null;
}
