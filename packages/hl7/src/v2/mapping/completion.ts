/**
 * Makes a resource whole: what FHIR needs and the message does not say is marked as unknown, by a code where the element has one, else
 * by the extension for it (StructureDefinition data-absent-reason). Extensions without a name or a value are taken out.
 */
import { elementOf, isComplex, neededElements } from './fhir-model.ts';
import type { Json } from './resource-tree.ts';

export type JsonObject = Record<string, Json>;

const ABSENT = { url: 'http://hl7.org/fhir/StructureDefinition/data-absent-reason', valueCode: 'unknown' } as const;

type Companion = {
  readonly name: string;
  readonly isWanted: (json: JsonObject) => boolean;
  /** How it is marked as unknown. */
  readonly absent: JsonObject;
};

/** Elements that the rules of FHIR want beside others, by the type that holds them. */
const COMPANIONS: Readonly<Record<string, readonly Companion[]>> = {
  // cpt-2: a system is required if a value is provided
  ContactPoint: [{ name: 'system', isWanted: (json) => json['value'] !== undefined, absent: { system: 'other' } }],
  // app-1: either the type or actor on the participant shall be specified
  'Appointment.participant': [
    { name: 'type', isWanted: (json) => json['actor'] === undefined, absent: { type: [{ extension: [ABSENT] }] } },
  ],
  // att-1: if the attachment has data, it shall have a content type
  Attachment: [
    { name: 'contentType', isWanted: (json) => json['data'] !== undefined, absent: primitiveAbsent('contentType') },
  ],
  // qty-3: if a code for the unit is present, the system shall also be present
  Quantity: [{ name: 'system', isWanted: (json) => json['code'] !== undefined, absent: primitiveAbsent('system') }],
  // rat-1: numerator and denominator shall both be present, or both absent
  Ratio: [
    {
      name: 'denominator',
      isWanted: (json) => json['numerator'] !== undefined,
      absent: { denominator: { extension: [ABSENT] } },
    },
    {
      name: 'numerator',
      isWanted: (json) => json['denominator'] !== undefined,
      absent: { numerator: { extension: [ABSENT] } },
    },
  ],
  // tim-8: if there's a countMax, there must be a count
  'Timing.repeat': [
    { name: 'count', isWanted: (json) => json['countMax'] !== undefined, absent: primitiveAbsent('count') },
  ],
};

function primitiveAbsent(name: string): JsonObject {
  return { [`_${name}`]: { extension: [ABSENT] } };
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `undefined` for an extension that says nothing. `onAbsent` hears of each element that had to be added. */
export function completed(json: JsonObject, type: string, onAbsent: (path: string) => void): JsonObject | undefined {
  const result: JsonObject = {};
  for (const [name, value] of Object.entries(json)) {
    const whole = completedElement({ name, value, type }, onAbsent);
    if (whole !== undefined) result[name] = whole;
  }
  if (type === 'Extension' && !isMeaningful(result)) return undefined;
  if (type === 'ContactPoint' && result['value'] === undefined) return undefined; // a number of which only the kind is said
  for (const { name, choice, isList, codes, type: wanted } of neededElements(type)) {
    if (isPresent(result, choice ?? name, choice !== undefined)) continue;
    onAbsent(`${type}.${choice ?? name}`);
    const value = absent(wanted, codes, onAbsent);
    const isUnnamed = value === undefined;
    const filled = isUnnamed ? { extension: [ABSENT] } : value;
    result[isUnnamed ? `_${name}` : name] = isList ? [filled] : filled;
  }
  for (const { name, isWanted, absent: marked } of COMPANIONS[type] ?? []) {
    if (!isWanted(result) || isPresent(result, name, false)) continue;
    onAbsent(`${type}.${name}`);
    Object.assign(result, marked);
  }
  return result;
}

type Element = { readonly name: string; readonly value: Json; readonly type: string };

function completedElement({ name, value, type }: Element, onAbsent: (path: string) => void): Json | undefined {
  const isPrimitiveExtra = name.startsWith('_');
  const element = isPrimitiveExtra ? undefined : elementOf(type, name);
  const inner = isPrimitiveExtra ? 'Element' : (element?.type ?? '');
  if (!isPrimitiveExtra && !isComplex(inner)) return value;
  const whole = (one: unknown): JsonObject | null => {
    if (!isJsonObject(one)) return null;
    if (inner !== 'Element') return completed(one, inner, onAbsent) ?? null;
    const extensions = Array.isArray(one['extension']) ? one['extension'] : [];
    const kept = extensions.filter(isJsonObject).filter(isMeaningful);
    return kept.length === 0 ? null : { extension: kept };
  };
  if (!Array.isArray(value)) return whole(value) ?? undefined;
  const all = value.map(whole);
  if (isPrimitiveExtra) return all.some((one) => one !== null) ? all : undefined;
  const kept = all.filter((one) => one !== null);
  return kept.length === 0 ? undefined : kept;
}

function isMeaningful(extension: JsonObject): boolean {
  const hasValue = Object.keys(extension).some((name) => name === 'extension' || /^_?value/.test(name));
  return typeof extension['url'] === 'string' && hasValue;
}

function isPresent(json: JsonObject, name: string, isChoice: boolean): boolean {
  if (!isChoice) return json[name] !== undefined || json[`_${name}`] !== undefined;
  return Object.keys(json).some((key) => key.replace(/^_/, '').startsWith(name));
}

/** `undefined` for a primitive that has no code for it. */
function absent(type: string, codes: readonly string[], onAbsent: (path: string) => void): Json | undefined {
  if (!isComplex(type)) return codes.includes('unknown') ? 'unknown' : undefined;
  return completed({ extension: [ABSENT] }, type, onAbsent);
}
