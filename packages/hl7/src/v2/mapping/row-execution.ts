/**
 * Carries out HL7's tables on one source: a segment, or a value inside it. Each row whose condition holds puts its source at its
 * target; a value of a data type is put there by the table of that type, and so on down to primitives.
 *
 * Labels of the tables tell occurrences apart: rows with one label speak of one occurrence, each repetition of their source of
 * another. Of the roots that a table of places makes (bed, room, building) the first that is filled is the one meant.
 */
import { decodeValue, type Message, partOf, repetitionsOf, type Segment } from '../message.ts';
import { codeSystemUrl } from './code-systems.ts';
import { holds, type Name } from './condition.ts';
import { elementOf, isComplex, isMergedInside } from './fhir-model.ts';
import { mapTable, type PathStep, type Row, TEXT_PLACES } from './map-tables.ts';
import { primitiveOf } from './primitive-value.ts';
import { childOf, type Resource, type TreeNode } from './resource-tree.ts';
import { mappedCode } from './vocabulary.ts';

/** What the rows of a message share. */
export type Execution = {
  readonly message: Message;
  readonly timeZone: string;
  /** URI before names that nobody but the sender knows. */
  readonly local: string;
  /** Assigning authorities by the name that the sender has for them. */
  readonly authorities: ReadonlyMap<string, string>;
  newResource(type: string): Resource;
  /** Another segment of the message, as it is seen from here. */
  segment(name: string): Segment | undefined;
  /** What a field had that its target cannot hold. */
  onProblem(place: string, rule: string): void;
  /** A row for a field was carried out (`mapped`), or not understood. */
  onField(segment: Segment, field: number, outcome: 'mapped' | 'not-understood'): void;
};

/** What a table is carried out on: a repetition of a field, or a part of it. */
type Source = {
  readonly raw: string;
  /** How deep it is: parts of a field are components, theirs are subcomponents, and these have none. */
  readonly depth: 0 | 1 | 2;
};

/** Where a table puts its roots: by label, on demand. `undefined`: there is no place for that one. */
type Roots = (label: string) => TreeNode | undefined;

type Scope = {
  readonly execution: Execution;
  readonly segment: Segment;
  /** Of the occurrence of the segment: keeps its occurrences apart from others'. */
  readonly key: string;
  /** As in PID-3, for problems. */
  readonly place: string;
  /** The resource that is filled. */
  readonly touch: () => void;
  /** Whether names are those of assigning authorities; else of code systems. */
  readonly isAuthority: boolean;
};

/** Fields whose text is not taken apart, though senders forget to escape what is in it. */
const WHOLE_TEXTS: ReadonlySet<string> = new Set(['OBX-5', 'NTE-3']);

/** Carries out a table of a segment on a resource. `key` tells occurrences of the segment apart. */
export function executeSegment(
  execution: Execution,
  segment: Segment,
  target: { map: string; resource: Resource; key: string },
): void {
  const table = mapTable(target.map);
  if (table === undefined) return;
  const { resource, key } = target;
  const eachCount = countOfEach(execution.message, segment, target.map);
  for (const one of table.rows) {
    const field = one.kind === 'row' ? one.row.source?.first : one.source?.first;
    if (one.kind === 'unmapped' || one.kind === 'alternative') continue;
    const isValued = field !== undefined && repetitionsOf(execution.message, segment, field).some(isSaid);
    if (one.kind === 'not-understood') {
      if (isValued && field !== undefined) execution.onField(segment, field, 'not-understood');
      continue;
    }
    const touch = () => {
      resource.isTouched = true;
    };
    const place = field === undefined ? segment.name : `${segment.name}-${field}`;
    const scope: Scope = { execution, segment, key, place, touch, isAuthority: false };
    if (field !== undefined && segment.fields[field] === DELETED) markDeleted(resource, one.row, place);
    const isDone = executeSegmentRow(scope, one.row, resource.root, eachCount);
    if (isDone && field !== undefined) execution.onField(segment, field, 'mapped');
  }
}

const DELETED = '""';

function isSaid(raw: string): boolean {
  return raw !== '' && raw !== DELETED;
}

