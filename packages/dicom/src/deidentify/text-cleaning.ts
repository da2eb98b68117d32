/**
 * Changes the text of an element, in whatever character set it is written. What does not change is left byte for byte. A changed
 * value is written in the character set of the data set where that can be done in one step (ASCII, Latin-1, UTF-8); elsewhere the
 * whole element becomes an underscore, as a text with an identifier in it is not worth an encoder.
 */
import type { DataSet, Element } from '../data-set.ts';
import { decodeText } from '../text.ts';
import { type Vr, vrRule } from '../vr.ts';

const MEMORY_COUNT_MAX = 20_000;
const LATIN_1: ReadonlySet<string> = new Set(['', 'ISO_IR 6', 'ISO_IR 100']);
const UTF_8 = 'ISO_IR 192';
const OMISSION = '_';

export type TextCleaner = (element: Element, vr: Vr, around: DataSet) => Element;

/** `change` is given each value without padding. The returned function gives back the same element where nothing changed. */
export function createTextCleaner(change: (value: string) => string): TextCleaner {
  const memory = new Map<string, Buffer | 'same'>();
  return (element, vr, around) => {
    if (element.value.kind !== 'bytes' || element.value.bytes.byteLength === 0) return element;
    const { bytes } = element.value;
    const rule = vrRule(vr);
    if (rule.kind !== 'text') return element;
    const characterSets = rule.charset ? around.characterSets : [];
    const key = `${vr}|${characterSets.join('|')}|${bytes.toString('latin1')}`;
    let changed = memory.get(key);
    if (changed === undefined) {
      changed = changedBytes(bytes, { single: rule.single, characterSets, change }) ?? 'same';
      if (memory.size >= MEMORY_COUNT_MAX) memory.clear();
      memory.set(key, changed);
    }
    return changed === 'same' ? element : { ...element, value: { kind: 'bytes', bytes: changed } };
  };
}

function changedBytes(
  bytes: Buffer,
  options: { single: boolean; characterSets: readonly string[]; change: (value: string) => string },
): Buffer | undefined {
  const text = decodeText(bytes, options.characterSets).replace(/[ \0]+$/, '');
  const values = options.single ? [text] : text.split('\\');
  const changed = values.map((value) => (value === '' ? value : options.change(value)));
  if (changed.every((value, index) => value === values[index])) return undefined;
  const joined = changed.join('\\');
  const encoded = encode(joined, options.characterSets) ?? Buffer.from(OMISSION);
  return encoded.byteLength % 2 === 0 ? encoded : Buffer.concat([encoded, Buffer.from(' ')]);
}

function encode(text: string, characterSets: readonly string[]): Buffer | undefined {
  if (isWithin(text, 0x7f)) return Buffer.from(text, 'latin1');
  const [first = ''] = characterSets;
  if (first === UTF_8) return Buffer.from(text, 'utf8');
  if (LATIN_1.has(first) && characterSets.length <= 1 && isWithin(text, 0xff)) return Buffer.from(text, 'latin1');
  return undefined;
}

function isWithin(text: string, codeMax: number): boolean {
  for (let at = 0; at < text.length; at += 1) if (text.charCodeAt(at) > codeMax) return false;
  return true;
}
