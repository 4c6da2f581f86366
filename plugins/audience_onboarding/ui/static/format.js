/* Numbers, shares and times as this page writes them, in every browser alike. */

const numbers = new Intl.NumberFormat("en");
const shares = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
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

export const percent = (share) => shares.format(share);

export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

/**
 * A point in time, in the time zone of the browser: "2026-11-22 03:00 GMT+1".
 * @param zone whether to name the zone; only what stands where it is named may leave it out
 */
export function exact(text, { zone = true } = {}) {
  const found = Object.fromEntries(parts.formatToParts(new Date(text)).map(({ type, value }) => [type, value]));
  const time = `${found.year}-${found.month}-${found.day} ${found.hour}:${found.minute}`;
  return zone ? `${time} ${found.timeZoneName}` : time;
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
    // A day and a half is still told in hours.
    if (Math.abs(seconds) >= (unit === "day" ? 2 * size : size)) return relative.format(Math.trunc(seconds / size), unit);
  }
  return seconds >= 0 ? "in less than a minute" : "less than a minute ago";
}

/** Days to an end date: "in 14 days", "today", "3 days ago". */
export function inDays(days) {
  return days === 0 ? "today" : relative.format(days, "day");
}

/** A date in milliseconds as "2026-11-22"; dates have no time zone, so that of the browser must not shift them. */
export const isoDate = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);

export const dateInMs = (text) => Date.parse(`${text}T00:00:00Z`);

const NAMES = { commbox: "CommBox" };

/** The name of a platform, or of anything else that is written with underscores. */
export function named(key) {
  return NAMES[key] ?? key.replace(/_/g, " ").replace(/(^|\s)\S/g, (letter) => letter.toUpperCase());
}

/** The match rate that is known and best. */
export function best(rates) {
  const known = rates.filter(({ share }) => share !== null);
  return known.length ? known.reduce((one, other) => (other.share > one.share ? other : one)) : null;
}
