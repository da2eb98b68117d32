/**
 * Dates and moments of FHIR R4 as the CDM wants them. The CDM holds the time of the place where it happened, so the offset of a
 * moment is dropped, not applied; FHIR demands an offset with every time, so what is written is the time of the place.
 */

const PATTERN = /^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2}):(\d{2})(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2}))?)?)?$/;

/** `date` is "2026-11-27"; a month or day that was not given is the first. `at` is "2026-11-27 08:15:00", if a time was given. */
export type FhirDate = {
  readonly date: string;
  readonly at: string | undefined;
  readonly precision: 'year' | 'month' | 'day';
};

/** undefined when it is no date of FHIR or no day of the calendar. */
export function readFhirDate(text: string | undefined): FhirDate | undefined {
  const match = text === undefined ? null : PATTERN.exec(text);
  if (match === null) return undefined;
  const [, year = '', month, day, hour, minute, second] = match;
  const date = `${year}-${month ?? '01'}-${day ?? '01'}`;
  if (!isDay(date) || Number(hour ?? 0) > 23 || Number(minute ?? 0) > 59 || Number(second ?? 0) > 60) return undefined;
  const seconds = second === '60' ? '59' : second;
  return {
    date,
    at: hour === undefined ? undefined : `${date} ${hour}:${minute}:${seconds}`,
    precision: day !== undefined ? 'day' : month !== undefined ? 'month' : 'year',
  };
}

function isDay(date: string): boolean {
  const parsed = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(parsed.getTime()) && parsed.toISOString().slice(0, 10) === date;
}
