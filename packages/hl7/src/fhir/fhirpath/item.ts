/** What FHIRPath works on: values with their types, and how one leads to others. */
import { fhirStructures } from '../definitions.ts';
import { isJsonObject, isRawNumber, type JsonObject, numberOf } from '../json.ts';

/**
 * A value, of a type of FHIR (`Patient`, `code`) or of the system (`System.Boolean`). `value` undefined: a primitive that has only
 * extensions, which exists but has no value.
 */
export type Item = { readonly value: unknown; readonly type: string };
export type Items = readonly Item[];

type Child = { readonly jsonName: string; readonly type: string };

const childrenByType = new Map<string, ReadonlyMap<string, readonly Child[]>>();

/** Of each element of a type, under the name that paths use, the names that JSON uses. */
function childrenOf(type: string): ReadonlyMap<string, readonly Child[]> {
  let children = childrenByType.get(type);
  if (children === undefined) {
    const elements = fhirStructures().types[type]?.elements ?? [];
    children = new Map(
      elements.map(({ name, choice, types }) => [
        name,
        types.map((child) => ({
          type: child,
          jsonName: choice === true ? name + child.charAt(0).toUpperCase() + child.slice(1) : name,
        })),
      ]),
    );
    childrenByType.set(type, children);
  }
  return children;
}

const namesByType = new Map<string, ReadonlyMap<string, Child>>();

/** Of each element of a type, by the name that JSON uses. */
function childrenByName(type: string): ReadonlyMap<string, Child> {
  let names = namesByType.get(type);
  if (names === undefined) {
    names = new Map([...childrenOf(type).values()].flat().map((child) => [child.jsonName, child]));
    namesByType.set(type, names);
  }
  return names;
}

export function itemOfResource(resource: JsonObject): Item {
  return {
    value: resource,
    type: typeof resource['resourceType'] === 'string' ? resource['resourceType'] : 'Resource',
  };
}

export function system(value: string | number | boolean): Item {
  if (typeof value === 'boolean') return { value, type: 'System.Boolean' };
  if (typeof value === 'string') return { value, type: 'System.String' };
  return { value, type: Number.isInteger(value) ? 'System.Integer' : 'System.Decimal' };
}

/** The string, number or boolean of an item; undefined for anything else. */
export function primitiveOf({ value }: Item): string | number | boolean | undefined {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  return numberOf(value);
}

/** The values of the element `name`. */
export function member(item: Item, name: string, into: Item[]): void {
  const { value, type } = item;
  if (!isJsonObject(value)) return;
  for (const child of childrenOf(type).get(name) ?? []) pushChild(value, child, into);
}

export function children(item: Item): Item[] {
  const into: Item[] = [];
  if (!isJsonObject(item.value)) return into;
  const known = childrenByName(item.type);
  for (const name in item.value) {
    const isBeside = name.startsWith('_');
    const child = known.get(isBeside ? name.slice(1) : name);
    if (child !== undefined && !(isBeside && Object.hasOwn(item.value, child.jsonName)))
      pushChild(item.value, child, into);
  }
  return into;
}

function pushChild(object: JsonObject, { jsonName, type }: Child, into: Item[]): void {
  const value = object[jsonName];
  const beside = object[`_${jsonName}`];
  if (Array.isArray(value)) {
    for (const item of value) push(item === null ? undefined : item, type, into);
  } else if (value !== undefined && value !== null) {
    push(value, type, into);
  } else if (beside !== undefined) {
    for (const _ of Array.isArray(beside) ? beside : [beside]) push(undefined, type, into);
  }
}

function push(value: unknown, type: string, into: Item[]): void {
  const isResource = type === 'Resource' && isJsonObject(value);
  into.push(isResource ? itemOfResource(value) : { value, type });
}

const SPECIALISED: Readonly<Record<string, string>> = {
  code: 'string',
  id: 'string',
  markdown: 'string',
  url: 'uri',
  canonical: 'uri',
  uuid: 'uri',
  oid: 'uri',
  positiveInt: 'integer',
  unsignedInt: 'integer',
  Age: 'Quantity',
  Count: 'Quantity',
  Distance: 'Quantity',
  Duration: 'Quantity',
};

/** Whether an item is of the type that an expression names, or of one that it specialises. */
export function isOfType({ type }: Item, named: string): boolean {
  const name = named.replace(/^FHIR\./, '');
  if (name === type || name === 'Resource' || name === 'DomainResource') return name === type || isResource(type);
  if (name.startsWith('System.')) return type === name;
  if (type.startsWith('System.')) return type === `System.${name}`;
  return SPECIALISED[type] === name || (name === 'Element' && !isResource(type));
}

function isResource(type: string): boolean {
  return fhirStructures().types[type]?.kind === 'resource';
}

/** Equality of single items (6.1.1); the order of the names of an object does not count. */
export function isEqual(left: Item, right: Item): boolean {
  const [a, b] = [primitiveOf(left), primitiveOf(right)];
  if (a !== undefined || b !== undefined) return a === b;
  return isDeepEqual(left.value, right.value);
}

function isDeepEqual(left: unknown, right: unknown): boolean {
  if (isRawNumber(left) || isRawNumber(right)) return numberOf(left) === numberOf(right);
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, index) => isDeepEqual(item, right[index]));
  }
  if (isJsonObject(left) && isJsonObject(right)) {
    const names = Object.keys(left);
    return names.length === Object.keys(right).length && names.every((name) => isDeepEqual(left[name], right[name]));
  }
  return left === right;
}
