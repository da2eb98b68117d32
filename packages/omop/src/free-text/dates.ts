/**
 * Dates in the forms that people write them, each replaced by the patient's shifted date in the same form. Days come before months, as
 * in the United Kingdom, unless that makes no date. What has no year is moved as a day of the year that the note named last.
 * Times and weekdays stay. 3/12 and 2/52 are months and weeks in a British note, so a day and a month in figures alone are a date only
 * after a weekday or `on`.
 *
 * Every pattern is bounded: what it repeats, it repeats at most a few times.
 */
import {
  type Day,
  dayLike,
  dayOf,
  digitsLike,
  fullYear,
  MONTH_PATTERN,
  monthNameLike,
  monthOf,
  moved,
  ordinalLike,
} from './calendar.ts';
import type { Found } from './finding.ts';

export type DateShift = {
  /** Whole days, negative into the past. */
  readonly days: number;
  /** YYYY-MM-DD of the patient; a date that is this one becomes no date at all. */
  readonly birthDate?: string | undefined;
};

type Parts = Readonly<Record<string, string | undefined>>;
/** What stands there afterwards, or `undefined` where it is no date. `year`: of what has none. */
type Form = { readonly pattern: RegExp; readonly read: (parts: Parts, shift: Shifting) => Reading | undefined };
type Reading = { readonly replacement: string; readonly day?: Day };
type Shifting = { readonly days: number; readonly year: number };

const MONTH = `(?<month>${MONTH_PATTERN})(?<dot>\\.?)`;
const UNIT = '(?:mg|mcg|ml|g|kg|units?|tabs?|tablets?|mmol|%|iu|puffs?|days?|weeks?|months?|hours?|hrs?)\\b';
const YEAR_DEFAULT = 2020; // of a note that names no year; only its leap day shows

