/**
 * HL7's tables, row by row made into what can be carried out. A row whose target is no element of FHIR R4, whose condition or
 * assignment is not understood, or that leads to a table that is not there, is kept with the reason: it is never guessed at, and
 * counted in the account of each message and in docs/HL7-V2-TABLES.md.
 */
import { DATATYPE_MAPS } from '../generated/datatype-maps.ts';
import { RESOURCE_TYPES } from '../generated/fhir-elements.ts';
import { SEGMENT_MAPS } from '../generated/segment-maps.ts';
import { type Assignment, parseAssignment } from './assignment.ts';
import { type Condition, type Name, namesOwn, parseCondition } from './condition.ts';
import { choiceOf, type ElementModel, elementOf, isComplex } from './fhir-model.ts';
import { parseTarget, type Step, type Target } from './target-path.ts';
import { hasVocabulary } from './vocabulary.ts';

export type PathStep =
  | { readonly kind: 'element'; readonly element: ElementModel; readonly label: string | undefined }
  | { readonly kind: 'resource'; readonly type: string };

/** What a row does with its source at its target. */
export type Action =
  | { readonly kind: 'value' }
  /** The other table is carried out at the target, at what holds the target, or in a resource to which the target refers. */
  | { readonly kind: 'map'; readonly map: string; readonly at: 'target' | 'parent' | 'resource' }
  /** Refers to another root of the same table. */
  | { readonly kind: 'link'; readonly label: string };

export type Row = {
  /** Absent: the whole of what the table is about. */
  readonly source: Name | undefined;
  readonly condition: Condition | undefined;
  readonly saysOfOwn: boolean;
  readonly rootLabel: string;
  readonly path: readonly PathStep[];
  readonly action: Action;
  readonly assignment: Assignment;
  readonly vocabulary: string | undefined;
};

export type TableRow =
  | { readonly kind: 'row'; readonly row: Row }
  | { readonly kind: 'unmapped'; readonly source: Name | undefined }
  | { readonly kind: 'alternative'; readonly source: Name | undefined }
  | { readonly kind: 'not-understood'; readonly source: Name | undefined; readonly why: string; readonly text: string };

export type MapTable = { readonly name: string; readonly rootType: string; readonly rows: readonly TableRow[] };

const compiled = new Map<string, MapTable>();

/** By its name as other tables write it, in whatever case. */
export function mapTable(name: string): MapTable | undefined {
  const key = name.replace(/\s+/g, '').toLowerCase();
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const found = canonicalName(key);
  if (found === undefined) return undefined;
  const rootType = rootTypeOf(found);
  const lines = SEGMENT_MAPS[found] ?? DATATYPE_MAPS[found] ?? [];
  const table = { name: found, rootType, rows: lines.map((line) => compileRow(rootType, line)) };
  compiled.set(key, table);
  return table;
}

const NAMES = new Map(
  [...Object.keys(SEGMENT_MAPS), ...Object.keys(DATATYPE_MAPS)].map((name) => [name.toLowerCase(), name]),
);

function canonicalName(key: string): string | undefined {
  return NAMES.get(key);
}

/** Of `PRT[Patient-GeneralPractitioner]`, Patient; of `HD[uri]`, uri; of `HD[MessageHeader.source-name]`, MessageHeader.source. */
function rootTypeOf(name: string): string {
  const inner = /\[([^\]]+)\]/.exec(name)?.[1] ?? '';
  const [root = ''] = inner.split('-', 1);
  if (isComplex(root)) return root;
  return root.charAt(0).toLowerCase() + root.slice(1);
}

/** Slips with one meaning: the table of codes is one of events, which are the second part of MSH-9. */
const MENDED: Readonly<Record<string, string>> = {
  'MSH-9\t\t\tstatus\tMSG[Code]\tEvent[EncounterStatus]': 'MSH-9.2\t\t\tstatus\t\tEvent[EncounterStatus]',
};

function compileRow(rootType: string, line: string): TableRow {
  const [id = '', condition = '', narrative = '', target = '', map = '', vocabulary = '', assignment = ''] = (
    MENDED[line] ?? line
  ).split('\t');
  const source = sourceName(id);
  if (target === '') return { kind: 'unmapped', source };
  const notUnderstood = (why: string): TableRow => ({
    kind: 'not-understood',
    source,
    why,
    text: line.replaceAll('\t', ' | '),
  });
  const parsed = parseTarget(target);
  if (parsed === undefined) return notUnderstood('target');
  // Two rows say `if organization` and `if system`: an authority is a system here, which keeps numbers apart.
  if (narrative !== '' && /assigner\(Organization\)\)*$/.test(target)) return { kind: 'alternative', source };
  const place = resolveTarget(rootType, parsed);
  if (place === undefined) return notUnderstood('no element of R4');
  const when = condition === '' ? undefined : parseCondition(condition);
  if (condition !== '' && when === undefined) return notUnderstood('condition');
  const given =
    parsed.literal === undefined ? parseAssignment(assignment) : ({ kind: 'fixed', text: parsed.literal } as const);
  if (given === undefined) return notUnderstood('assignment');
  if (vocabulary !== '' && !hasVocabulary(vocabulary)) return notUnderstood('vocabulary');
  const isFixed = given.kind !== 'none';
  const action = actionOf(place, { map, isFixed, isCoded: vocabulary !== '' });
  if (action === undefined) return notUnderstood('map of the data type');
  const isUnnamed = given.kind === 'none' && place.parentType === 'Extension' && /\.ur[il]$/.test(target);
  if (isUnnamed) return notUnderstood('assignment'); // an extension is not called by a value
  return {
    kind: 'row',
    row: {
      source,
      condition: when,
      saysOfOwn: when !== undefined && (source === undefined || namesOwn(when, source)),
      rootLabel: parsed.rootLabel ?? '1',
      path: place.path,
      action,
      assignment: given,
      vocabulary: vocabulary === '' ? undefined : vocabulary,
    },
  };
}

