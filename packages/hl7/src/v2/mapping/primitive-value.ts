/** A text of HL7 v2 as a primitive of FHIR R4 (datatypes.html#primitive), or why it is none. */
import { fhirTime, fhirTimeOfDay } from '../time.ts';
import type { Json } from './resource-tree.ts';

export type Conversion = { readonly value: Json } | { readonly rule: string };

type Wanted = {
  readonly type: string;
  readonly codes: readonly string[];
  /** Of times that name none. */
  readonly timeZone: string;
};

export function primitiveOf(text: string, { type, codes, timeZone }: Wanted): Conversion {
  const trimmed = text.trim();
  switch (type) {
    case 'code':
      return codeOf(trimmed.replace(/\s+/g, ' '), codes);
    case 'boolean':
      return booleanOf(trimmed);
    case 'date':
      return timeOr(fhirTime(trimmed, timeZone)?.date);
    case 'dateTime':
      return timeOr(fhirTime(trimmed, timeZone)?.dateTime);
    case 'instant':
      return instantOf(fhirTime(trimmed, timeZone)?.dateTime);
    case 'time':
      return timeOr(fhirTimeOfDay(trimmed));
    case 'decimal':
      return decimalOf(trimmed);
    case 'integer':
    case 'positiveInt':
    case 'unsignedInt':
      return integerOf(trimmed, type === 'positiveInt' ? 1 : type === 'unsignedInt' ? 0 : -0x80000000);
    case 'uri':
    case 'url':
    case 'canonical':
    case 'oid':
      return trimmed === '' || /\s/.test(trimmed) ? { rule: 'is no URI' } : { value: trimmed };
    case 'base64Binary':
      return { value: base64Of(text) };
    default:
      return stringOf(text);
  }
}

function stringOf(text: string): Conversion {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what FHIR forbids in a string
  const allowed = text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '').trim();
  return allowed === '' ? { rule: 'has no characters that FHIR allows' } : { value: allowed };
}

function codeOf(text: string, codes: readonly string[]): Conversion {
  if (text === '') return { rule: 'is no code' };
  if (codes.length === 0 || codes.includes(text)) return { value: text };
  const known = codes.find((code) => code === text.toLowerCase());
  return known === undefined ? { rule: 'is no code that FHIR has for this element' } : { value: known };
}

function booleanOf(text: string): Conversion {
  if (/^(?:Y|true)$/i.test(text)) return { value: true };
  if (/^(?:N|false)$/i.test(text)) return { value: false };
  return { rule: 'is neither yes nor no' };
}

function timeOr(text: string | undefined): Conversion {
  return text === undefined ? { rule: 'is no date or time' } : { value: text };
}

function instantOf(text: string | undefined): Conversion {
  return text?.includes('T') === true ? { value: text } : { rule: 'is no instant: hours are missing' };
}

/** A number whose digits JavaScript would change is kept as it was written, for `JSON.stringify`. */
function decimalOf(text: string): Conversion {
  const match = /^([+-])?(\d*)(?:\.(\d*))?$/.exec(text);
  if (match === null || !/\d/.test(text)) return { rule: 'is no decimal number' };
  const [, sign, whole = '', fraction = ''] = match;
  const digits = whole.replace(/^0+(?=\d)/, '') || '0';
  const written = `${sign === '-' ? '-' : ''}${digits}${fraction === '' ? '' : `.${fraction}`}`;
  const number = Number(written);
  return { value: String(number) === written ? number : rawNumber(written) };
}

/** ECMAScript's `JSON.rawJSON`, which the types of the compiler do not know yet. */
function rawNumber(text: string): Json {
  const raw: unknown = Reflect.get(JSON, 'rawJSON');
  const made: unknown = typeof raw === 'function' ? Reflect.apply(raw, JSON, [text]) : undefined;
  return typeof made === 'object' && made !== null ? made : Number(text);
}

function integerOf(text: string, least: number): Conversion {
  const number = Number(text);
  const isWhole = /^[+-]?\d{1,10}$/.test(text) && number >= least && number <= 0x7fffffff;
  return isWhole ? { value: number } : { rule: 'is no whole number of the range that FHIR has' };
}

/** ED-5 is Base64 already, or text of which Base64 is made. */
function base64Of(text: string): string {
  const compact = text.replace(/\s+/g, '');
  const isBase64 = compact.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(compact);
  return isBase64 ? compact : Buffer.from(text).toString('base64');
}
