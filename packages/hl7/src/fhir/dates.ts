/**
 * Dates and times of FHIR as the stretch of time that they mean: 2012-03 is the whole of March. Without a time zone they are read in
 * UTC, as the server knows no other that would be right for every sender.
 */

/** Milliseconds since 1970; `high` is the first that no longer belongs to it. */
export type TimeRange = { readonly low: number; readonly high: number };

const DATE_TIME = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;
const DAY_MS = 86_400_000;

/** `undefined` for a text that is no date, or a day that the calendar does not have. */
export function instantRange(text: string): TimeRange | undefined {
  const [, year, month, day, hour, minute, second, fraction, zone] = DATE_TIME.exec(text) ?? [];
  if (year === undefined) return undefined;
  const [y, m, d] = [Number(year), Number(month ?? 1), Number(day ?? 1)];
  const dayStart = utc(y, m - 1, d);
  if (m < 1 || m > 12 || new Date(dayStart).getUTCDate() !== d) return undefined;
  if (month === undefined) return { low: dayStart, high: utc(y + 1, 0, 1) };
  if (day === undefined) return { low: dayStart, high: utc(y, m, 1) };
  if (hour === undefined || minute === undefined) return { low: dayStart, high: dayStart + DAY_MS };
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second ?? 0) > 60) return undefined;
  const at = dayStart + Number(hour) * 3_600_000 + Number(minute) * 60_000 - zoneMs(zone);
  if (second === undefined) return { low: at, high: at + 60_000 };
  const seconds = at + Number(second) * 1000;
  if (fraction === undefined) return { low: seconds, high: seconds + 1000 };
  const low = seconds + Math.floor(Number(`0.${fraction}`) * 1000);
  return { low, high: low + 10 ** Math.max(0, 3 - fraction.length) };
}

/** `Date.UTC` takes years below 100 for those of the last century. */
function utc(year: number, month: number, day: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  return date.getTime();
}

function zoneMs(zone: string | undefined): number {
  if (zone === undefined || zone === 'Z') return 0;
  const [hours, minutes] = zone.slice(1).split(':').map(Number);
  const ms = ((hours ?? 0) * 60 + (minutes ?? 0)) * 60_000;
  return zone.startsWith('-') ? -ms : ms;
}