/** Fields that speak of one occurrence of a list, by what tells it apart (see record-merge.ts). */
const OCCURRENCES: Readonly<Record<string, string>> = {
  'PID-13': 'telecom:home',
  'PID-14': 'telecom:work',
  'PV1-3': 'location:active',
  'PV1-6': 'location:completed',
  'PV1-42': 'location:reserved',
  'PV1-7': 'participant:ATND',
  'PV1-8': 'participant:REF',
  'PV1-9': 'participant:CON',
  'PV1-17': 'participant:ADM',
};

/** Numbers are never deleted so: a record without one could not be found again. */
function markDeleted(resource: Resource, { path }: Row, place: string): void {
  const names: string[] = [];
  for (const step of path) {
    if (step.kind !== 'element') break;
    names.push(step.element.name);
    if (step.element.isList || !isMergedInside(step.element.type)) break;
  }
  const [first] = names;
  if (first === undefined || first === 'identifier') return;
  const occurrence = OCCURRENCES[place];
  resource.deleted.add(occurrence?.startsWith(`${first}:`) === true ? occurrence : names.join('.'));
}

/** `component[each]`: as many as the field has repetitions that has most of them. */
function countOfEach(message: Message, segment: Segment, map: string): number {
  const rows = mapTable(map)?.rows ?? [];
  const counts = rows.map((one) => {
    const field = one.kind === 'row' && isOfEach(one.row) ? one.row.source?.first : undefined;
    return field === undefined ? 0 : repetitionsOf(message, segment, field).length;
  });
  return Math.max(0, ...counts);
}

function isOfEach({ path }: Row): boolean {
  return path.some((step) => step.kind === 'element' && step.label === 'each');
}

function executeSegmentRow(scope: Scope, row: Row, root: TreeNode, eachCount: number): boolean {
  const { message } = scope.execution;
  const { source } = row;
  const said = source?.first === undefined ? [''] : repetitionsOf(message, scope.segment, source.first);
  const repetitions = said.length === 0 ? [''] : said;
  const count = isOfEach(row) ? Math.max(eachCount, repetitions.length) : repetitions.length;
  let isDone = false;
  for (let index = 0; index < count; index += 1) {
    const whole = repetitions[Math.min(index, repetitions.length - 1)] ?? '';
    const raw = source?.second === undefined ? whole : partOf(whole, message.delimiters.component, source.second);
    const own: Source = { raw, depth: source?.second === undefined ? 0 : 1 };
    const roots: Roots = (label) => (label === '1' ? root : undefined);
    if (executeRow(scope, row, { own, whole: own, roots, index })) isDone = true;
  }
  return isDone;
}

type At = {
  readonly own: Source;
  /** What the table is carried out on; `own` is the part of it that the row is about. */
  readonly whole: Source;
  readonly roots: Roots;
  readonly index: number;
};

function executeRow(scope: Scope, row: Row, at: At): boolean {
  const hasSource = isSaid(at.own.raw) || row.source === undefined;
  const isFixed = row.assignment.kind === 'fixed';
  if (!hasSource && !(isFixed && row.saysOfOwn)) return false;
  if (row.condition !== undefined && !holds(row.condition, { texts: (name) => textsOf(scope, name, at) })) return false;
  const root = at.roots(row.rootLabel);
  if (root === undefined) return false;
  const passed: Resource[] = [];
  const node = descend(scope, root, { path: row.path, index: at.index, source: row.source, passed });
  if (node === undefined) return false;
  const touch = () => {
    for (const resource of passed) resource.isTouched = true;
    scope.touch();
  };
  return put({ ...scope, touch }, row, { ...at, node });
}

/* Conditions and texts. */

const SEGMENT_NAME = /^(?:[A-Z][A-Z0-9]{2})$/;

