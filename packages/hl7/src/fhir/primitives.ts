/**
 * Values of FHIR's primitive types in JSON: their form by HL7's regular expressions, and what these do not say (the calendar, ranges
 * of integers, no empty text, no character U+0000, which databases do not keep).
 */
import { fhirStructures } from './definitions.ts';
import { numberText } from './json.ts';

/** R4 datatypes: "Note that strings SHALL NOT exceed 1MB (1024*1024 characters) in size". */
const STRING_LENGTH_MAX = 1024 * 1024;
const INTEGER_MAX = 2 ** 31 - 1;
const INTEGER_MIN = -(2 ** 31);
const DATE_PARTS = /^(\d{4})(?:-(\d\d)(?:-(\d\d))?)?/;
/** Written here because HL7's own expression takes exponential time. White space is allowed. */
const BASE64 = /^[0-9A-Za-z+/\s]*={0,2}\s*$/;

/** What is wrong with a value, in words that do not repeat it; `undefined`: nothing. */
export type PrimitiveCheck = (value: unknown) => string | undefined;

const NUMBERS: ReadonlySet<string> = new Set(['decimal', 'integer', 'positiveInt', 'unsignedInt']);
const DATES: ReadonlySet<string> = new Set(['date', 'dateTime', 'instant']);

export function isPrimitive(type: string): boolean {
  return Object.hasOwn(fhirStructures().primitives, type);
}

export function primitiveCheck(type: string): PrimitiveCheck {
  if (type === 'boolean') return (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');
  const source = fhirStructures().primitives[type];
  const pattern = source === undefined || source === null ? undefined : new RegExp(`^(?:${source})$`);
  if (NUMBERS.has(type)) return numberCheck(type, pattern);
  if (type === 'base64Binary') return base64Check;
  if (DATES.has(type)) return dateCheck(type, pattern);
  return textCheck(type, type === 'xhtml' ? /^<div[\s>]/ : pattern);
}

function numberCheck(type: string, pattern: RegExp | undefined): PrimitiveCheck {
  return (value) => {
    const text = numberText(value);
    if (text === undefined) return `must be a number (${type})`;
    if (type === 'decimal') return undefined;
    const number = Number(text);
    if (pattern?.test(text) !== true) return `must be of type ${type}`;
    return number > INTEGER_MAX || number < INTEGER_MIN ? `must fit 32 bits (${type})` : undefined;
  };
}

function textCheck(type: string, pattern: RegExp | undefined): PrimitiveCheck {
  const isLimited = type === 'string' || type === 'markdown';
  return (value) => {
    if (typeof value !== 'string') return `must be a text (${type})`;
    if (value === '') return 'must not be empty';
    if (isLimited && value.length > STRING_LENGTH_MAX) return `must not be longer than ${STRING_LENGTH_MAX} characters`;
    if (value.includes('\0')) return 'must not contain the character U+0000';
    return pattern === undefined || pattern.test(value) ? undefined : `must have the form of ${type}`;
  };
}

function base64Check(value: unknown): string | undefined {
  if (typeof value !== 'string') return 'must be a text (base64Binary)';
  return value !== '' && BASE64.test(value) ? undefined : 'must have the form of base64Binary';
}

function dateCheck(type: string, pattern: RegExp | undefined): PrimitiveCheck {
  return (value) => {
    if (typeof value !== 'string') return `must be a text (${type})`;
    if (pattern?.test(value) !== true) return `must have the form of ${type}`;
    const [, year, month, day] = DATE_PARTS.exec(value) ?? [];
    if (day === undefined || Number(day) <= 28) return undefined;
    return Number(day) <= daysOfMonth(Number(year), Number(month)) ? undefined : 'must be a day that the calendar has';
  };
}

function daysOfMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
