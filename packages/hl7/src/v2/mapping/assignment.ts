/**
 * Assignments of HL7's tables: a fixed value (`"active"`), pieces put together (`"urn:oid:"+HD.2`), or an instruction to a person
 * (`/convert to minutes/`). Some instructions say what the type of the target says anyway; others nobody can carry out.
 */
import type { Name } from './condition.ts';

export type Assignment =
  | { readonly kind: 'none' }
  | { readonly kind: 'fixed'; readonly text: string }
  | { readonly kind: 'pieces'; readonly pieces: readonly (string | Name)[] };

/** Instructions that the conversion to the type of the target carries out. */
const BY_TYPE = [
  /^\/must convert v2 date time/,
  /^\/map HL7 code system to appropriate url\/$/,
  /^\/convert from A or HEX to binary64\/$/,
];

/** `undefined` where it cannot be carried out. */
export function parseAssignment(text: string): Assignment | undefined {
  const trimmed = text.trim();
  if (trimmed === '' || BY_TYPE.some((pattern) => pattern.test(trimmed))) return { kind: 'none' };
  if (/^[/#]/.test(trimmed)) return undefined;
  const fixed = /^"([^"]*)"?$/.exec(trimmed);
  if (fixed !== null) return { kind: 'fixed', text: (fixed[1] ?? '').trim() };
  if (/^[a-z][\w:/.#-]*$/.test(trimmed)) return { kind: 'fixed', text: trimmed };
  return parsePieces(trimmed);
}

function parsePieces(text: string): Assignment | undefined {
  const pieces: (string | Name)[] = [];
  let rest = text;
  while (rest !== '') {
    const match = /^\s*(?:\+\s*)?(?:"([^"]*)"|([A-Z][A-Z0-9]{1,2})[-.](\d+)(?:\.(\d+))?)\s*(?=\+|"|[A-Z]|$)/.exec(rest);
    if (match === null) return undefined;
    const [whole, literal, head = '', first, second] = match;
    if (literal !== undefined) pieces.push(literal);
    else pieces.push({ head, first: Number(first), second: second === undefined ? undefined : Number(second) });
    rest = rest.slice(whole.length);
  }
  return { kind: 'pieces', pieces };
}
