/**
 * Which attributes an IOD requires (PS3.3), as far as it decides an action: 1 must have a value, 2 must be there. Conditional types
 * count as unconditional ones, so that the object stays valid whichever way the condition falls.
 */
import { ATTRIBUTE_TYPE_LINES, IOD_LINES } from '../generated/attribute-types.ts';
import type { Tag } from '../tag.ts';

type AttributeType = 1 | 2;

export type AttributeTypes = {
  readonly top: ReadonlyMap<Tag, AttributeType>;
  /** Inside sequences: the strictest of all places of the IOD. */
  readonly nested: ReadonlyMap<Tag, AttributeType>;
};

let linesByIod: ReadonlyMap<string, string> | undefined;
let iods: ReadonlyMap<string, string> | undefined;
const parsed = new Map<string, AttributeTypes>();

/** `undefined` for a SOP class that is not one of the standard's. */
export function attributeTypesOf(sopClassUid: string): AttributeTypes | undefined {
  iods ??= new Map(IOD_LINES.split('\n').map(splitAtSpace));
  linesByIod ??= new Map(ATTRIBUTE_TYPE_LINES.split('\n').map(splitAtSpace));
  const iod = iods.get(sopClassUid);
  if (iod === undefined) return undefined;
  const known = parsed.get(iod) ?? parse(linesByIod.get(iod) ?? '');
  parsed.set(iod, known);
  return known;
}

function splitAtSpace(line: string): [string, string] {
  const at = line.indexOf(' ');
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
}

function parse(line: string): AttributeTypes {
  const top = new Map<Tag, AttributeType>();
  const nested = new Map<Tag, AttributeType>();
  for (const entry of line.split(' ').filter((part) => part !== '')) {
    const [place = '', type] = entry.split('=');
    const target = place.startsWith('n') ? nested : top;
    target.set(Number.parseInt(place.replace('n', ''), 16), type === '1' ? 1 : 2);
  }
  return { top, nested };
}
