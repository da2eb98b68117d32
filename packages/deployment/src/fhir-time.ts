/**
 * FHIR R4 dates and times as spans: a date alone may be any instant of that day anywhere on Earth. What is less exact than a
 * day (a year, a month) is not used: a value that may be eleven months older than another is not "the newest".
 */

/** Milliseconds since 1970; `earliest` <= `latest`. */
export type TimeSpan = { readonly earliest: number; readonly latest: number };

/** A record system's clock may be this far ahead of ours: what it dates later than that is not believed. */
export const RECORD_CLOCK_AHEAD_MS_MAX = 5 * 60_000;

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;
const INSTANT = /^\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)$/;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ZONE_AHEAD_MS = 14 * HOUR_MS; // the day begins first at UTC+14 ...
const ZONE_BEHIND_MS = 12 * HOUR_MS; // ... and ends last at UTC-12

export type CalendarDate = { readonly year: number; readonly month: number; readonly day: number };

/** A full date that exists; `undefined` for a year, a month or nonsense. */
export function parseDate(text: string): CalendarDate | undefined {
  const match = DATE.exec(text);
  if (match === null) return undefined;
  const [year, month, day] = match.slice(1).map(Number);
  if (year === undefined || month === undefined || day === undefined) return undefined;
  const date = new Date(Date.UTC(year, month - 1, day));
  const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  return exists && year >= 1000 ? { year, month, day } : undefined;
}

/** The span of a `date`, `dateTime` or `instant`; `undefined` when it is not exact to a day or not a date. */
export function parseTime(text: string): TimeSpan | undefined {
  const date = parseDate(text.slice(0, 10));
  if (date === undefined) return undefined;
  if (INSTANT.test(text)) {
    const at = Date.parse(text.replace(/(\.\d{3})\d+/, '$1'));
    return Number.isNaN(at) ? undefined : { earliest: at, latest: at };
  }
  if (text.length > 10) return undefined;
  const midnight = Date.UTC(date.year, date.month - 1, date.day);
  return { earliest: midnight - ZONE_AHEAD_MS, latest: midnight + DAY_MS + ZONE_BEHIND_MS - 1 };
}

/** Completed years on the day of `now` (UTC). Negative when born later. */
export function completedYears(born: CalendarDate, now: Date): number {
  const [month, day] = [now.getUTCMonth() + 1, now.getUTCDate()];
  const beforeBirthday = month < born.month || (month === born.month && day < born.day);
  return now.getUTCFullYear() - born.year - (beforeBirthday ? 1 : 0);
}