function sourceName(id: string): Name | undefined {
  const [, head = '', first, second] = /^([A-Z0-9]+)[-.](\d+)(?:\.(\d+))?/.exec(id) ?? [];
  if (first === undefined) return undefined;
  return { head, first: Number(first), second: second === undefined ? undefined : Number(second) };
}

type ResolvedTarget = {
  readonly path: readonly PathStep[];
  readonly parentType: string;
  readonly type: string;
  readonly link: string | undefined;
};

function resolveTarget(rootType: string, { steps, rootLabel }: Target): ResolvedTarget | undefined {
  if (rootLabel !== undefined && !/^\d+$/.test(rootLabel)) return undefined; // [1-6]: which, it does not say
  const path: PathStep[] = [];
  const state = { type: rootType, parentType: rootType, link: undefined as string | undefined };
  const [first, ...others] = steps;
  const own = first?.name === rootType && first.reference === undefined ? others : steps;
  return walk(own, path, state) ? { path, ...state } : undefined;
}

type Walk = { type: string; parentType: string; link: string | undefined };

function walk(steps: readonly Step[], path: PathStep[], state: Walk): boolean {
  for (const [index, step] of steps.entries()) {
    if (step.reference !== undefined && index < steps.length - 1) return false;
    if (!walkStep(step, path, state)) return false;
  }
  return true;
}

function walkStep({ name, label, reference }: Step, path: PathStep[], state: Walk): boolean {
  if (state.type === 'Reference' && name === 'reference' && reference !== undefined) {
    return enterReference(reference, path, state);
  }
  const element = elementAt(state.type, name, reference !== undefined);
  if (element === undefined) {
    // `location(Location.mode)` inside a table of locations: the resource itself is meant.
    return reference?.type === state.type && walk(reference.steps, path, state);
  }
  path.push({ kind: 'element', element, label });
  state.parentType = state.type;
  state.type = element.type;
  if (reference === undefined) return true;
  if (element.type === reference.type) return walk(reference.steps, path, state);
  return element.type === 'Reference' && enterReference(reference, path, state);
}

function enterReference(
  { type, label, steps }: NonNullable<Step['reference']>,
  path: PathStep[],
  state: Walk,
): boolean {
  if (!RESOURCE_TYPES.has(type)) return false;
  if (type === state.parentType && steps.length === 0 && label !== undefined) {
    state.link = label; // another root of this table
    return true;
  }
  path.push({ kind: 'resource', type });
  state.parentType = state.type;
  state.type = type;
  return walk(steps, path, state);
}

function elementAt(type: string, name: string, isReference: boolean): ElementModel | undefined {
  if (!isComplex(type)) return name === 'extension' ? elementOf('Extension', 'extension') : undefined;
  return (
    elementOf(type, name) ??
    elementOf(type, name.charAt(0).toLowerCase() + name.slice(1)) ??
    (isReference ? choiceOf(type, name, 'Reference') : undefined)
  );
}

/** Types whose plain text has one place. */
export const TEXT_PLACES: Readonly<Record<string, string>> = {
  CodeableConcept: 'text',
  Annotation: 'text',
  Identifier: 'value',
  HumanName: 'text',
  Address: 'text',
  Quantity: 'value',
};

type Given = { readonly map: string; readonly isFixed: boolean; readonly isCoded: boolean };

function actionOf(place: ResolvedTarget, { map, isFixed, isCoded }: Given): Action | undefined {
  const { type, parentType, link } = place;
  if (link !== undefined && map === '') return { kind: 'link', label: link };
  const isPlain = !isComplex(type) || TEXT_PLACES[type] !== undefined;
  // A code of a table is looked up by the first component, whatever else the source has.
  if (map === '' || ((isFixed || isCoded) && !isComplex(type))) return isPlain ? { kind: 'value' } : undefined;
  const name = canonicalName(map.replace(/\s+/g, '').toLowerCase());
  if (name === undefined) return isComplex(type) ? undefined : { kind: 'value' };
  const root = rootTypeOf(name);
  if (root === type || (!isComplex(root) && !isComplex(type))) return { kind: 'map', map: name, at: 'target' };
  if (root === parentType) return { kind: 'map', map: name, at: 'parent' };
  if (type === 'Reference' && RESOURCE_TYPES.has(root)) return { kind: 'map', map: name, at: 'resource' };
  return undefined;
}
