/**
 * Private elements that table E.3.10-1 of PS3.15 calls safe. A private element is known by its creator, its group and its number
 * within the creator's block (PS3.5 7.8.1), never by its number alone. The list is what may stay; everything private that is not on
 * it goes.
 */

import { type DataSet, textsIn } from '../data-set.ts';
import { SAFE_PRIVATE_LINES } from '../generated/safe-private.ts';
import { isPrivateCreator, type Tag } from '../tag.ts';
import { isVr, type Vr } from '../vr.ts';

let listed: ReadonlyMap<string, Vr> | undefined;

function safeVr(creator: string, tag: Tag): Vr | undefined {
  listed ??= new Map(SAFE_PRIVATE_LINES.split('\n').map(parse));
  return listed.get(keyOf(creator, tag >>> 16, tag & 0xff));
}

function parse(line: string): [string, Vr] {
  const [creator = '', group = '', element = '', vr = ''] = line.split('|');
  return [keyOf(creator, Number.parseInt(group, 16), Number.parseInt(element, 16)), isVr(vr) ? vr : 'UN'];
}

function keyOf(creator: string, group: number, element: number): string {
  return `${creator}|${group}|${element}`;
}

/** Tags of private elements that are safe, with the VR the list gives them, and of the creators they need. */
export function safePrivateElements({ elements }: DataSet): ReadonlyMap<Tag, Vr> {
  const safe = new Map<Tag, Vr>();
  for (const element of elements.values()) {
    if (!isPrivateCreator(element.tag)) continue;
    const [creator = ''] = textsIn({ ...element, vr: 'LO' }, []);
    const block = (((element.tag & 0xffff0000) >>> 0) + ((element.tag & 0xff) << 8)) >>> 0;
    for (let number = 0; number <= 0xff; number += 1) {
      const tag = (block + number) >>> 0;
      const vr = elements.has(tag) ? safeVr(creator, tag) : undefined;
      if (vr === undefined) continue;
      safe.set(tag, vr);
      safe.set(element.tag, 'LO');
    }
  }
  return safe;
}
