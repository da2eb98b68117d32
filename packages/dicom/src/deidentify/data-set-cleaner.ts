/**
 * Applies the rules to a data set and all items in it. Two walks: the first gathers the patient's identifiers while they are all
 * there, the second acts. Elements that stay are the same objects as before, so that they are written byte for byte.
 */
import type { ByteSource } from '../byte-source.ts';
import { type DataSet, type Element, effectiveVr, textsIn } from '../data-set.ts';
import { isPrivate, TAGS, type Tag } from '../tag.ts';
import { type Vr, vrRule } from '../vr.ts';
import type { AttributeTypes } from './attribute-types.ts';
import { rememberingShift, type shiftDate } from './dates.ts';
import { asciiElement, dummyElement, emptyElement, isEmpty } from './dummy-values.ts';
import type { Collector } from './identifiers.ts';
import { isKnownWord, knownWordsOf } from './known-words.ts';
import type { DeidentificationProfile } from './profile.ts';
import type { Pseudonyms } from './pseudonyms.ts';
import { pathOf, type ReportEntry, type ReportedAction } from './report.ts';
import type { Action, Rules } from './rules.ts';
import { safePrivateElements } from './safe-private.ts';
import type { Scrubber } from './scrubber.ts';
import { createTextCleaner, type TextCleaner } from './text-cleaning.ts';

/** Text left in the source because of its length is read up to this size; a longer one is removed unread. */
const TEXT_BYTES_MAX = 16 * 1024 * 1024;
/** Larger values of a number VR are signals and tables; searching them for words would find chance. */
const NUMBERS_BYTES_MAX = 64 * 1024;

const TIMEZONE_OFFSET = 0x00080201;
const CODES: ReadonlySet<Tag> = new Set([0x00080100, 0x00080102, 0x00080103, 0x00080119, 0x00080120]);
const PIXEL_DATA: ReadonlySet<Tag> = new Set([TAGS.pixelData, 0x7fe00008, 0x7fe00009]);

/** What text of a VR may look like; anything else in it is no such value, and might be a name. */
const FORMS: Readonly<Partial<Record<Vr, RegExp>>> = {
  AS: /^(\d{3}[DWMY])?[ \0]*$/,
  DA: /^[\d.\\ -]*\0?$/,
  DS: /^[\d.eE+\\ -]*\0?$/,
  DT: /^[\d.+\\ -]*\0?$/,
  IS: /^[\d+\\ -]*\0?$/,
  TM: /^[\d.:\\ -]*\0?$/,
  UI: /^[\d.\\ ]*\0?$/,
};

export type Cleaners = {
  /** Identifiers cut out; `code` spares what only looks like somebody's number. */
  readonly text: TextCleaner;
  readonly code: TextCleaner;
  readonly enumerated: TextCleaner;
  readonly words: TextCleaner;
  readonly scrubber: Scrubber;
  readonly shift: typeof shiftDate;
};

export function createCleaners(scrubber: Scrubber): Cleaners {
  return {
    scrubber,
    shift: rememberingShift(),
    text: createTextCleaner(scrubber.scrub),
    code: createTextCleaner(scrubber.scrubCode),
    // Defined terms are words of the standard: HEAD stays HEAD when the patient has that name.
    enumerated: createTextCleaner((value) => (isTerm(value) ? value : scrubber.scrubCode(value))),
    words: createTextCleaner((value) => knownWordsOf(scrubber.scrub(value))),
  };
}

function isTerm(value: string): boolean {
  if (/\d{4}/.test(value)) return false;
  return value.split(/[^A-Za-z]+/).every((word) => word === '' || isKnownWord(word.toLowerCase()));
}

export type Patient = {
  /** PatientID and PatientName of the output. */
  readonly pseudonym: string;
  /** Days to add to dates; 0 for a data set that was shifted before. */
  readonly days: number;
  /** Older than the profile's oldest: no birth date. */
  readonly isOld: boolean;
};

export type CleaningContext = {
  readonly profile: DeidentificationProfile;
  readonly rules: Rules;
  readonly types: AttributeTypes | undefined;
  readonly pseudonyms: Pseudonyms;
  readonly patient: Patient;
  readonly cleaners: Cleaners;
  readonly source: ByteSource;
};

export type CleanedDataSet = {
  readonly dataSet: DataSet;
  readonly entries: readonly ReportEntry[];
  readonly keptCount: number;
  /** Paths of binary values that hold an identifier: nothing of ours can clean them. */
  readonly unclean: readonly string[];
};

export function gatherIdentifiers(
  dataSet: DataSet,
  collector: Collector,
  options: { rules: Rules; types: AttributeTypes | undefined; nested?: boolean },
): void {
  const place = { types: options.types, nested: options.nested === true };
  for (const element of dataSet.elements.values()) {
    if (element.value.kind === 'items') {
      for (const item of element.value.items) gatherIdentifiers(item, collector, { ...options, nested: true });
    } else collector.add(element, options.rules(element.tag, place), dataSet);
  }
}

