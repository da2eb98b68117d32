/**
 * Careful reading of FHIR JSON whose shape nobody has proved: a member that is missing or of another type reads as nothing.
 * The reader of each resource decides what it cannot do without.
 */

export type Json = Readonly<Record<string, unknown>>;

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object below `value` along `path`; of a list its first element. */
export function member(value: unknown, ...path: readonly string[]): unknown {
  let current = value;
  for (const name of path) {
    const holder = Array.isArray(current) ? current[0] : current;
    current = isJson(holder) ? holder[name] : undefined;
  }
  return current;
}

export function members(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const found = member(value, ...path);
  return Array.isArray(found) ? found : found === undefined ? [] : [found];
}

export function textOf(value: unknown, ...path: readonly string[]): string | undefined {
  const found = member(value, ...path);
  return typeof found === 'string' && found !== '' ? found : undefined;
}

export function numberOf(value: unknown, ...path: readonly string[]): number | undefined {
  const found = member(value, ...path);
  return typeof found === 'number' && Number.isFinite(found) ? found : undefined;
}

export function wholeNumberOf(value: unknown, ...path: readonly string[]): number | undefined {
  const found = numberOf(value, ...path);
  return found !== undefined && Number.isSafeInteger(found) && Math.abs(found) < 2 ** 31 ? found : undefined;
}

/** "Patient/17" of a Reference: the type and id, without server, version or fragment; undefined for a contained one. */
export function keyOfReference(reference: unknown): string | undefined {
  const text = textOf(reference, 'reference');
  return text === undefined
    ? undefined
    : /(?:^|\/)([A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64})(?:\/_history\/|$)/.exec(text)?.[1];
}

/** The contained resource that a reference "#id" points to. */
export function containedOf(resource: Json, reference: unknown): unknown {
  const text = textOf(reference, 'reference');
  if (text?.startsWith('#') !== true) return undefined;
  return members(resource, 'contained').find((contained) => textOf(contained, 'id') === text.slice(1));
}
