/**
 * Takes out of a note what tells who it is about: this patient's own identifiers first, since they are known, then what always
 * identifies by its form (numbers, postcodes, addresses), then dates, which are moved, then names that a title or a role tells.
 *
 *   note ──► words ──► what was found, by each search ──► overlaps joined ──► text with placeholders, and kinds with their places
 *
 * Pure, and linear in the length of the note: every search looks a bounded way around each place. What it writes it leaves alone when
 * it meets it again, so that a note taken twice is as taken once, but for dates, which move each time. It is given the patient's
 * pseudonym and shift, never a key. What it promises and what not stands in docs/free-text.md.
 */
import { findAges } from './ages.ts';
import { findEmails, findPostcodes, findStreets, findUrls } from './contacts.ts';
import { findDates } from './dates.ts';
import { type Finding, type Found, PLACEHOLDERS, TAKEN, TAKEN_NAME } from './finding.ts';
import { findKnown, type KnownPerson, knownIdentifiers } from './known-identifiers.ts';
import { findNumbers } from './numbers.ts';
import { findPeople } from './people.ts';
import { wordsOf } from './words.ts';

export type NoteSubject = {
  readonly patient: KnownPerson;
  /** Contacts, practitioners, whoever else the record names. */
  readonly others: readonly KnownPerson[];
  /** Names of hospitals, wards and the like that must not stay. */
  readonly places: readonly string[];
  /** Stands for the patient's hospital numbers. */
  readonly pseudonym: string;
  /** Whole days, negative into the past. */
  readonly dateShiftDays: number;
};

export type DeidentifiedNote = {
  readonly text: string;
  /** In the order of their places in the note as it came; they never overlap. */
  readonly findings: readonly Finding[];
};

/** Made once for a patient; each call is one note. */
export function createNoteDeidentifier(subject: NoteSubject): (note: string) => DeidentifiedNote {
  const known = knownIdentifiers(subject);
  const { pseudonym, dateShiftDays: days } = subject;
  const written = ownWriting(pseudonym);
  const { birthDate } = subject.patient;
  const search = (text: string): Found[] => {
    const words = wordsOf(text);
    return [
      ...findKnown({ text, words }, known, pseudonym),
      ...findNumbers({ text, words }),
      ...findPostcodes(text),
      ...findEmails(text),
      ...findUrls(text),
      ...findStreets(text),
      ...findDates(text, { days, birthDate }),
      ...findAges(text),
      ...findPeople({ text, words }),
    ];
  };
  return (note) => {
    const found = joinNames(note, searchUntilNothing(note.replace(written, blank), search));
    return { text: replaced(note, found), findings: found.map(({ kind, start, end }) => ({ kind, start, end })) };
  };
}

/** Of the same length, so that places stay those of the note. */
function blank(text: string): string {
  return (text === PLACEHOLDERS.name ? TAKEN_NAME : TAKEN).repeat(text.length);
}

const ROUNDS_MAX = 6;

/** What is taken out may leave a neighbour that stands alone only then: again, until there is nothing. Dates stay where they are. */
function searchUntilNothing(note: string, search: (text: string) => Found[]): Found[] {
  let taken: readonly Found[] = [];
  let text = note;
  for (let round = 0; ; round += 1) {
    const found = joinOverlaps(search(text));
    const dates = found.filter(isMoved);
    const others = found.filter((one) => !isMoved(one));
    taken = taken.concat(others);
    if (others.length === 0 || round === ROUNDS_MAX) return [...taken, ...dates].toSorted((a, b) => a.start - b.start);
    text = replaced(text, others, ({ kind, start, end }) => (kind === 'name' ? TAKEN_NAME : TAKEN).repeat(end - start));
  }
}

function isMoved({ kind, replacement }: Found): boolean {
  return kind === 'date' && replacement !== undefined;
}

function ownWriting(pseudonym: string): RegExp {
  const texts = [...Object.values(PLACEHOLDERS), pseudonym].filter((text) => text !== '');
  return new RegExp(texts.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'), 'g');
}

/** One piece for all that overlap: of the kind of the longest, whose replacement stands only where it covers them all. */
function joinOverlaps(found: readonly Found[]): Found[] {
  const joined: Found[] = [];
  let longest: Found | undefined;
  for (const next of found.toSorted((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last === undefined || longest === undefined || next.start >= last.end) {
      joined.push(next);
      longest = next;
      continue;
    }
    if (next.end - next.start > longest.end - longest.start) longest = next;
    const [start, end] = [last.start, Math.max(last.end, next.end)];
    const coversAll = longest.start <= start && longest.end >= end;
    joined[joined.length - 1] = coversAll ? longest : { kind: longest.kind, start, end };
  }
  return joined;
}

const BETWEEN_NAMES = /^[ ,'’-]{0,3}$/;
const AFTER_INITIAL = /(?<!\p{L})\p{L}$/u;

function isJoint(note: string, from: number, to: number): boolean {
  const between = note.slice(from, to);
  return BETWEEN_NAMES.test(between) || (/^\. ?$/.test(between) && AFTER_INITIAL.test(note.slice(from - 2, from)));
}

/** Margaret [and] Smith beside each other are one name. */
function joinNames(note: string, found: readonly Found[]): Found[] {
  const joined: Found[] = [];
  for (const next of found) {
    const last = joined.at(-1);
    const isBeside = last?.kind === 'name' && next.kind === 'name' && next.start - last.end <= 3;
    if (last !== undefined && isBeside && isJoint(note, last.end, next.start)) {
      joined[joined.length - 1] = { kind: 'name', start: last.start, end: next.end };
    } else joined.push(next);
  }
  return joined;
}

function replaced(note: string, found: readonly Found[], by = writingOf): string {
  const pieces: string[] = [];
  let at = 0;
  for (const one of found) {
    pieces.push(note.slice(at, one.start), by(one));
    at = one.end;
  }
  return pieces.join('') + note.slice(at);
}

function writingOf({ kind, replacement }: Found): string {
  return replacement ?? PLACEHOLDERS[kind];
}
