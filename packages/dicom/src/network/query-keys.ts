/**
 * Keys of a query as people type them: `PatientID=4711`, `0010,0020=4711`, `StudyDate=20260101-20260131`, `Modality` alone for what
 * shall come back, and `ScheduledProcedureStepSequence.Modality=CT` for what stands in an item.
 */
import type { DataSet } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { implicitVr, tagOfKeyword } from '../dictionary.ts';
import {
  bytesElement,
  type ElementBuilder,
  numberElement,
  sequenceElement,
  textAsItStands,
} from '../element-values.ts';
import type { Tag } from '../tag.ts';
import { vrRule } from '../vr.ts';
import { identifierOf } from './identifier.ts';

/** Keys by tag; those of a sequence in their turn. */
type KeyTree = Map<Tag, string | KeyTree>;

const TAG = /^\(?([0-9a-f]{4}),?([0-9a-f]{4})\)?$/i;

/** Of keys that name the same element the last one counts. Throws `value` for what is no key. */
export function queryIdentifier(keys: readonly string[]): DataSet {
  const tree: KeyTree = new Map();
  for (const key of keys) add(tree, key);
  return identifierOf(buildersOf(tree));
}

/** The tags that lead to the element of a key. Throws `value`. */
export function keyPath(key: string): Tag[] {
  const [name = ''] = key.split('=', 1);
  return name.split('.').map((part) => {
    const match = TAG.exec(part.trim());
    const tag = match === null ? tagOfKeyword(part.trim()) : Number.parseInt(`${match[1]}${match[2]}`, 16);
    if (tag === undefined) throw new DicomError('value', `"${part}" is neither a keyword of PS3.6 nor a tag.`);
    return tag;
  });
}

function add(tree: KeyTree, key: string): void {
  const path = keyPath(key);
  const last = path.pop();
  if (last === undefined) return;
  let level = tree;
  for (const tag of path) {
    const below = level.get(tag);
    const items: KeyTree = below instanceof Map ? below : new Map();
    level.set(tag, items);
    level = items;
  }
  const at = key.indexOf('=');
  const value = at === -1 ? '' : key.slice(at + 1);
  if (value === '' && level.get(last) instanceof Map) return; // a sequence whose items have keys is asked for already
  level.set(last, value);
}

function buildersOf(tree: KeyTree): ElementBuilder[] {
  return [...tree].map(([tag, value]) =>
    typeof value === 'string' ? leaf(tag, value) : sequenceElement(tag, [buildersOf(value)]),
  );
}

function leaf(tag: Tag, value: string): ElementBuilder {
  const vr = implicitVr(tag);
  if (vr === 'SQ') return sequenceElement(tag, [[]]); // universal matching of a sequence: one empty item (PS3.4 C.2.2.2.6)
  const { kind } = vrRule(vr);
  if (kind === 'text') return textAsItStands(tag, [value], vr); // wildcards and ranges break the rules of values
  if (value === '') return bytesElement(tag, Buffer.alloc(0), vr);
  const number = Number(value);
  if (kind !== 'number' || !Number.isFinite(number)) {
    throw new DicomError('value', `A key of VR ${vr} cannot be given as text.`);
  }
  return numberElement(tag, number, vr);
}
