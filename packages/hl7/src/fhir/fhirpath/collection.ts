/** Collections of items as conditions and as sets. */
import { type Item, type Items, isEqual, primitiveOf, system } from './item.ts';

export type Scope = {
  /** The resource that holds the focus, and the one that is not itself contained. */
  readonly resource: Item;
  readonly rootResource: Item;
};

export type Evaluate = (focus: Items, scope: Scope) => Items;

export const EMPTY: Items = [];

/** true, false, or undefined for nothing; a single value that is no boolean counts as true (5.1.3 of FHIRPath). */
export function truth(items: Items): boolean | undefined {
  const [first] = items;
  if (first === undefined) return undefined;
  return typeof first.value === 'boolean' ? first.value : true;
}

export function truthItems(value: boolean | undefined): Items {
  return value === undefined ? EMPTY : [system(value)];
}

export function distinct(items: Items): Item[] {
  const kept: Item[] = [];
  const seen = new Set<unknown>();
  for (const item of items) {
    const primitive = primitiveOf(item);
    if (primitive === undefined ? kept.some((other) => isEqual(other, item)) : seen.has(primitive)) continue;
    if (primitive !== undefined) seen.add(primitive);
    kept.push(item);
  }
  return kept;
}
