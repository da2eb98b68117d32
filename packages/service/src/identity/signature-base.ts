/**
 * The bytes that an HTTP message signature covers: RFC 9421 section 2.5, for requests.
 *
 * Known components are `@method`, `@path`, `@query`, `@authority` and plain header fields. Component parameters (`;sf`,
 * `;req`, `;key`, …) change how a value is written; we need none and refuse them rather than half-support them.
 */
import { AppError } from '@lantern/contract';
import { type InnerList, type Item, serialiseInnerList } from './structured-field.ts';

export type HeaderFields = Readonly<Record<string, string | readonly string[] | number | undefined>>;

/** `target` is the request target as sent: origin form (`/path?query`) or an absolute URL. Header names in lower case. */
export type RequestHead = { readonly method: string; readonly target: string; readonly headers: HeaderFields };

function malformed(rule: string, field: string): AppError {
  return new AppError('signature.malformed', `signature-input: ${rule}.`, { field });
}

/** Splits a request target into what `@path` and `@query` cover (RFC 9421 sections 2.2.6 and 2.2.7), without decoding. */
function splitTarget(target: string): { path: string; query: string } {
  const origin = /^https?:\/\//i.test(target) ? originForm(target) : target;
  const at = origin.indexOf('?');
  const path = at === -1 ? origin : origin.slice(0, at);
  return { path: path === '' ? '/' : path, query: at === -1 ? '?' : origin.slice(at) };
}

function originForm(absolute: string): string {
  const url = new URL(absolute);
  return url.pathname + url.search;
}

function fieldValue(headers: HeaderFields, name: string): string | undefined {
  const value = headers[name];
  if (value === undefined) return undefined;
  const values = Array.isArray(value) ? value : [String(value)];
  return values.map((line: string) => line.trim()).join(', ');
}

function componentName(item: Item): string {
  if (item.item.kind !== 'string') throw malformed('a component is not a string', 'signature-input');
  if (item.parameters.size > 0) throw malformed(`component "${item.item.value}" has parameters`, item.item.value);
  return item.item.value;
}

function componentValue(name: string, head: RequestHead): string {
  switch (name) {
    case '@method':
      return head.method;
    case '@path':
      return splitTarget(head.target).path;
    case '@query':
      return splitTarget(head.target).query;
    case '@authority': {
      const host = fieldValue(head.headers, 'host');
      if (host === undefined) throw malformed('"@authority" is covered but there is no Host header', 'host');
      return host.toLowerCase();
    }
  }
  if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name)) throw malformed('a component is not known here', 'signature-input');
  const value = fieldValue(head.headers, name);
  if (value === undefined) throw malformed(`"${name}" is covered but the request has no such header`, name);
  return value;
}

/** The names of the covered components; a name that occurs twice is refused (section 2.5, step 2.5). */
export function coveredComponents(list: InnerList): ReadonlySet<string> {
  const names = new Set<string>();
  for (const item of list.items) {
    const name = componentName(item);
    if (names.has(name)) throw malformed(`component "${name}" occurs twice`, name);
    names.add(name);
  }
  return names;
}

/** The signature base of a request for the given covered components and parameters, ASCII. */
export function signatureBase(list: InnerList, head: RequestHead): string {
  const lines: string[] = [];
  for (const name of coveredComponents(list)) {
    const value = componentValue(name, head);
    if (/[\r\n]/.test(value)) throw malformed(`the value of "${name}" has a line break`, name);
    lines.push(`"${name}": ${value}`);
  }
  lines.push(`"@signature-params": ${serialiseInnerList(list)}`);
  return lines.join('\n');
}
