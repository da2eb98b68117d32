/**
 * A resource while it is made: a tree of elements, in which each occurrence of a list has a key, so that rows that speak of one
 * occurrence meet there. A value is set once: of two rows that map to one place, the first that has something to say wins.
 *
 * What stays empty is not written: a row may ask for a place before it knows whether there is a value.
 */
import { type ElementModel, isComplex } from './fhir-model.ts';

export type Json = string | number | boolean | object;

export type TreeNode = {
  /** A data type, a resource type, or the path of a backbone element. */
  readonly type: string;
  readonly codes: readonly string[];
  value: Json | undefined;
  readonly slots: Map<string, Slot>;
  /** Of a reference: where it leads. */
  resource: Resource | undefined;
};

type Slot = { readonly element: ElementModel; readonly entries: Map<string, TreeNode> };

export type Resource = {
  readonly type: string;
  /** Of this bundle. */
  readonly number: number;
  readonly root: TreeNode;
  /** Whether it stands for itself; others go with the last reference to them. */
  readonly isPrimary: boolean;
  /** Whether a value of the message is in it, and not only what tables and we add. */
  isTouched: boolean;
  /** Elements that the message deletes by two quotation marks, as `RecordChange` writes them. */
  readonly deleted: Set<string>;
};

export function newResource(type: string, number: number, isPrimary = false): Resource {
  return { type, number, isPrimary, root: newNode(type), isTouched: false, deleted: new Set() };
}

function newNode(type: string, codes: readonly string[] = []): TreeNode {
  return { type, codes, value: undefined, slots: new Map(), resource: undefined };
}

/** The occurrence `key` of an element; `undefined` where another type of the same choice has a value. */
export function childOf(node: TreeNode, element: ElementModel, key: string): TreeNode | undefined {
  if (element.choice !== undefined) {
    for (const [name, { element: other, entries }] of node.slots) {
      if (name === element.name || other.choice !== element.choice) continue;
      if ([...entries.values()].some((entry) => !isEmpty(entry))) return undefined;
    }
  }
  const slot = node.slots.get(element.name) ?? { element, entries: new Map() };
  node.slots.set(element.name, slot);
  const ownKey = element.isList ? key : '';
  const known = slot.entries.get(ownKey);
  if (known !== undefined) return known;
  const child = newNode(element.type, element.codes);
  slot.entries.set(ownKey, child);
  return child;
}

function isEmpty(node: TreeNode): boolean {
  if (node.value !== undefined || node.resource?.isTouched === true) return false;
  return [...node.slots.values()].every(({ entries }) => [...entries.values()].every(isEmpty));
}

/** `urlOf` gives how a resource of this bundle is referred to. Occurrences that say the same are written once. */
export function jsonOf(node: TreeNode, urlOf: (resource: Resource) => string): Record<string, Json> {
  const result: Record<string, Json> = {};
  if (node.resource?.isTouched === true) result['reference'] = urlOf(node.resource);
  for (const [name, { element, entries }] of node.slots) {
    const filled = distinct(
      [...entries.values()].filter((entry) => !isEmpty(entry)),
      urlOf,
    );
    if (filled.length === 0) continue;
    if (isComplex(element.type)) {
      const values = filled.map((entry) => jsonOf(entry, urlOf));
      result[name] = element.isList ? values : (values[0] ?? {});
    } else writePrimitives(result, { name, isList: element.isList, filled, urlOf });
  }
  return result;
}

type Primitives = {
  readonly name: string;
  readonly isList: boolean;
  readonly filled: readonly TreeNode[];
  readonly urlOf: (resource: Resource) => string;
};

/** Extensions of a primitive stand beside it, under its name with a line before (FHIR R4 json.html#primitive). */
function writePrimitives(result: Record<string, Json>, { name, isList, filled, urlOf }: Primitives): void {
  const values = filled.map(({ value }) => value ?? null);
  const extras = filled.map((entry) => (entry.slots.size === 0 ? null : jsonOf(entry, urlOf)));
  const [value, extra] = [values[0], extras[0]];
  if (values.some((one) => one !== null)) {
    if (isList) result[name] = values;
    else if (value !== null && value !== undefined) result[name] = value;
  }
  const hasExtra = extras.some((one) => one !== null && Object.keys(one).length > 0);
  if (!hasExtra) return;
  if (isList) result[`_${name}`] = extras;
  else if (extra !== null && extra !== undefined) result[`_${name}`] = extra;
}

function distinct(entries: readonly TreeNode[], urlOf: (resource: Resource) => string): TreeNode[] {
  if (entries.length < 2) return [...entries];
  const seen = new Set<string>();
  return entries.filter((entry) => {
    const text = JSON.stringify([entry.value, jsonOf(entry, urlOf)]);
    if (seen.has(text)) return false;
    seen.add(text);
    return true;
  });
}
