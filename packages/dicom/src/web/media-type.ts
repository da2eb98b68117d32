/** Media types and their parameters as HTTP headers have them (RFC 9110 8.3.1, 12.5.1), and as PS3.18 8.7 uses them. */

export type MediaType = {
  /** `type/subtype` in lower case. */
  readonly name: string;
  /** By name in lower case; values without their quotes. Of a name that comes twice the first counts. */
  readonly parameters: ReadonlyMap<string, string>;
};

/** More than any client lists; what comes behind is not looked at. */
const LIST_COUNT_MAX = 64;
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** `undefined` for what is none. */
export function parseMediaType(text: string): MediaType | undefined {
  const [first = '', ...others] = splitOutsideQuotes(text, ';');
  const name = first.trim().toLowerCase();
  if (!NAME.test(name)) return undefined;
  const parameters = new Map<string, string>();
  for (const other of others) {
    const equals = other.indexOf('=');
    if (equals < 0) continue;
    const key = other.slice(0, equals).trim().toLowerCase();
    if (!parameters.has(key)) parameters.set(key, unquoted(other.slice(equals + 1).trim()));
  }
  return { name, parameters };
}

/** The types of an Accept header, the most wanted first; those that are not wanted at all (q=0) and what is none left out. */
export function parseAccept(header: string): MediaType[] {
  const types = splitOutsideQuotes(header, ',')
    .slice(0, LIST_COUNT_MAX)
    .flatMap((one) => parseMediaType(one) ?? []);
  return types
    .map((type) => ({ type, quality: qualityOf(type) }))
    .filter(({ quality }) => quality > 0)
    .toSorted((left, right) => right.quality - left.quality) // stable: among equals the order of the caller
    .map(({ type }) => type);
}

function qualityOf({ parameters }: MediaType): number {
  const quality = Number(parameters.get('q') ?? 1);
  return Number.isFinite(quality) ? Math.min(quality, 1) : 0;
}

/** Commas and semicolons within quotes belong to a value. */
function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (isQuoted && character === '\\') at += 1;
    else if (character === '"') isQuoted = !isQuoted;
    else if (character === separator && !isQuoted) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, text.slice(start)];
}

function unquoted(value: string): string {
  return /^".*"$/.test(value) ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value;
}