export function cleanDataSet(dataSet: DataSet, context: CleaningContext): CleanedDataSet {
  const walk = new CleaningWalk(context);
  const cleaned = walk.dataSet(dataSet, { path: '', isFree: false });
  return { dataSet: cleaned, entries: walk.entries, keptCount: walk.keptCount, unclean: walk.unclean };
}

/** `undefined`: removed. */
type Outcome = { readonly element: Element | undefined; readonly action: ReportedAction | 'keep' };

const REMOVED: Outcome = { element: undefined, action: 'remove' };

class CleaningWalk {
  readonly entries: ReportEntry[] = [];
  readonly unclean: string[] = [];
  keptCount = 0;
  readonly #context: CleaningContext;

  constructor(context: CleaningContext) {
    this.#context = context;
  }

  dataSet(dataSet: DataSet, { path, isFree }: { path: string; isFree: boolean }): DataSet {
    const { rules, types, profile } = this.#context;
    const place = { types, nested: path !== '' };
    const elements = new Map<Tag, Element>();
    const safe = profile.safePrivate === 'retain' ? safePrivateElements(dataSet) : new Map<Tag, Vr>();
    for (const element of dataSet.elements.values()) {
      const rule = rules(element.tag, place);
      const { element: cleaned, action } = this.#element(element, rule, { dataSet, path, safe, isFree });
      if (cleaned !== undefined) elements.set(cleaned.tag, cleaned);
      if (action === 'keep') this.keptCount += 1;
      else this.entries.push({ path: pathOf(path, element.tag), action, rule: rule.rule });
    }
    return { elements, littleEndian: dataSet.littleEndian, characterSets: dataSet.characterSets };
  }

