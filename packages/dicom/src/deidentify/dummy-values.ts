/** Values for action D: valid for their VR, the same for everybody, so that they say nothing but that something was replaced. */
import type { DataSet, Element, Value } from '../data-set.ts';
import type { Tag } from '../tag.ts';
import { type Vr, vrRule } from '../vr.ts';

export const REMOVED = 'REMOVED';
const TEXTS: Readonly<Partial<Record<Vr, string>>> = {
  AS: '000Y',
  DA: '19000101',
  DS: '0',
  DT: '19000101000000',
  IS: '0',
  PN: 'Removed',
  TM: '000000',
  UI: '2.25.0',
  UR: 'urn:removed',
};

/** `known`: the VR by the dictionary, where the element has come as UN. */
export function asciiElement(tag: Tag, vr: Vr, text: string, known: Vr = vr): Element {
  const padding = text.length % 2 === 0 ? '' : known === 'UI' ? '\0' : ' '; // PS3.5 6.2: even length
  return { tag, vr, value: { kind: 'bytes', bytes: Buffer.from(text + padding, 'latin1') } };
}

export function emptyElement({ tag, vr, value }: Element): Element {
  const isSequence = vr === 'SQ' || value.kind === 'items';
  return { tag, vr, value: isSequence ? itemsOf([]) : { kind: 'bytes', bytes: Buffer.alloc(0) } };
}

export function isEmpty({ value }: Element): boolean {
  if (value.kind === 'items') return value.items.length === 0;
  return value.kind === 'bytes' && value.bytes.byteLength === 0;
}

/** `around`: the data set in which it will stand, for the encoding of what is inside. */
export function dummyElement(element: Element, vr: Vr, around: DataSet): Element {
  const { tag } = element;
  if (vr === 'SQ' || element.value.kind === 'items') return { tag, vr: 'SQ', value: itemsOf([dummyItem(tag, around)]) };
  const rule = vrRule(vr);
  if (rule.kind === 'text') return asciiElement(tag, element.vr, TEXTS[vr] ?? REMOVED, vr);
  const bytes = Buffer.alloc(rule.kind === 'number' ? rule.bytes : 2);
  return { tag, vr: element.vr, value: { kind: 'bytes', bytes } };
}

function itemsOf(items: readonly DataSet[]): Value {
  return { kind: 'items', items };
}

const OPERATOR_IDENTIFICATION = 0x00081072;
const PERSON_IDENTIFICATION_CODES = 0x00401101;
const VERIFYING_OBSERVERS = 0x0040a073;
const CONTENT = 0x0040a730;
const CONCEPT_NAME = 0x0040a043;
const FLOW_IDENTIFIERS = 0x00340001;

function dummyItem(tag: Tag, around: DataSet): DataSet {
  const item = (...elements: Element[]): DataSet => ({
    elements: new Map(elements.map((element) => [element.tag, element])),
    littleEndian: around.littleEndian,
    characterSets: around.characterSets,
  });
  const code = (value: string, scheme: string, meaning: string) =>
    item(
      asciiElement(0x00080100, 'SH', value),
      asciiElement(0x00080102, 'SH', scheme),
      asciiElement(0x00080104, 'LO', meaning),
    );
  const removed = code(REMOVED, '99LANTERN', 'Removed');
  const sequence = (of: Tag, ...items: DataSet[]): Element => ({ tag: of, vr: 'SQ', value: itemsOf(items) });
  switch (tag) {
    case OPERATOR_IDENTIFICATION:
      return item(asciiElement(0x00080080, 'LO', REMOVED), sequence(PERSON_IDENTIFICATION_CODES, removed));
    case VERIFYING_OBSERVERS:
      return item(
        asciiElement(0x0040a027, 'LO', REMOVED),
        asciiElement(0x0040a030, 'DT', TEXTS.DT ?? ''),
        asciiElement(0x0040a075, 'PN', TEXTS.PN ?? ''),
        sequence(0x0040a088),
      );
    case CONTENT: // of an SR document: one line of text (PS3.3 C.17.3)
      return item(
        asciiElement(0x0040a010, 'CS', 'CONTAINS'),
        asciiElement(0x0040a040, 'CS', 'TEXT'),
        sequence(CONCEPT_NAME, code('121106', 'DCM', 'Comment')),
        asciiElement(0x0040a160, 'UT', REMOVED),
      );
    case FLOW_IDENTIFIERS:
      return item({ tag: 0x00340002, vr: 'OB', value: { kind: 'bytes', bytes: Buffer.alloc(2) } });
    default:
      return removed;
  }
}