/** Texts of a name, the repetition at hand first. */
function textsOf(scope: Scope, name: Name, { own, whole, index }: Pick<At, 'own' | 'whole' | 'index'>): string[] {
  const { execution, segment } = scope;
  const { message } = execution;
  if (name.head === '' || name.first === undefined) {
    if (name.head === '') return said(firstText(message, own));
    return execution.segment(name.head) === undefined ? [] : [name.head];
  }
  if (MAP_HEADS.has(name.head)) return said(firstText(message, part(message, whole, name.first)));
  if (!SEGMENT_NAME.test(name.head)) return [];
  const other = name.head === segment.name ? segment : execution.segment(name.head);
  if (other === undefined) return [];
  const repetitions = repetitionsOf(message, other, name.first).filter(isSaid);
  const [first = ''] = repetitions.splice(Math.min(index, Math.max(0, repetitions.length - 1)), 1);
  return [first, ...repetitions].flatMap((raw) => {
    const field: Source = { raw, depth: 0 };
    return said(firstText(message, name.second === undefined ? field : part(message, field, name.second)));
  });
}

/** Data types that tables name as they name segments. */
const MAP_HEADS: ReadonlySet<string> = new Set(
  'CE CF CNE CNN CQ CWE CX DLD DLN DR DTM ED EI EIP FN FT HD ID IS MSG NA NDL NM NR OG PL PLN PT RI RP RPT SAD SN SPS ST TQ TS XAD XCN XON XPN XTN'.split(
    ' ',
  ),
);

function said(text: string): string[] {
  return text === '' ? [] : [text];
}

function part(message: Message, { raw, depth }: Source, number: number): Source {
  const { component, subcomponent } = message.delimiters;
  if (depth === 0) return { raw: partOf(raw, component, number), depth: 1 };
  if (depth === 1) return { raw: partOf(raw, subcomponent, number), depth: 2 };
  return { raw: number === 1 ? raw : '', depth: 2 };
}

/** Of the first component, and its first subcomponent. */
function firstText(message: Message, source: Source): string {
  const leaf =
    source.depth === 0
      ? part(message, part(message, source, 1), 1)
      : source.depth === 1
        ? part(message, source, 1)
        : source;
  return decodeValue(message, leaf.raw) ?? '';
}

/* Targets. */

type Descent = {
  readonly path: readonly PathStep[];
  readonly index: number;
  readonly source: Name | undefined;
  /** Resources on the way are added. */
  readonly passed: Resource[];
};

function descend(scope: Scope, root: TreeNode, { path, index, source, passed }: Descent): TreeNode | undefined {
  const repeated = repeatedStep(path);
  let node: TreeNode | undefined = root;
  for (const [at, step] of path.entries()) {
    if (node === undefined) return undefined;
    if (step.kind === 'resource') {
      const resource = resourceAt(scope, node, step.type);
      if (resource !== undefined) passed.push(resource);
      node = resource?.root;
      continue;
    }
    const isLeaf = at === path.length - 1 && !isComplex(step.element.type);
    const label = step.label ?? (isLeaf ? `${source?.head}${source?.first}.${source?.second ?? ''}` : '1');
    // One label may stand for resources of several types: each is another occurrence.
    const next = path[at + 1];
    const referred = next?.kind === 'resource' ? `:${next.type}` : '';
    const repetition = at === repeated && index > 0 ? `/${index}` : '';
    node = childOf(node, step.element, `${scope.key}[${label}${referred}]${repetition}`);
  }
  return node;
}

/** Which list grows with the repetitions of its source: the last one with a label, else the last one. */
function repeatedStep(path: readonly PathStep[]): number {
  const lists = path.flatMap((step, at) => (step.kind === 'element' && step.element.isList ? [{ step, at }] : []));
  const labelled = lists.findLast(({ step }) => step.kind === 'element' && step.label !== undefined);
  return (labelled ?? lists.at(-1))?.at ?? -1;
}

/** The resource to which a reference leads; one of another type is none of this row's. */
function resourceAt({ execution }: Scope, reference: TreeNode, type: string): Resource | undefined {
  reference.resource ??= execution.newResource(type);
  return reference.resource.type === type ? reference.resource : undefined;
}

/* Values. */

type Put = At & { readonly node: TreeNode };

