/**
 * The rules of the standard that are written in FHIRPath, compiled. A rule is broken only by a plain "false": one whose answer is
 * nothing, as where the precision of two dates does not tell which is earlier, is not held against the sender.
 */
import { fhirStructures } from './definitions.ts';
import type { Scope } from './fhirpath/collection.ts';
import { truth } from './fhirpath/collection.ts';
import { compileFhirPath } from './fhirpath/evaluate.ts';
import type { Item } from './fhirpath/item.ts';
import { isJsonObject, type JsonObject } from './json.ts';

export type Rule = {
  readonly key: string;
  readonly human: string;
  readonly holds: (value: Item, scope: Scope) => boolean;
};

/**
 * Written wrongly in R4, so that what the standard's own examples say would be refused: ig-1 and ig-2 stand at the wrong place,
 * ctm-1 needs what a reference names; csd-1 is right but costs the square of the resource.
 * dom-3 is checked by the validator itself, as it walks the whole resource.
 */
const LEFT_OUT: ReadonlySet<string> = new Set(['dom-3', 'ctm-1', 'ig-1', 'ig-2', 'csd-1']);

/**
 * The rules that are met at most elements. True: the value is seen to be sound, as almost all are; else the expression is run, which
 * costs twenty times as much.
 */
const SEEN_SOUND: Readonly<Record<string, (value: JsonObject) => boolean>> = {
  'ref-1': ({ reference }) => typeof reference !== 'string' || !reference.startsWith('#'),
  'per-1': ({ start, end }) => isOrdered(start, end),
  'dom-2': ({ contained }) => contained === undefined,
  'dom-4': ({ contained }) => contained === undefined,
  'dom-5': ({ contained }) => contained === undefined,
};

/** `Z` or `+01:00`, and digits before it. */
const ZONE_LENGTH = 6;

/** Texts of times that are written alike, in one time zone, stand in the order of the times. */
function isOrdered(start: unknown, end: unknown): boolean {
  if (typeof start !== 'string' || typeof end !== 'string' || start.length !== end.length || start > end) return false;
  return start.length <= 'YYYY-MM-DD'.length || start.endsWith('Z')
    ? start.endsWith('Z') === end.endsWith('Z')
    : start.slice(-ZONE_LENGTH) === end.slice(-ZONE_LENGTH);
}

const compiled = new Map<number, Rule>();

/** The rules at these places of the table. */
export function compileRules(places: readonly number[]): Rule[] {
  return places.flatMap((place) => {
    const known = compiled.get(place);
    if (known !== undefined) return [known];
    const [key, human, expression] = fhirStructures().constraints[place] ?? [];
    if (key === undefined || human === undefined || expression === undefined || LEFT_OUT.has(key)) return [];
    const run = compileFhirPath(expression);
    const isSound = Object.hasOwn(SEEN_SOUND, key) ? SEEN_SOUND[key] : undefined;
    const holds = (value: Item, scope: Scope): boolean => {
      if (isSound !== undefined && isJsonObject(value.value) && isSound(value.value)) return true;
      return truth(run(value, scope)) !== false;
    };
    const rule = { key, human, holds };
    compiled.set(place, rule);
    return [rule];
  });
}
