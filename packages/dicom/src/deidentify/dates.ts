/** Dates of DICOM (PS3.5 6.2: DA, and the first eight digits of DT), moved by whole days in the proleptic Gregorian calendar. */

const MS_PER_DAY = 86_400_000;

/** `undefined` for what is no date, and for DT that is cut before the day, which cannot be moved by days. */
export function shiftDate(text: string, days: number): string | undefined {
  // 2004.01.19: ACR-NEMA's spelling, which readers are asked to accept (PS3.5 6.2, note to DA)
  const match = /^(\d{4})(\.?)(\d{2})\2(\d{2})(.*)$/.exec(text.trim());
  if (match === null) return undefined;
  const [, year = '', dot = '', month = '', day = '', rest = ''] = match;
  if (!/^(\d{2,6}(\.\d{1,6})?)?([+-]\d{4})?$/.test(rest)) return undefined;
  const ms = Date.UTC(Number(year), Number(month) - 1, Number(day));
  const moved = new Date(ms + days * MS_PER_DAY);
  const isReal = Number(year) >= 1000 && new Date(ms).getUTCDate() === Number(day) && Number(month) <= 12;
  if (!isReal || moved.getUTCFullYear() < 1000) return undefined;
  return moved.toISOString().slice(0, 10).replaceAll('-', dot) + rest;
}

const REMEMBERED_COUNT_MAX = 1000;

/** `shiftDate` that remembers: the dates of a series stand in each of its instances. */
export function rememberingShift(): typeof shiftDate {
  const memory = new Map<string, string | undefined>();
  return (text, days) => {
    const key = `${days} ${text}`;
    if (memory.has(key)) return memory.get(key);
    const shifted = shiftDate(text, days);
    if (memory.size >= REMEMBERED_COUNT_MAX) memory.clear();
    memory.set(key, shifted);
    return shifted;
  };
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const MONTH_NAMES = [
  'january',
  'february',
  'march',
  'april',
  'may',
  'june',
  'july',
  'august',
  'september',
  'october',
  'november',
  'december',
];

/**
 * A date, YYYYMMDD, in the spellings that people write, without separators and in small letters. `long` ones can be told from other
 * numbers by themselves, `short` ones (two-digit years) only where no digit is beside.
 */
export function dateSpellings(date: string): { long: string[]; short: string[] } {
  const [year, month, day] = [date.slice(0, 4), date.slice(4, 6), date.slice(6, 8)];
  const name = MONTHS[Number(month) - 1] ?? '';
  const fullName = MONTH_NAMES[Number(month) - 1] ?? '';
  const [y, m, d] = [year.slice(2), String(Number(month)), String(Number(day))];
  const named = [name, fullName].flatMap((one) => [
    `${day}${one}${year}`,
    `${d}${one}${year}`,
    `${one}${day}${year}`,
    `${one}${d}${year}`,
  ]);
  const namedShort = [name, fullName].flatMap((one) => [`${day}${one}${y}`, `${d}${one}${y}`]);
  return {
    long: [`${year}${month}${day}`, `${day}${month}${year}`, `${month}${day}${year}`, ...named],
    short: [
      `${y}${month}${day}`,
      `${day}${month}${y}`,
      `${month}${day}${y}`,
      `${d}${m}${year}`,
      `${m}${d}${year}`,
      `${year}${m}${d}`,
      ...namedShort,
    ],
  };
}

/** Whole years from one YYYYMMDD to another; `undefined` where one is no date. */
export function yearsBetween(from: string, to: string): number | undefined {
  const [start, end] = [from, to].map((date) => date.replaceAll('.', '').slice(0, 8));
  if (start === undefined || end === undefined || !/^\d{8}$/.test(start) || !/^\d{8}$/.test(end)) return undefined;
  return Math.floor((Number(end) - Number(start)) / 10_000); // as 20040719 - 19500720 = 539999: a day before the 54th birthday
}
