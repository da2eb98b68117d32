/** Days of the proleptic Gregorian calendar, moved by whole days, and the words that people have for months. */

export type Day = { readonly year: number; readonly month: number; readonly day: number };

const MS_PER_DAY = 86_400_000;
const YEAR_MIN = 1850;
const YEAR_MAX = 2150;

/** `undefined` for what is no day, or none that a note speaks of. */
export function dayOf(year: number, month: number, day: number): Day | undefined {
  if (year < YEAR_MIN || year > YEAR_MAX || month < 1 || month > 12 || day < 1) return undefined;
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCMonth() === month - 1 ? { year, month, day } : undefined;
}

export function moved({ year, month, day }: Day, days: number): Day {
  const date = new Date(Date.UTC(year, month - 1, day) + days * MS_PER_DAY);
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

/** 70 is 1970, 30 is 2030. */
export function fullYear(written: string): number {
  const year = Number(written);
  if (written.length > 2) return year;
  return year > 40 ? 1900 + year : 2000 + year;
}

const MONTHS = 'January February March April May June July August September October November December'.split(' ');

/** Names and abbreviations, longest first. */
export const MONTH_PATTERN =
  'January|February|September|November|December|October|August|March|April|Sept|June|July|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec';

export function monthOf(name: string): number {
  const start = name.slice(0, 3).toLowerCase();
  return 1 + MONTHS.findIndex((month) => month.slice(0, 3).toLowerCase() === start);
}

/** The name of another month as `like` is written: long or short, in its case. */
export function monthNameLike(month: number, like: string): string {
  const full = MONTHS[month - 1] ?? '';
  if (monthOf(like) === month) return like;
  const isShort = like.length <= 4 && !/^(june|july)$/i.test(like);
  const name = isShort ? full.slice(0, 3) : full;
  if (like === like.toUpperCase()) return name.toUpperCase();
  return like === like.toLowerCase() ? name.toLowerCase() : name;
}

export function ordinalLike(day: number, suffix: string): string {
  const end = day % 100 >= 11 && day % 100 <= 13 ? 'th' : (['th', 'st', 'nd', 'rd'][day % 10] ?? 'th');
  return suffix === suffix.toUpperCase() ? end.toUpperCase() : end;
}

/** With a leading zero where one was written, or where nothing says that none would have been. */
export function digitsLike(value: number, like: string): string {
  return like.length === 2 ? String(value).padStart(2, '0') : String(value);
}

/** Beside a month's name: without a zero unless one was written. */
export function dayLike(value: number, like: string): string {
  return like.startsWith('0') ? digitsLike(value, like) : String(value);
}
