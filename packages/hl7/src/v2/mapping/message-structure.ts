/**
 * The structure of a message as HL7's tables have it: places of segments in groups, some of which repeat. Every segment of a message
 * finds its place, so that the rows for that place can be carried out: an OBX of a result is another than one of a specimen.
 *
 * Real messages break the grammar. So a segment is looked for forward from where the last one was, in the innermost group first; then
 * from the start of that group, which begins it anew; then in the group around it. A segment without any place stays without.
 */
import { MESSAGE_MAPS } from '../generated/message-maps.ts';
import { type Condition, parseCondition } from './condition.ts';
import { parseTarget, type Target } from './target-path.ts';

export type MessageRow = {
  readonly condition: Condition | undefined;
  readonly target: Target;
  /** Name of the table for the segment; empty where the row only sets something. */
  readonly map: string;
  readonly references: readonly ReferenceRule[];
  /** `path="value"` of the target. */
  readonly text: string;
};

/** `left.path.reference=right.id`, or `left.path="value"`. */
export type ReferenceRule = {
  readonly left: Target;
  readonly right: Target | undefined;
  readonly literal: string | undefined;
};

export type Place = {
  readonly index: number;
  readonly identifier: string;
  readonly segment: string;
  readonly rows: readonly MessageRow[];
  /** Rows that are not understood. */
  readonly unreadCount: number;
  readonly group: Group;
};

export type Group = {
  readonly parent: Group | undefined;
  readonly first: number;
  last: number;
  readonly repeats: boolean;
};

export type Structure = { readonly name: string; readonly places: readonly Place[] };

const structures = new Map<string, Structure>();

export function structureOf(name: string): Structure | undefined {
  const known = structures.get(name);
  if (known !== undefined) return known;
  const lines = MESSAGE_MAPS[name];
  if (lines === undefined) return undefined;
  const structure = { name, places: readPlaces(lines) };
  structures.set(name, structure);
  return structure;
}

function readPlaces(lines: readonly string[]): Place[] {
  const places: Place[] = [];
  let group: Group = { parent: undefined, first: 0, last: 0, repeats: false };
  for (const line of lines) {
    const [identifier = '', syntax = '', ...cells] = line.split('\t');
    const bare = syntax.replace(/[\s[\]{}<>|]/g, '');
    if (identifier.startsWith('/')) {
      group.last = places.length - 1;
      group = group.parent ?? group;
    } else if (bare === '') {
      group = { parent: group, first: places.length, last: Number.POSITIVE_INFINITY, repeats: syntax.includes('{') };
    } else {
      addRow(places, { identifier, segment: bare, repeats: syntax.includes('{'), cells, group });
    }
  }
  closeAll(group, places.length - 1);
  return places;
}

function closeAll(group: Group | undefined, last: number): void {
  for (let open = group; open !== undefined; open = open.parent) open.last = Math.min(open.last, last) || last;
}

type RowAt = {
  readonly identifier: string;
  readonly segment: string;
  readonly repeats: boolean;
  readonly cells: readonly string[];
  readonly group: Group;
};

function addRow(places: Place[], { identifier, segment, cells, group }: RowAt): void {
  const row = readRow(cells);
  const last = places.at(-1);
  const isSame = last !== undefined && last.identifier === identifier && last.segment === segment;
  const before = isSame ? last : undefined;
  if (isSame) places.pop();
  places.push({
    index: places.length,
    identifier,
    segment,
    rows: [...(before?.rows ?? []), ...(row === undefined || row === 'unread' ? [] : [row])],
    unreadCount: (before?.unreadCount ?? 0) + (row === 'unread' ? 1 : 0),
    group,
  });
}

function readRow(cells: readonly string[]): MessageRow | 'unread' | undefined {
  const [condition = '', , target = '', map = '', references = ''] = cells;
  if (target === '') return undefined;
  const parsed = parseTarget(target.replace(/\[(?:each|n|1\.\.n)\]/g, '[1]'));
  const when = condition === '' ? undefined : parseCondition(condition);
  if (parsed === undefined || (condition !== '' && when === undefined)) return 'unread';
  return { condition: when, target: parsed, map, references: readReferences(references), text: target };
}

function readReferences(text: string): ReferenceRule[] {
  return text
    .replace(/\bImmunzation\b/, 'Immunization')
    .replace(/\[(?:each|n|1\.\.n)\]/g, '[1]')
    .split(/;\s*|\s(?=[A-Z][A-Za-z]+(?:\[\w+\])?\.[\w.[\]()]+=)/)
    .map(readReference)
    .filter((rule) => rule !== undefined);
}

function readReference(text: string): ReferenceRule | undefined {
  const [, left = '', quoted, right] = /^([^=]+)=\s*(?:"([^"]*)"|(\S+))$/.exec(text.trim()) ?? [];
  const path = left.trim().replace(/\.(?:reference|id)$/, '');
  const from = path === '' ? undefined : parseTarget(path);
  if (from === undefined) return undefined;
  if (quoted !== undefined) return { left: from, right: undefined, literal: quoted };
  const to = parseTarget((right ?? '').replace(/\.id$/, '').replace(/\[[A-Z]\w+\]/, '[1]'));
  return to === undefined ? undefined : { left: from, right: to, literal: undefined };
}

/** Finds the places of segments, one after another. */
export class StructureWalk {
  readonly #places: readonly Place[];
  #at = -1;
  /** How often each group was begun. */
  readonly #begun = new Map<Group, number>();

  constructor({ places }: Structure) {
    this.#places = places;
  }

  next(segment: string): Place | undefined {
    const current = this.#places[this.#at];
    for (let group = current?.group ?? this.#places[0]?.group; group !== undefined; group = group.parent) {
      const forward = this.#find(segment, Math.max(this.#at, group.first), group.last);
      if (forward !== undefined) return this.#go(forward, current, undefined);
      const again =
        group.repeats || group.parent === undefined ? this.#find(segment, group.first, this.#at) : undefined;
      if (again !== undefined) return this.#go(again, current, group);
    }
    return undefined;
  }

  /** Which occurrence of its groups a place is in now. */
  occurrence(place: Place): string {
    const numbers: string[] = [];
    for (let group: Group | undefined = place.group; group !== undefined; group = group.parent) {
      numbers.unshift(`${group.first}:${this.#begun.get(group) ?? 0}`);
    }
    return numbers.join('/');
  }

  #find(segment: string, from: number, to: number): Place | undefined {
    return this.#places.find((place) => place.index >= from && place.index <= to && place.segment === segment);
  }

  #go(place: Place, before: Place | undefined, again: Group | undefined): Place {
    this.#at = place.index;
    for (let group: Group | undefined = place.group; group !== undefined; group = group.parent) {
      const isEntered = before === undefined || !contains(group, before);
      if (isEntered || isWithin(group, again)) this.#begun.set(group, (this.#begun.get(group) ?? 0) + 1);
    }
    return place;
  }
}

function contains(group: Group, place: Place): boolean {
  return place.index >= group.first && place.index <= group.last;
}

/** Whether it is the group that began anew, or one inside it. */
function isWithin(group: Group, again: Group | undefined): boolean {
  return again?.parent !== undefined && group.first >= again.first && group.last <= again.last;
}