function put(scope: Scope, row: Row, given: Put): boolean {
  const { own, node, roots } = given;
  const { action, assignment } = row;
  if (action.kind === 'link') return link(node, roots(action.label));
  if (assignment.kind === 'fixed') return setPlain(scope, node, assignment.text, { isFixed: true });
  if (assignment.kind === 'pieces') {
    const texts = assignment.pieces.map((piece) =>
      typeof piece === 'string' ? piece : (textsOf(scope, piece, given)[0] ?? ''),
    );
    return setPlain(scope, node, texts.join('').trim(), { isFixed: false });
  }
  if (action.kind === 'value') {
    const whole = WHOLE_TEXTS.has(scope.place) && own.depth === 0;
    const text = whole
      ? (decodeValue(scope.execution.message, own.raw) ?? '')
      : firstText(scope.execution.message, own);
    return setCoded(scope, node, text, row.vocabulary);
  }
  return putByMap(scope, row, given);
}

/** Links are made to what is there when the table ends: which root is filled is not known before. */
const LINKS = new WeakMap<TreeNode, TreeNode>();

function link(node: TreeNode, target: TreeNode | undefined): boolean {
  if (target === undefined) return false;
  LINKS.set(node, target);
  return true;
}

function putByMap(scope: Scope, row: Row, { own, node, roots, index }: Put): boolean {
  const { action, path, rootLabel } = row;
  if (action.kind !== 'map') return false;
  if (action.at === 'resource') return putResources(scope, action.map, own, node);
  const isParent = action.at === 'parent';
  const last = path.at(-1);
  // A table of a resource that fills one we are already in, such as that of the practitioner at whom a reference points.
  const target = isParent
    ? descend(scope, roots(rootLabel) ?? node, { path: path.slice(0, -1), index, source: row.source, passed: [] })
    : node;
  if (target === undefined) return false;
  if (last?.kind === 'resource' && !isParent) return putResources(scope, action.map, own, node);
  const inner: Scope = { ...scope, isAuthority: action.map === 'HD[uri]' };
  const isDone = executeMap(inner, action.map, own, (label) => (label === '1' ? target : undefined));
  if (row.vocabulary !== undefined) addMapped(scope, target, firstText(scope.execution.message, own), row.vocabulary);
  return isDone;
}

/**
 * A table that may make several resources, such as a bed in a room in a building. `node` is the first one's root, or the reference
 * that is to lead to it.
 */
function putResources(scope: Scope, map: string, own: Source, node: TreeNode): boolean {
  const type = mapTable(map)?.rootType ?? '';
  const made = new Map<string, Resource>();
  const isReference = node.type === 'Reference';
  const roots: Roots = (label) => {
    if (!isReference && label === '1') return node;
    const known = made.get(label) ?? scope.execution.newResource(type);
    made.set(label, known);
    return known.root;
  };
  const inner: Scope = { ...scope, key: '', touch: () => {} };
  const isDone = executeMap(inner, map, own, roots);
  for (const resource of made.values()) resource.isTouched ||= hasOwnValue(resource.root);
  for (const resource of made.values()) resolveLinks(resource.root, [...made.values()]);
  const first = [...made].sort(([a], [b]) => Number(a) - Number(b)).find(([, resource]) => resource.isTouched);
  if (isReference && first !== undefined) node.resource ??= first[1];
  if (isDone) scope.touch();
  return isDone;
}

/** Whether more than what the tables fix is in it. */
function hasOwnValue(node: TreeNode): boolean {
  return [...node.slots].some(
    ([name, { entries }]) => OWN_ELEMENTS.has(name) && [...entries.values()].some(holdsValue),
  );
}

const OWN_ELEMENTS: ReadonlySet<string> = new Set([
  'identifier',
  'name',
  'address',
  'description',
  'telecom',
  'code',
  'specialty',
  'period',
  'practitioner',
  'organization',
  'location',
]);

function holdsValue(node: TreeNode): boolean {
  if (node.value !== undefined || node.resource !== undefined) return true;
  return [...node.slots.values()].some(({ entries }) => [...entries.values()].some(holdsValue));
}

