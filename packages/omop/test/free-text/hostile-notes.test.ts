/** Notes that nobody writes: random texts, and texts made to be slow. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createNoteDeidentifier, type DeidentifiedNote } from '../../src/free-text/deidentify-note.ts';
import { seededRandom } from '../attacks/world.ts';
import { NOTE_KINDS, syntheticNote } from './synthetic-notes.ts';

const SEED = 4_711;
const TEXT_COUNT = 100_000;
const MEBIBYTE = 2 ** 20;
const PROCESSOR_MS_MAX = 10_000; // the worst takes a quarter; what is not linear takes hours

const PIECES = [
  ..."aZéßİ \n\t.,;:-/()@+'’&0159٣\0\u00a0\ud83d",
  ...[
    'Dr ',
    'Mr and Mrs ',
    'wife ',
    'Dear ',
    'GP: ',
    'NHS no ',
    'Tel ',
    'Smith',
    'John',
    'MBBS',
    'Yours sincerely,\n',
    'Drs Ng & ',
    'van der ',
  ],
  ...[
    '12/03/2021',
    '12 Mar',
    'March ',
    '2021',
    "'21",
    '29 Feb ',
    '12-14 May ',
    'Fri 1/2',
    'since 2018 ',
    '1.',
    'th of ',
    '92-year-old',
    'aged 99',
  ],
  ...[
    '943 476 5919',
    '07700 900123',
    '+44',
    '(0)',
    'LS2 9JT',
    'a@b.co',
    'www.x',
    'http://',
    '[NAME]',
    '[DATE',
    'PSN7',
    '12 High Street',
    "Bell's ",
    'palsy ',
  ],
];

function subjectWith(dateShiftDays: number) {
  const subject = syntheticNote('clinic letter', seededRandom(1)).subject;
  return createNoteDeidentifier({ ...subject, pseudonym: 'PSN7', dateShiftDays });
}

function assertPlaces(note: string, { findings }: DeidentifiedNote): void {
  let at = 0;
  for (const { start, end } of findings) {
    assert.ok(start >= at && end > start && end <= note.length, `${JSON.stringify(note)} at ${start}`);
    at = end;
  }
}

describe('a note of anything at all', () => {
  it('breaks nothing, has its findings in order, and is the same when it is taken again', (t) => {
    t.diagnostic(`seed ${SEED}`);
    const random = seededRandom(SEED);
    const [moving, again] = [subjectWith(-421), subjectWith(0)];
    for (let count = 0; count < TEXT_COUNT; count += 1) {
      const length = Math.floor(random() * 14);
      const note = Array.from({ length }, () => PIECES[Math.floor(random() * PIECES.length)]).join('');
      const once = moving(note);
      assertPlaces(note, once);
      // Dates move each time: the second time by no day.
      assert.equal(again(once.text).text, once.text, JSON.stringify(note));
    }
  });

  it('is the same when a real note is taken again', () => {
    const random = seededRandom(SEED);
    for (let count = 0; count < 400; count += 1) {
      const kind = NOTE_KINDS[count % NOTE_KINDS.length] ?? 'clinic letter';
      const { text, subject } = syntheticNote(kind, random);
      const once = createNoteDeidentifier(subject)(text);
      assertPlaces(text, once);
      assert.equal(createNoteDeidentifier({ ...subject, dateShiftDays: 0 })(once.text).text, once.text);
    }
  });
});

describe('a note of a mebibyte', () => {
  const repeated = (piece: string) => piece.repeat(Math.ceil(MEBIBYTE / piece.length)).slice(0, MEBIBYTE);
  const hostile = [
    'a',
    'A',
    '1',
    '@',
    '.',
    'a.',
    'a@',
    '1 ',
    '12/',
    '1.',
    'Dr ',
    'Dr A ',
    'Mr and ',
    'wife ',
    'J. ',
    "O'",
    'www.',
    '12 Mar-',
    'NHS ',
    '1 March ',
    'tel 1 ',
    '12 A ',
    '(',
    '[NAME',
    '12 Aaaaaa ',
    'Smith',
    '\u0301',
    '2021 1 Mar ',
  ];
  it('takes a time in proportion, whatever it is made of', () => {
    const read = subjectWith(-421);
    for (const piece of hostile) {
      const started = process.cpuUsage();
      read(repeated(piece));
      const { user, system } = process.cpuUsage(started);
      const tookMs = (user + system) / 1000;
      assert.ok(tookMs < PROCESSOR_MS_MAX, `${JSON.stringify(piece)} took ${Math.round(tookMs)} ms`);
    }
  });
});