  #element(element: Element, rule: Action, around: Around): Outcome {
    const { dataSet } = around;
    switch (rule.kind) {
      case 'remove':
        return REMOVED;
      case 'private':
        return this.#private(element, around);
      case 'keep':
        return this.#kept(element, effectiveVr(element), around);
      case 'empty':
        return isEmpty(element) ? kept(element) : { element: emptyElement(element), action: 'empty' };
      case 'dummy':
        return this.#dummy(element, dataSet);
      case 'uid':
        return this.#uid(element, around);
      case 'shift':
        return this.#shifted(element, around);
      case 'words':
        if (element.value.kind === 'items')
          return this.#items(element, element.value.items, { ...around, isFree: true });
        return this.#text(
          element,
          effectiveVr(element),
          { cleaner: this.#context.cleaners.words, action: 'clean' },
          around,
        );
      default:
        return this.#ofPatient(element, rule.kind, dataSet);
    }
  }

  #dummy(element: Element, dataSet: DataSet): Outcome {
    const dummy = dummyElement(element, effectiveVr(element), dataSet);
    return hasSameBytes(dummy, element) ? kept(element) : { element: dummy, action: 'dummy' };
  }

  #private(element: Element, around: Around): Outcome {
    const vr = around.safe.get(element.tag);
    // Implicit VR and writers that do not know the maker give UN; any other VR than the listed one is another element.
    if (vr === undefined || (element.vr !== 'UN' && element.vr !== vr)) return REMOVED;
    if (vr === 'UI' || vr === 'PN' || vr === 'SQ' || vr === 'UN') return REMOVED;
    if (vr === 'DA' || vr === 'DT') return this.#shifted(element, around);
    return this.#kept(element, vr, around);
  }

  /** Kept as it is, but for what it may hold against the rules. */
  #kept(element: Element, vr: Vr, around: Around): Outcome {
    const { value } = element;
    if (value.kind === 'items') return this.#items(element, value.items, around);
    if (PIXEL_DATA.has(element.tag) && around.path === '') return kept(element);
    const rule = vrRule(vr);
    if (rule.kind === 'number') return kept(element);
    if (rule.kind !== 'text') return this.#binary(element, vr, around);
    const form = FORMS[vr];
    if (form !== undefined) {
      const isOfForm = value.kind === 'bytes' && form.test(value.bytes.toString('latin1'));
      return isOfForm ? kept(element) : { element: emptyElement(element), action: 'empty' };
    }
    const { cleaners } = this.#context;
    if (around.isFree && vr !== 'CS' && !CODES.has(element.tag))
      return this.#text(element, vr, { cleaner: cleaners.words, action: 'clean' }, around);
    const other = CODES.has(element.tag) ? cleaners.code : cleaners.text;
    return this.#text(element, vr, { cleaner: vr === 'CS' ? cleaners.enumerated : other, action: 'scrub' }, around);
  }

  #text(element: Element, vr: Vr, how: { cleaner: TextCleaner; action: 'scrub' | 'clean' }, around: Around): Outcome {
    const loaded = this.#loaded(element);
    if (loaded === undefined || vrRule(vr).kind !== 'text') return { element: emptyElement(element), action: 'empty' };
    const cleaned = how.cleaner(loaded, vr, around.dataSet);
    return cleaned === loaded ? kept(element) : { element: cleaned, action: how.action };
  }

  #binary(element: Element, vr: Vr, around: Around): Outcome {
    const { value } = element;
    if (value.kind === 'fragments') return REMOVED; // encapsulated data elsewhere than in PixelData
    const length = value.kind === 'range' ? value.range.length : value.kind === 'bytes' ? value.bytes.byteLength : 0;
    if (vr !== 'OB' && vr !== 'UN' && length > NUMBERS_BYTES_MAX) return kept(element);
    const loaded = this.#loaded(element);
    const isUnclean =
      loaded === undefined ||
      (loaded.value.kind === 'bytes' && this.#context.cleaners.scrubber.isIn(loaded.value.bytes));
    if (isUnclean && !isPrivate(element.tag)) this.unclean.push(pathOf(around.path, element.tag));
    return isUnclean ? REMOVED : kept(element);
  }

  /** With its value in memory; `undefined` where it is too large for that. */
  #loaded(element: Element): Element | undefined {
    const { value } = element;
    if (value.kind !== 'range') return element;
    if (value.range.length > TEXT_BYTES_MAX) return undefined;
    const bytes = this.#context.source.bytes(value.range.start, value.range.length);
    return { ...element, value: { kind: 'bytes', bytes } };
  }

  #items(element: Element, items: readonly DataSet[], { path, isFree }: Around): Outcome {
    const here = pathOf(path, element.tag);
    const cleaned = items.map((item, index) => this.dataSet(item, { path: `${here}[${index + 1}]`, isFree }));
    return kept({ ...element, value: { kind: 'items', items: cleaned } });
  }

  #uid(element: Element, around: Around): Outcome {
    if (element.value.kind === 'items') return this.#items(element, element.value.items, around);
    const originals = textsIn({ ...element, vr: 'UI' }, []);
    const uids = originals.map((original) => (original === '' ? '' : this.#context.pseudonyms.uid(original)));
    if (uids.every((uid, index) => uid === originals[index])) return kept(element);
    return { element: asciiElement(element.tag, element.vr, uids.join('\\'), 'UI'), action: 'uid' };
  }

  #shifted(element: Element, around: Around): Outcome {
    const vr = effectiveVr(element);
    const { profile, patient, cleaners } = this.#context;
    if (vr === 'OB') return REMOVED; // a timestamp signed by others
    if (element.tag === TIMEZONE_OFFSET && !/^[+-]\d{4}$/.test(textsIn(element, [])[0] ?? '')) return REMOVED;
    if ((vr !== 'DA' && vr !== 'DT') || profile.dates === 'retain') return this.#kept(element, vr, around);
    const originals = textsIn(element, []);
    const dates = originals.map((date) => (date === '' ? '' : (cleaners.shift(date, patient.days) ?? '')));
    if (dates.every((date, index) => date === originals[index])) return kept(element);
    if (profile.dates === 'remove') return this.#dummy(element, around.dataSet);
    return { element: asciiElement(element.tag, element.vr, dates.join('\\')), action: 'shift' };
  }

  #ofPatient(element: Element, kind: 'patient-id' | 'patient-name' | 'birth-date' | 'age', dataSet: DataSet): Outcome {
    const { patient, profile, cleaners } = this.#context;
    const vr = effectiveVr(element);
    const texts = textsIn(element, dataSet.characterSets);
    const [text = ''] = texts;
    const replaced = (by: string): Outcome =>
      texts.length <= 1 && text === by
        ? kept(element)
        : { element: asciiElement(element.tag, element.vr, by), action: kind };
    switch (kind) {
      case 'patient-id':
      case 'patient-name':
        return vrRule(vr).kind === 'text' ? replaced(patient.pseudonym) : REMOVED;
      case 'birth-date':
        return replaced(patient.isOld ? '' : (cleaners.shift(text, patient.days) ?? ''));
      case 'age': {
        const years = /^(\d{3})Y$/.exec(text)?.[1];
        if (years === undefined) return replaced(/^\d{3}[DWM]$/.test(text) ? text : '');
        return replaced(`${String(Math.min(Number(years), profile.ageYearsMax)).padStart(3, '0')}Y`);
      }
    }
  }
}

type Around = {
  readonly dataSet: DataSet;
  readonly path: string;
  readonly safe: ReadonlyMap<Tag, Vr>;
  /** Inside a description that is cleaned: what is text here is free text. */
  readonly isFree: boolean;
};

function kept(element: Element): Outcome {
  return { element, action: 'keep' };
}

function hasSameBytes(one: Element, other: Element): boolean {
  if (one.value.kind === 'items') return JSON.stringify(shape(one)) === JSON.stringify(shape(other));
  return one.value.kind === 'bytes' && other.value.kind === 'bytes' && one.value.bytes.equals(other.value.bytes);
}

/** An element as plain data, to compare sequences. */
function shape({ tag, value }: Element): unknown {
  if (value.kind === 'bytes') return [tag, value.bytes.toString('latin1')];
  if (value.kind !== 'items') return [tag, value.kind];
  return [tag, value.items.map((item) => [...item.elements.values()].map(shape))];
}
