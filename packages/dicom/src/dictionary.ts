/** The registry of data elements (PS3.6), as far as reading needs it: VR and keyword of a tag. */
import { ELEMENT_LINES } from './generated/dictionary.ts';
import { isPrivate, isPrivateCreator, type Tag } from './tag.ts';
import { isVr, type Vr } from './vr.ts';

type Entry = {
  readonly vr: Vr;
  readonly keyword: string;
  readonly retired: boolean;
  /** US or SS, by PixelRepresentation; and whether OW is among the alternatives. */
  readonly signedAlternative: boolean;
  readonly wordAlternative: boolean;
};

/** Elements whose VR depends on others (US or SS, OB or OW): the first named is what implicit VR little endian means most often. */
function vrOf(alternatives: string): Vr {
  const [first = 'UN', second] = alternatives.split('/');
  if (first === 'OB' && second === 'OW') return 'OW'; // PS3.5 A.1: OW in implicit VR
  return isVr(first) ? first : 'UN';
}

type Dictionary = {
  readonly byKeyword: ReadonlyMap<string, Tag>;
  readonly byTag: ReadonlyMap<Tag, Entry>;
  readonly repeating: readonly { mask: Tag; value: Tag; entry: Entry }[];
};

let loaded: Dictionary | undefined;

/** Read at the first look-up: five thousand lines, a few milliseconds. */
function dictionary(): Dictionary {
  if (loaded !== undefined) return loaded;
  const byTag = new Map<Tag, Entry>();
  const repeating: { mask: Tag; value: Tag; entry: Entry }[] = [];
  for (const line of ELEMENT_LINES.split('\n')) {
    const [tag = '', vr = '', , keyword = '', retired] = line.split(' ');
    const entry = {
      vr: vrOf(vr),
      keyword,
      retired: retired === 'R',
      signedAlternative: vr.startsWith('US/SS'),
      wordAlternative: vr.endsWith('/OW'),
    };
    if (!tag.includes('x')) byTag.set(Number.parseInt(tag, 16), entry);
    else {
      const mask = Number.parseInt(tag.replace(/[^x]/g, 'F').replaceAll('x', '0'), 16) >>> 0;
      repeating.push({ mask, value: Number.parseInt(tag.replaceAll('x', '0'), 16), entry });
    }
  }
  const byKeyword = new Map([...byTag].map(([tag, { keyword }]) => [keyword, tag]));
  loaded = { byTag, byKeyword, repeating };
  return loaded;
}

function find(tag: Tag): Entry | undefined {
  const { byTag, repeating } = dictionary();
  return byTag.get(tag) ?? repeating.find(({ mask, value }) => (tag & mask) >>> 0 === value)?.entry;
}

/**
 * The VR that implicit VR means for a tag; UN where the standard names none. `isSigned`: PixelRepresentation is 1, which makes
 * values that are compared with pixels signed too (PS3.5 A.1, PS3.3 C.7.6.3.1.1).
 */
export function implicitVr(tag: Tag, isSigned = false): Vr {
  if (isPrivate(tag)) return isPrivateCreator(tag) ? 'LO' : 'UN';
  if ((tag & 0xffff) === 0) return 'UL'; // group length
  const entry = find(tag);
  return isSigned && entry?.signedAlternative === true ? 'SS' : (entry?.vr ?? 'UN');
}

/** The keyword of a tag, such as PatientName; `undefined` for private and unknown ones. */
export function keywordOf(tag: Tag): string | undefined {
  const keyword = isPrivate(tag) ? undefined : find(tag)?.keyword;
  return keyword === '-' ? undefined : keyword;
}

/** The VR that PS3.6 gives a standard element; `undefined` for private and unknown ones. */
export function vrInDictionary(tag: Tag): Vr | undefined {
  return isPrivate(tag) ? undefined : find(tag)?.vr;
}

/** Whether the values of an element may also be written as OW, whose length has four bytes. */
export function isWordData(tag: Tag): boolean {
  return !isPrivate(tag) && find(tag)?.wordAlternative === true;
}

export function isRetired(tag: Tag): boolean {
  return !isPrivate(tag) && find(tag)?.retired === true;
}

/** The tag of a keyword such as PatientName; `undefined` for what is none, and for repeating groups. */
export function tagOfKeyword(keyword: string): Tag | undefined {
  return dictionary().byKeyword.get(keyword);
}