const FORMS: readonly Form[] = [
  {
    // 2021-03-12, 2021/03/12, with a time after it
    pattern: /(?<![\d./-])(?<year>\d{4})(?<a>[-/.])(?<month>\d{1,2})\k<a>(?<day>\d{1,2})(?!\d|[./-]\d)/g,
    read: readFigures(
      (p, day) =>
        `${day.year}${p['a']}${digitsLike(day.month, p['month'] ?? '')}${p['a']}${digitsLike(day.day, p['day'] ?? '')}`,
    ),
  },
  {
    // 12/03/2021, 12.3.21, 12-03-21, 12 / 03 / 2021
    pattern: /(?<![\d./-])(?<day>\d{1,2})(?<a> ?[./-] ?)(?<month>\d{1,2})\k<a>(?<year>\d{4}|\d{2})(?!\d|[./-]\d|\s?%)/g,
    read: readFigures((p, day) => {
      const [first, second] = isMonthFirst(p) ? [day.month, day.day] : [day.day, day.month];
      const year = digitsOfYear(day.year, p['year'] ?? '');
      return `${digitsLike(first, p['day'] ?? '')}${p['a']}${digitsLike(second, p['month'] ?? '')}${p['a']}${year}`;
    }),
  },
  {
    // 20210312, 12032021
    pattern:
      /(?<![\d.])(?:(?<year>(?:19|20)\d{2})(?<month>0[1-9]|1[0-2])(?<day>[0-3]\d)|(?<day2>[0-3]\d)(?<month2>0[1-9]|1[0-2])(?<year2>(?:19|20)\d{2}))(?!\d|\.\d)/g,
    read: (p, shift) => {
      const isYearFirst = p['year'] !== undefined;
      const [y, m, d] = isYearFirst ? [p['year'], p['month'], p['day']] : [p['year2'], p['month2'], p['day2']];
      const day = dayOf(Number(y), Number(m), Number(d));
      if (day === undefined) return undefined;
      const to = moved(day, shift.days);
      const [month, date] = [String(to.month).padStart(2, '0'), String(to.day).padStart(2, '0')];
      return { day, replacement: isYearFirst ? `${to.year}${month}${date}` : `${date}${month}${to.year}` };
    },
  },
  {
    // 12-14 March 2021, 12th and 14th Mar
    pattern: new RegExp(
      `(?<![\\p{L}\\d.,/])(?<first>\\d{1,2})(?<th1>st|nd|rd|th)?(?<link> ?(?:-|–|to|and|&|/) ?)(?<day>\\d{1,2})(?<th>st|nd|rd|th)?(?<of>(?: of)?[ -])${MONTH}(?:(?<b>,? ?)(?<year>\\d{4}))?(?![\\p{L}\\d])`,
      'giu',
    ),
    read: readRange,
  },
  {
    // 12th March 2021, 12 Mar '21, 12-Mar-21, 12 Mar
    pattern: new RegExp(
      `(?<![\\p{L}\\d.,/])(?<day>\\d{1,2})(?<th>st|nd|rd|th)?(?<of>[ \\t]?(?:of )?[-./ ]?)${MONTH}(?:(?<b>,? ?'?|[-./])(?<year>\\d{4}(?![-./]\\d)|\\d{2}(?!-?\\s?y|[\\d:.,]\\d| ?${UNIT}| ?(?:of )?(?:${MONTH_PATTERN}))))?(?![\\p{L}\\d])`,
      'giu',
    ),
    read: readNamed((p, day) => {
      const th = p['th'] === undefined ? '' : ordinalLike(day.day, p['th']);
      return `${dayLike(day.day, p['day'] ?? '')}${th}${p['of']}${monthText(p, day)}${yearText(p, day)}`;
    }),
  },
  {
    // March 12th, 2021; Mar 12
    pattern: new RegExp(
      `(?<!\\p{L})${MONTH}(?<of> )(?<day>\\d{1,2})(?<th>st|nd|rd|th)?(?:(?<b>,? )(?<year>\\d{4}))?(?![\\d:%/]|[.,]\\d| ?${UNIT})`,
      'giu',
    ),
    read: readNamed((p, day) => {
      const th = p['th'] === undefined ? '' : ordinalLike(day.day, p['th']);
      return `${monthText(p, day)}${p['of']}${dayLike(day.day, p['day'] ?? '')}${th}${yearText(p, day)}`;
    }),
  },
  {
    // March 2021, Mar-21, Mar '21
    pattern: new RegExp(
      `(?<!\\p{L})${MONTH}(?<b>[ ,/-]{1,2}'?|')(?:(?<year>(?:19|20)\\d{2})|(?<=[-'])(?<short>\\d{2}))(?![\\d:]|[.,]\\d)`,
      'giu',
    ),
    read: (p, shift) => {
      const written = p['year'] ?? p['short'] ?? '';
      const month = p['month'] ?? '';
      const to = moved({ year: fullYear(written), month: monthOf(month), day: MID_MONTH }, shift.days);
      return { replacement: `${monthText(p, to)}${p['b']}${digitsOfYear(to.year, written)}` };
    },
  },
  {
    // 03/2021
    pattern: /(?<![\d./-])(?<month>0[1-9]|1[0-2])(?<a>[/.-])(?<year>(?:19|20)\d{2})(?![\d/-]|\.\d)/g,
    read: (p, { days }) => {
      const to = moved({ year: Number(p['year']), month: Number(p['month']), day: MID_MONTH }, days);
      return { replacement: `${String(to.month).padStart(2, '0')}${p['a']}${to.year}` };
    },
  },
  {
    // Fri 12/3, on 12/03
    pattern:
      /\b(?<before>(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,? |on )(?<day>\d{1,2})\/(?<month>\d{1,2})(?![\d/%]|[.,]\d)/gi,
    read: (p, shift) => {
      // On 3/12 of a drug, for three months.
      if (/^on/i.test(p['before'] ?? '') && (p['month'] ?? '').length < 2) return undefined;
      if (/^on/i.test(p['before'] ?? '') && !/^[012]?\d$|^3[01]$/.test(p['day'] ?? '')) return undefined;
      if (/^on/i.test(p['before'] ?? '') && (p['day'] ?? '').length < 2) return undefined;
      const day = dayOf(shift.year, Number(p['month']), Number(p['day']));
      if (day === undefined) return undefined;
      const to = moved(day, shift.days);
      return {
        replacement: `${p['before']}${digitsLike(to.day, p['day'] ?? '')}/${digitsLike(to.month, p['month'] ?? '')}`,
      };
    },
  },
  {
    // since 2018, (2018)
    pattern:
      /(?<before>(?<!\d )\b(?:in|since|from|until|till|during|early|late|mid|spring|summer|autumn|winter|year|circa|around) (?:the )?(?:early |late |mid[- ])?|\()(?<year>19\d{2}|20[0-4]\d)(?=[\s.,;:)]|$)(?![.,]\d|\s?(?:mg|ml|mcg|g|units?|patients|people|women|men|births|cases|kcal|cells|copies|steps|ng|pg|iu|l|cc)\b)/gi,
    read: (p, { days }) => {
      const to = moved({ year: Number(p['year']), month: 7, day: 2 }, days);
      return { replacement: `${p['before']}${to.year}` };
    },
  },
];

const MID_MONTH = 15;

export function findDates(text: string, shift: DateShift): Found[] {
  const taken = new Uint8Array(text.length);
  const full = fullDates(text);
  const birth = shift.birthDate?.slice(0, 10);
  const found: Found[] = [];
  for (const { pattern, read } of FORMS) {
    for (const match of text.matchAll(pattern)) {
      const [start, end] = [match.index, match.index + match[0].length];
      if (taken[start] === 1 || taken[end - 1] === 1 || isDigit(text[start - 1]) || isDigit(text[end])) continue;
      const reading = read(match.groups ?? {}, { days: shift.days, year: yearBefore(full, start) });
      if (reading === undefined) continue;
      taken.fill(1, start, end);
      const { day } = reading;
      const isBirth = day !== undefined && birth !== undefined && isoOf(day) === birth;
      found.push(
        isBirth ? { kind: 'birth-date', start, end } : { kind: 'date', start, end, replacement: reading.replacement },
      );
    }
  }
  return found;
}

/** Of any script: a word of digits goes on there. */
function isDigit(character: string | undefined): boolean {
  return character !== undefined && /\p{Nd}/u.test(character);
}

/** Places of four-digit years, in order. */
function fullDates(text: string): { at: number; year: number }[] {
  return [...text.matchAll(/(?<!\d)(?:19|20)\d{2}(?!\d)/g)].map(({ index, 0: year }) => ({
    at: index,
    year: Number(year),
  }));
}

/** The last one before a place, else the first after it. */
function yearBefore(years: readonly { at: number; year: number }[], at: number): number {
  let [low, high] = [0, years.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((years[middle]?.at ?? 0) < at) low = middle + 1;
    else high = middle;
  }
  return years[low - 1]?.year ?? years[low]?.year ?? YEAR_DEFAULT;
}

function isoOf({ year, month, day }: Day): string {
  return `${year}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
}

function isMonthFirst(p: Parts): boolean {
  return Number(p['month']) > 12 && Number(p['day']) <= 12;
}

function readFigures(print: (parts: Parts, to: Day) => string) {
  return (p: Parts, { days }: Shifting): Reading | undefined => {
    const [month, date] = isMonthFirst(p) ? [p['day'], p['month']] : [p['month'], p['day']];
    const day = dayOf(fullYear(p['year'] ?? ''), Number(month), Number(date));
    return day === undefined ? undefined : { day, replacement: print(p, moved(day, days)) };
  };
}

function readNamed(print: (parts: Parts, to: Day) => string) {
  return (p: Parts, { days, year }: Shifting): Reading | undefined => {
    const name = p['month'] ?? '';
    // He may, they march, a dec(rease): words, unless something else makes them a date.
    const isWord = name === name.toLowerCase() && /^(may|mar|march|dec|jan|sept?)$/i.test(name);
    if (p['year'] === undefined && p['th'] === undefined && isWord) return undefined;
    const [month, date] = [monthOf(name), Number(p['day'])];
    // A 29 February without a year is one all the same.
    const day =
      p['year'] === undefined
        ? (dayOf(year, month, date) ?? dayOf(YEAR_DEFAULT, month, date))
        : dayOf(fullYear(p['year']), month, date);
    if (day === undefined) return undefined;
    return { replacement: print(p, moved(day, days)), ...(p['year'] === undefined ? {} : { day }) };
  };
}

function readRange(p: Parts, shift: Shifting): Reading | undefined {
  const year = p['year'] === undefined ? shift.year : Number(p['year']);
  const month = monthOf(p['month'] ?? '');
  const [from, to] = [p['first'], p['day']].map((date) => dayOf(year, month, Number(date)));
  if (from === undefined || to === undefined || from.day >= to.day) return undefined;
  const [a, b] = [moved(from, shift.days), moved(to, shift.days)];
  const th = (day: Day, suffix: string | undefined) => (suffix === undefined ? '' : ordinalLike(day.day, suffix));
  const end = `${dayLike(b.day, p['day'] ?? '')}${th(b, p['th'])}${p['of']}${monthText(p, b)}${yearText(p, b)}`;
  const isSameMonth = a.month === b.month && a.year === b.year;
  const start = `${dayLike(a.day, p['first'] ?? '')}${th(a, p['th1'])}`;
  if (isSameMonth) return { replacement: `${start}${p['link']}${end}` };
  return { replacement: `${start}${p['of']}${monthText(p, a)}${yearText(p, a)} to ${end}` };
}

function monthText(p: Parts, { month }: Day): string {
  return `${monthNameLike(month, p['month'] ?? '')}${p['dot'] ?? ''}`;
}

function yearText(p: Parts, { year }: Day): string {
  return p['year'] === undefined ? '' : `${p['b'] ?? ''}${digitsOfYear(year, p['year'])}`;
}

function digitsOfYear(year: number, like: string): string {
  return like.length === 2 ? String(year).slice(-2) : String(year);
}
