/**
 * Times of HL7 v2 (DTM: YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]) and what FHIR makes of them: date and dateTime of the same
 * precision. A time with hours needs a zone in FHIR; where the message gives none, the zone of its sender is an argument.
 */

/** A time of ours, in UTC to the millisecond. */
export function hl7Time(at: Date): string {
  const digits = at.toISOString().replace(/[-:T]/g, '').slice(0, 18);
  return `${digits}+0000`;
}

const DTM = /^(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,4}))?)?)?)?)?)?([+-]\d{4})?$/;

export type FhirTime = { readonly date: string; readonly dateTime: string };

/** `undefined` for what is no time, such as 30 February. `zone` as in `+01:00` stands in for one that is missing. */
export function fhirTime(text: string, zone: string): FhirTime | undefined {
  const match = DTM.exec(text.trim());
  if (match === null) return undefined;
  const [, year = '', month, day, hour, minute = '00', second = '00', fraction, offset] = match;
  const date = [year, month, day].filter((part) => part !== undefined).join('-');
  if (!isDate({ year, month: month ?? '01', day: day ?? '01' })) return undefined;
  if (hour === undefined) return { date, dateTime: date };
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const ofZone = offset === undefined ? zone : `${offset.slice(0, 3)}:${offset.slice(3)}`;
  if (!/^(?:[+-](?:0\d|1[0-4]):[0-5]\d|Z)$/.test(ofZone)) return undefined;
  const part = fraction === undefined ? '' : `.${fraction}`;
  return { date, dateTime: `${date}T${hour}:${minute}:${second}${part}${ofZone}` };
}

function isDate({ year, month, day }: { year: string; month: string; day: string }): boolean {
  const at = new Date(`${year}-${month}-${day}T00:00:00Z`);
  return !Number.isNaN(at.getTime()) && at.getUTCMonth() + 1 === Number(month) && at.getUTCDate() === Number(day);
}

/** `HH[MM[SS[.S..]]]` as FHIR's time. */
export function fhirTimeOfDay(text: string): string | undefined {
  const match = /^(\d{2})(?:(\d{2})(?:(\d{2})(?:\.\d{1,4})?)?)?(?:[+-]\d{4})?$/.exec(text.trim());
  if (match === null) return undefined;
  const [, hour = '', minute = '00', second = '00'] = match;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  return `${hour}:${minute}:${second}`;
}