function resolveLinks(node: TreeNode, candidates: readonly Resource[]): void {
  const target = LINKS.get(node);
  if (target !== undefined) node.resource = candidates.find(({ root, isTouched }) => root === target && isTouched);
  for (const { entries } of node.slots.values()) for (const entry of entries.values()) resolveLinks(entry, candidates);
}

function executeMap(scope: Scope, map: string, whole: Source, roots: Roots): boolean {
  const table = mapTable(map);
  if (table === undefined) return false;
  const head = /^[A-Z]+/.exec(table.name)?.[0] ?? '';
  let isDone = false;
  for (const one of table.rows) {
    if (one.kind !== 'row') continue;
    const { row } = one;
    // Types of one component (ID.1) are the value itself.
    const isWhole = row.source?.first === undefined || (row.source.first === 1 && SIMPLE.has(head));
    const own = isWhole ? whole : part(scope.execution.message, whole, row.source?.first ?? 1);
    if (executeRow({ ...scope, key: '' }, row, { own, whole, roots, index: 0 })) isDone = true;
  }
  return isDone;
}

const SIMPLE: ReadonlySet<string> = new Set(['ID', 'IS', 'ST', 'NM', 'DTM', 'FT', 'TS']);

/** A code that a table of codes knows, put as FHIR has it. */
function setCoded(scope: Scope, node: TreeNode, text: string, vocabulary: string | undefined): boolean {
  if (vocabulary === undefined) return setPlain(scope, node, text, { isFixed: false });
  const mapped = mappedCode(vocabulary, text);
  const isOpen = node.codes.length === 0 || node.codes.includes(text);
  if (mapped === undefined && text !== '' && !isOpen) {
    scope.execution.onProblem(scope.place, `has a code that the table ${vocabulary} does not know`);
    return false;
  }
  return setPlain(scope, node, mapped?.code ?? text, { isFixed: false });
}

/** Adds the code of FHIR beside the one that the sender has. */
function addMapped(scope: Scope, node: TreeNode, text: string, vocabulary: string): void {
  const mapped = mappedCode(vocabulary, text);
  if (mapped === undefined) return;
  const coding = node.type === 'CodeableConcept' ? elementOf('CodeableConcept', 'coding') : undefined;
  const target = coding === undefined ? node : childOf(node, coding, `mapped ${vocabulary}`);
  if (target?.type !== 'Coding') return;
  for (const name of ['system', 'code', 'display'] as const) {
    const element = elementOf('Coding', name);
    const child = element === undefined ? undefined : childOf(target, element, '');
    if (child !== undefined && mapped[name] !== '') child.value = mapped[name];
  }
  scope.touch();
}

function setPlain(scope: Scope, node: TreeNode, text: string, { isFixed }: { isFixed: boolean }): boolean {
  if (text === '') return false;
  if (isComplex(node.type)) {
    const element = elementOf(node.type, TEXT_PLACES[node.type] ?? '');
    const child = element === undefined ? undefined : childOf(node, element, '');
    return child !== undefined && setPlain(scope, child, text, { isFixed });
  }
  if (node.value !== undefined) return false;
  const { execution, place } = scope;
  const isUri = node.type === 'uri' || node.type === 'url';
  const meant = isUri && !isFixed ? uriOf(scope, text) : text;
  const converted = primitiveOf(meant, { type: node.type, codes: node.codes, timeZone: execution.timeZone });
  if ('rule' in converted) {
    if (!isFixed) execution.onProblem(place, converted.rule);
    return false;
  }
  node.value = converted.value;
  if (!isFixed) scope.touch();
  return true;
}

/** Names of code systems and of assigning authorities are no URIs. */
function uriOf({ execution, place, isAuthority }: Scope, text: string): string {
  const { authorities, local } = execution;
  const trimmed = text.trim();
  const authority = isAuthority ? authorities.get(trimmed) : undefined;
  if (authority !== undefined) return authority;
  if (/^(?:OBX-5|TXA|MSH)/.test(place) || /^[a-z][a-z0-9+.-]*:\S/i.test(trimmed)) return trimmed;
  return isAuthority ? `${local}:${encodeURIComponent(trimmed)}` : codeSystemUrl(trimmed, local);
}
