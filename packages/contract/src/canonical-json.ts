/**
 * JSON with one spelling per value, so that a digest or signature over it means the value: RFC 8785 (JCS).
 *
 * Object members are sorted by UTF-16 code units, no white space, numbers as ECMAScript prints them (which is what the
 * RFC asks for). `undefined` members are left out, as JSON does. Refuses what JSON cannot hold (NaN, infinities, bigint,
 * functions) and lone surrogates, which have no UTF-8 form.
 */
import { AppError } from './errors.ts';

const DEPTH_MAX = 64; // deeper than any message of ours; bounds the recursion on hostile input

export function canonicalJson(value: unknown): string {
  return write(value, 0);
}

function write(value: unknown, depth: number): string {
  if (depth > DEPTH_MAX) throw new AppError('input.invalid', `JSON nested deeper than ${DEPTH_MAX} levels.`);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new AppError('input.invalid', 'JSON has no NaN and no infinity.');
    return JSON.stringify(value);
  }
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new AppError('input.invalid', 'A string has a lone surrogate.');
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) {
    return `[${value.map((item) => write(item === undefined ? null : item, depth + 1)).join(',')}]`;
  }
  if (typeof value === 'object') {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => `${write(name, depth + 1)}:${write(member, depth + 1)}`);
    return `{${members.join(',')}}`;
  }
  throw new AppError('input.invalid', `JSON cannot hold a ${typeof value}.`);
}
