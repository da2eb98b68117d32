/** What the de-identifier of notes finds and what it leaves, over notes from a seed. The figures stand in docs/free-text.md. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createNoteDeidentifier } from '../../src/free-text/deidentify-note.ts';
import { seededRandom } from '../attacks/world.ts';
import { NOTE_KINDS, type NoteKind, type PlantedKind, type SyntheticNote, syntheticNote } from './synthetic-notes.ts';

const NOTE_COUNT = 2_000;
const SEED = 20_261_127;

type Score = { found: number; all: number; readonly missed: string[] };

/** How much of each kind is found, letter by letter: a piece counts where all its letters and digits lie in findings. */
function measure(kind: NoteKind): { planted: Map<PlantedKind, Score>; facts: Score } {
  const random = seededRandom(SEED + NOTE_KINDS.indexOf(kind));
  const planted = new Map<PlantedKind, Score>();
  const facts: Score = { found: 0, all: 0, missed: [] };
  for (let count = 0; count < NOTE_COUNT; count += 1) {
    const note = syntheticNote(kind, random);
    const { text, findings } = createNoteDeidentifier(note.subject)(note.text);
    const covered = new Uint8Array(note.text.length);
    for (const { start, end } of findings) covered.fill(1, start, end);
    for (const piece of note.planted) {
      const score = planted.get(piece.kind) ?? { found: 0, all: 0, missed: [] };
      planted.set(piece.kind, score);
      add(score, isWhole(note, piece, covered, 1), () => context(note, piece));
    }
    for (const fact of note.facts)
      add(facts, isWhole(note, fact, covered, 0), () => `${context(note, fact)} => ${text.length}`);
  }
  return { planted, facts };
}

function add(score: Score, isGood: boolean, why: () => string): void {
  score.all += 1;
  if (isGood) score.found += 1;
  else if (score.missed.length < 8) score.missed.push(why());
}

type Place = { readonly start: number; readonly end: number };

function isWhole({ text }: SyntheticNote, { start, end }: Place, covered: Uint8Array, value: 0 | 1): boolean {
  for (let at = start; at < end; at += 1) {
    if (
      /[\p{L}\p{N}]/u.test(text[at] ?? '') &&
      covered[at] !== value &&
      !/^(mr|mrs|ms|miss|since|monday|t09:15:00)$/i.test(wordAt(text, at))
    )
      return false;
  }
  return true;
}

/** Titles, words before a year, weekdays and times stay. */
function wordAt(text: string, at: number): string {
  const before = /[\p{L}\p{N}:]*$/u.exec(text.slice(Math.max(0, at - 10), at))?.[0] ?? '';
  const after = /^[\p{L}\p{N}:]*/u.exec(text.slice(at, at + 10))?.[0] ?? '';
  const word = before + after;
  return /T09:15:00$/.test(word) ? 'T09:15:00' : word;
}

function context({ text }: SyntheticNote, { start, end }: Place): string {
  return JSON.stringify(
    `${text.slice(Math.max(0, start - 20), start)}«${text.slice(start, end)}»${text.slice(end, end + 20)}`,
  );
}

const LEAST: Readonly<Record<PlantedKind, number>> = {
  'own-name': 1,
  'own-number': 1,
  'own-address': 1,
  'own-contact': 1,
  'birth-date': 1,
  'nhs-number': 1,
  postcode: 1,
  phone: 1,
  email: 1,
  place: 1,
  date: 0.995,
  'titled-name': 0.98,
};
const KEPT_LEAST = 0.995;

describe('what is found in two thousand notes of each kind', () => {
  for (const kind of NOTE_KINDS) {
    it(`of a ${kind}: all that is the patient's own or has a form, nearly all dates and titled names, and clinical facts stay`, (t) => {
      const { planted, facts } = measure(kind);
      for (const [of, score] of planted) {
        t.diagnostic(`${kind}, seed ${SEED}: ${of} ${score.found} of ${score.all}`);
        assert.ok(
          score.found >= LEAST[of] * score.all,
          `${of}: ${score.found} of ${score.all}\n${score.missed.join('\n')}`,
        );
      }
      t.diagnostic(`${kind}, seed ${SEED}: facts kept ${facts.found} of ${facts.all}`);
      assert.ok(
        facts.found >= KEPT_LEAST * facts.all,
        `facts: ${facts.found} of ${facts.all}\n${facts.missed.join('\n')}`,
      );
    });
  }
});
