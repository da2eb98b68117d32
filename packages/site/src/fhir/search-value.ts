/** The values of search parameters as they are written: escapes, prefixes, `system|code`, quantities. */
import { canonicalQuantity, instantRange, referenceTarget, UCUM } from '@lantern/hl7';
import { FhirFault } from './fhir-fault.ts';

/** `system` null: only codes without one. Either may be absent, not both. */
export type TokenValue = { readonly system?: string | null; readonly code?: string };
export type StringValue = { readonly mode: 'starts' | 'exact' | 'contains'; readonly text: string };
export type Prefix = (typeof PREFIXES)[number];
export type DateValue = { readonly prefix: Prefix; readonly low: number; readonly high: number };
/** The value stands for what would be rounded to it: 5.4 for 5.35 to 5.45. */
export type QuantityValue = {
  readonly prefix: Prefix;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly unit:
    | { readonly kind: 'any' }
    | { readonly kind: 'canonical'; readonly unit: string }
    | { readonly kind: 'code'; readonly system: string | undefined; readonly code: string };
};

const PREFIXES = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'] as const;

function invalid(name: string, why: string): FhirFault {
  return new FhirFault(400, 'invalid', `${name}: ${why}`);
}

/** At commas that are not escaped. */
export function splitValues(value: string): string[] {
  return splitAt(value, ',');
}

function splitAt(value: string, separator: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let at = 0; at < value.length; at += 1) {
    const char = value.charAt(at);
    if (char === '\\' && at + 1 < value.length) {
      part += char + value.charAt(at + 1);
      at += 1;
    } else if (char === separator) {
      parts.push(part);
      part = '';
    } else part += char;
  }
  return [...parts, part];
}

export function unescapeValue(value: string): string {
  return value.replaceAll(/\\([,$|\\])/g, '$1');
}

export function tokenValue(name: string, written: string): TokenValue {
  const parts = splitAt(written, '|').map(unescapeValue);
  const [first = '', code] = parts;
  if (parts.length > 2) throw invalid(name, 'a token is written code, system|code, |code or system|.');
  if (code === undefined) return { code: first };
  if (first === '' && code === '') throw invalid(name, 'a token needs a system or a code.');
  return { system: first === '' ? null : first, ...(code === '' ? {} : { code }) };
}

function prefixOf(written: string): { prefix: Prefix; rest: string } {
  const prefix = PREFIXES.find((one) => written.startsWith(one));
  return prefix === undefined ? { prefix: 'eq', rest: written } : { prefix, rest: written.slice(2) };
}

export function dateValue(name: string, written: string): DateValue {
  const { prefix, rest } = prefixOf(written);
  const range = instantRange(rest.replace(' ', '+')); // a + that was not encoded has become a space
  if (range === undefined)
    throw invalid(name, 'a date is written like 2026-11-27 or 2026-11-27T18:00:00Z, after a prefix.');
  return { prefix, ...range };
}

const NUMBER = /^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/;

export function quantityValue(name: string, written: string): QuantityValue {
  const [number = '', system, code] = splitAt(written, '|').map(unescapeValue);
  const { prefix, rest } = prefixOf(number);
  if (!NUMBER.test(rest) || (system !== undefined && code === undefined)) {
    throw invalid(name, 'a quantity is written number, number|system|code or number||code, after a prefix.');
  }
  const value = Number(rest);
  const half = halfStep(rest);
  const bounds = { value, low: value - half, high: value + half };
  if (code === undefined || code === '') return { prefix, ...bounds, unit: { kind: 'any' } };
  if (system === UCUM) {
    const [low, high] = [bounds.low, bounds.high].map((bound) => canonicalQuantity(bound, code));
    const exact = canonicalQuantity(value, code);
    if (low !== undefined && high !== undefined && exact !== undefined) {
      const unit = { kind: 'canonical', unit: exact.unit } as const;
      return { prefix, value: exact.value, low: low.value, high: high.value, unit };
    }
  }
  return { prefix, ...bounds, unit: { kind: 'code', system: system === '' ? undefined : system, code } };
}

/** Half of the last digit that is written. */
function halfStep(text: string): number {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e');
  const decimals = mantissa.split('.')[1]?.length ?? 0;
  return 0.5 * 10 ** (Number(exponent) - decimals);
}

/** What an index may hold for a reference: `Patient/1` for each type that `1` may be of; a URL of this server is made relative. */
export function referenceTargets(
  written: string,
  { types, base }: { readonly types: readonly string[]; readonly base: string },
): string[] {
  const relative = written.startsWith(`${base}/`) ? written.slice(base.length + 1) : written;
  if (/^[A-Za-z0-9\-.]{1,64}$/.test(relative))
    return types.length === 0 ? [] : types.map((type) => `${type}/${relative}`);
  return [referenceTarget(relative) ?? relative];
}
