/**
 * Names of anybody, by what stands before them: a title (Mr, Dr, Sister), a role (wife, GP, consultant), or that somebody wrote, saw or
 * was told (dictated by, discussed with, Dear, Yours sincerely). A name without any of these is not found; see docs/free-text.md.
 */
import { isEponymUse } from './eponyms.ts';
import { type Found, TAKEN_NAME } from './finding.ts';
import { isOrdinaryWord } from './ordinary-words.ts';
import { isGap, type Word } from './words.ts';

type Note = { readonly text: string; readonly words: readonly Word[] };

const TITLES: ReadonlySet<string> = new Set(
  'mr mrs ms miss mx dr drs doctor prof professor sister sr sir dame lord lady rev revd reverend fr capt sgt nurse matron master mstr messrs'.split(
    ' ',
  ),
);
/** Not names after a lower-case spelling: miss a dose, a sister, a nurse. */
const TITLES_ALSO_WORDS: ReadonlySet<string> = new Set(
  'ms miss sister sr sir lady lord fr nurse matron master doctor'.split(' '),
);
const ROLES: ReadonlySet<string> = new Set(
  `son daughter wife husband partner mother father mum dad brother sister carer friend neighbour neighbor nok kin gp consultant nurse
physio physiotherapist midwife surgeon anaesthetist registrar pharmacist radiographer radiologist physician relative niece nephew grandson
granddaughter aunt uncle cousin fiance fiancee warden solicitor interpreter keyworker sho reg resident practitioner secretary
operator author referrer requester assistant sonographer psychiatrist worker visitor dietitian therapist oncologist patient name`.split(
    /\s+/,
  ),
);
/** The last word of each phrase, and what must stand before it. */
const PHRASES: ReadonlyMap<string, ReadonlySet<string> | undefined> = new Map([
  [
    'by',
    new Set(
      'dictated signed typed reported verified authorised authorized checked reviewed seen written performed referred requested assessed examined completed entered recorded prepared approved transcribed validated witnessed accompanied admitted discharged consented operated taken given'.split(
        ' ',
      ),
    ),
  ],
  ['with', new Set('discussed spoke liaised d spoken conversation lives reviewed agreed'.split(' '))],
  ['w', new Set(['d'])],
  ['to', new Set('spoke handed handover copied addressed explained married'.split(' '))],
  ['dear', undefined],
  ['re', undefined],
  ['cc', undefined],
  ['signed', undefined],
  ['signature', undefined],
  ['sincerely', undefined],
  ['faithfully', undefined],
  ['regards', undefined],
  ['informed', undefined],
  ['called', new Set('daughter son wife husband partner friend carer'.split(' '))],
]);
const CLOSINGS: ReadonlySet<string> = new Set(['sincerely', 'faithfully', 'regards', 'signed']);
const PARTICLES: ReadonlySet<string> = new Set(
  'de da di du del della der den des van von vom zu la le el al bin ibn ben abu ap st mc mac o d af ter ten dos das san y'.split(
    ' ',
  ),
);
const POST_NOMINALS: ReadonlySet<string> = new Set(
  'mbbs mbchb mbbch frcs frcp mrcp mrcs frcr frca frcog mrcgp frcpath frcpsych mrcpsych frcem rgn rmn bmbs'.split(' '),
);

const NAME_WORDS_MAX = 5;
const GAP_AFTER_TITLE = ' \t\u00a0.';
const GAP_WITHIN = " \u00a0.'’‘`-‐‑–";
const GAP_AFTER_ROLE = ' \t\u00a0:,(-–';
const GAP_AFTER_CLOSING = ' \t\r\n,:\u00a0._-';

export function findPeople(note: Note): Found[] {
  const found: Found[] = [];
  let free = 0;
  for (let index = 0; index < note.words.length; index += 1) {
    if (index < free) continue;
    for (const [first, last] of namesAt(note, index)) {
      found.push({ kind: 'name', start: note.words[first]?.start ?? 0, end: note.words[last]?.end ?? 0 });
      free = last + 1;
    }
  }
  return [...found, ...besideNames(note)];
}

const AND_AFTER_NAME = new RegExp(`${TAKEN_NAME}(?: ?[&+] ?| and )(?=\\p{Lu})`, 'gu');

/** Doreen and Susan, once Doreen is known. */
function besideNames(note: Note): Found[] {
  const ends = new Set([...note.text.matchAll(AND_AFTER_NAME)].map(({ index, 0: joint }) => index + joint.length));
  if (ends.size === 0) return [];
  return note.words.flatMap(({ start }, index): Found[] => {
    const span = ends.has(start) ? freeName(note, index) : undefined;
    return span === undefined ? [] : [{ kind: 'name', start, end: note.words[span[1]]?.end ?? start }];
  });
}

type Span = readonly [first: number, last: number];

function namesAt(note: Note, index: number): Span[] {
  const word = note.words[index];
  if (word === undefined || word.isNumber || isNodule(note.words, index)) return [];
  if (TITLES.has(word.folded) && !isMeasure(note, index)) {
    const names = afterTitle(note, index);
    if (names.length > 0) return names;
  }
  if (ROLES.has(word.folded)) return one(afterRole(note, index));
  if (PHRASES.has(word.folded)) return one(afterPhrase(note, index));
  if (POST_NOMINALS.has(word.folded)) return one(beforePostNominal(note, index));
  return [];
}

/** Sister Mary Joseph's nodule. */
function isNodule(words: readonly Word[], index: number): boolean {
  if (words[index]?.folded !== 'sister' || words[index + 1]?.folded !== 'mary') return false;
  return words.slice(index + 2, index + 5).some(({ folded }) => folded.startsWith('nodul'));
}

/** 442 ms, and the end of a postcode: after a number, in small letters. */
function isMeasure({ text, words }: Note, index: number): boolean {
  const [before, word] = [words[index - 1], words[index]];
  if (before === undefined || word === undefined || !before.isNumber) return false;
  return before.end === word.start || (word.shape === 'lower' && isGap(text, [before.end, word.start], ' \u00a0', 1));
}

function one(span: Span | undefined): Span[] {
  return span === undefined ? [] : [span];
}

/** Dr J. van der Berg; Mr and Mrs Smith; Drs Smith and Jones. */
function afterTitle(note: Note, index: number): Span[] {
  const { text, words } = note;
  const title = words[index];
  const next = words[index + 1];
  if (title === undefined || next === undefined) return [];
  if (isAnd(text, title, next)) return []; // Mr and Mrs: the second title has the name
  if (!isGap(text, [title.end, next.start], GAP_AFTER_TITLE, 3)) return [];
  const style = styleOf(title, next);
  if (style === undefined) return [];
  const span = nameFrom(note, index + 1, style);
  if (span === undefined) return [];
  const further = /^(drs|messrs|mr|mrs|dr)$/.test(title.folded)
    ? andAnother(note, span[1], title.folded.endsWith('s'))
    : undefined;
  return further === undefined ? [span] : [span, further];
}

type Style = 'capitals' | 'all-capitals' | 'small';

/** How the name after a title is written. MR and MS in capitals are also an image and a disease. */
function styleOf(title: Word, next: Word): Style | undefined {
  if (title.shape === 'upper' && (title.folded === 'mr' || title.folded === 'ms')) {
    if (isOrdinaryWord(next.folded) || next.folded.length < 2) return undefined;
    return next.shape === 'upper'
      ? 'all-capitals'
      : next.shape === 'title' && title.folded === 'mr'
        ? 'capitals'
        : undefined;
  }
  if (next.shape === 'title')
    return isOrdinaryWord(next.folded) && TITLES_ALSO_WORDS.has(title.folded) && title.shape === 'lower'
      ? undefined
      : 'capitals';
  if (next.shape === 'upper') return title.shape === 'upper' || next.folded.length > 1 ? 'all-capitals' : 'capitals';
  if (next.shape === 'other' && !next.isNumber) return 'capitals'; // scripts without case
  if (next.shape !== 'lower') return undefined;
  if (PARTICLES.has(next.folded)) return 'capitals';
  return title.shape !== 'upper' && !TITLES_ALSO_WORDS.has(title.folded) && !isOrdinaryWord(next.folded)
    ? 'small'
    : undefined;
}

/** The words from `first` that make a name, at most five; `undefined` where the first is none. */
function nameFrom(note: Note, first: number, style: Style): Span | undefined {
  const { text, words } = note;
  let last: number | undefined;
  for (let index = first; index < words.length && index - first < NAME_WORDS_MAX; index += 1) {
    const [before, word] = [words[index - 1], words[index]];
    if (word === undefined || word.isNumber) break;
    if (index > first && (before === undefined || !isWithin(text, before, word))) break;
    if (PARTICLES.has(word.folded) && word.shape === 'lower') continue; // counts once a name follows
    if (!isNameWord(word, { style, isFirst: last === undefined, joins: jointOf(text, before, index > first, word) }))
      break;
    last = index;
    if (style === 'small') break;
  }
  return last === undefined ? undefined : [first, last];
}

function isWithin(text: string, before: Word, word: Word): boolean {
  if (!isGap(text, [before.end, word.start], GAP_WITHIN, 3)) return false;
  // A full stop ends a sentence unless an initial stands before it.
  return !text.slice(before.end, word.start).includes('.') || before.folded.length <= 2;
}

function jointOf(text: string, before: Word | undefined, isInside: boolean, word: Word): Joint {
  if (before === undefined || !isInside) return 'none';
  if (/^[-‐‑]$/.test(text.slice(before.end, word.start))) return 'hyphen';
  return before.folded.length === 1 && before.shape === 'upper' ? 'initial' : 'none';
}

type Joint = 'none' | 'initial' | 'hyphen';
type InName = { readonly style: Style; readonly isFirst: boolean; readonly joins: Joint };

function isNameWord(word: Word, { style, isFirst, joins }: InName): boolean {
  const isCapital = word.shape === 'title' || word.shape === 'upper' || (word.shape === 'other' && !word.isNumber);
  if (style === 'small') return !isOrdinaryWord(word.folded);
  if (!isCapital) return false;
  if (isFirst) return true; // Dr Young, Mr Green: what a title precedes is a name, be it a word
  if (TITLES.has(word.folded) || POST_NOMINALS.has(word.folded)) return false;
  if (word.folded.length === 1 || joins === 'hyphen' || joins === 'initial') return true;
  return !isOrdinaryWord(word.folded) || (word.shape === 'title' && WORDS_ALSO_SURNAMES.has(word.folded));
}

/** After a given name these are a family. */
const WORDS_ALSO_SURNAMES: ReadonlySet<string> = new Set(
  `bank barber black blue brook brooks brown burn cook cross day drake english fox glass gold grant green grey hall hand hill hunt king knight
lamb land lane light long lord major march marsh may noble page parent park parks penny pool power price rich ring rivers rose rush sharp short
small snow spring stone strong summers swan sweet temple white wolf wood woods young joy hope grace faith`.split(/\s+/),
);

function isAnd(text: string, from: Word, to: Word): boolean {
  return to.folded === 'and' || /^ ?[&/] ?$/.test(text.slice(from.end, Math.min(to.start, from.end + 4)));
}

/** Drs Smith and Jones. After one doctor, another has a title of his own. */
function andAnother(note: Note, last: number, isPlural: boolean): Span | undefined {
  const { text, words } = note;
  const [name, next] = [words[last], words[last + 1]];
  if (!isPlural || name === undefined || next === undefined || !isAnd(text, name, next)) return undefined;
  const first = next.folded === 'and' ? last + 2 : last + 1;
  const word = words[first];
  if (word === undefined || isOrdinaryWord(word.folded) || (word.shape !== 'title' && word.shape !== 'upper'))
    return undefined;
  return nameFrom(note, first, word.shape === 'upper' ? 'all-capitals' : 'capitals');
}

const ROLE_WORDS_MAX = 3;
const AFTER_ROLE: ReadonlySet<string> = new Set(
  'is was called named of kin name s surgeon practitioner nurse worker visitor registrar physician consultant by first last full preferred'.split(
    ' ',
  ),
);

/** son John; wife, Mary; GP: Patel; named nurse is Joy Okafor. */
function afterRole(note: Note, index: number): Span | undefined {
  const { text, words } = note;
  for (let next = index + 1; next <= index + 1 + ROLE_WORDS_MAX; next += 1) {
    const [before, word] = [words[next - 1], words[next]];
    if (before === undefined || word === undefined) return undefined;
    if (!isGap(text, [before.end, word.start], next === index + 1 ? `${GAP_AFTER_ROLE}'’` : GAP_AFTER_ROLE, 3))
      return undefined;
    if (AFTER_ROLE.has(word.folded) && word.shape !== 'upper') continue;
    return freeName(note, next);
  }
  return undefined;
}

function afterPhrase(note: Note, index: number): Span | undefined {
  const { text, words } = note;
  const word = words[index];
  const next = words[index + 1];
  if (word === undefined || next === undefined) return undefined;
  const before = PHRASES.get(word.folded);
  if (before !== undefined && !before.has(words[index - 1]?.folded ?? '')) return undefined;
  const isClosing = CLOSINGS.has(word.folded);
  const gap = text.slice(word.end, Math.min(next.start, word.end + 12));
  if ((word.folded === 're' || word.folded === 'cc') && !gap.includes(':')) return undefined;
  const isNear = isGap(
    text,
    [word.end, next.start],
    isClosing ? GAP_AFTER_CLOSING : GAP_AFTER_ROLE,
    isClosing ? 10 : 3,
  );
  if (!isNear) return undefined;
  if (word.folded === 'signed' && next.folded === 'by') return undefined; // has a row of its own
  return freeName(note, index + 1);
}

/** A name that nothing but its form and its place tells: capitals, no ordinary word, no disease. */
function freeName(note: Note, first: number): Span | undefined {
  const { words } = note;
  const word = words[first];
  if (word === undefined || word.isNumber) return undefined;
  const isInitial = word.shape === 'upper' && word.folded.length === 1;
  if (isInitial) {
    const second = words[first + 1];
    if (second?.shape !== 'title' || isOrdinaryWord(second.folded)) return undefined;
  } else if (!isFreeNameWord(word)) return undefined;
  const span = nameFrom(note, first, word.shape === 'upper' && !isInitial ? 'all-capitals' : 'capitals');
  return span === undefined || isEponymUse(note, [first, first]) ? undefined : span;
}

/** Signed, Dictated: begins another cue, and is nobody. */
function isCue(folded: string): boolean {
  if (PHRASES.has(folded)) return true;
  for (const before of PHRASES.values()) if (before?.has(folded) === true) return true;
  return false;
}

const UPPER_LENGTH_MIN = 5; // COPD, IHD, MI are shorter

function isFreeNameWord({ folded, shape }: Word): boolean {
  if (folded.length < 2 || isOrdinaryWord(folded) || TITLES.has(folded) || ROLES.has(folded) || isCue(folded))
    return false;
  return shape === 'title' || (shape === 'upper' && folded.length >= UPPER_LENGTH_MIN);
}

/** Jane Doe MBBS: the one to three names before. */
function beforePostNominal(note: Note, index: number): Span | undefined {
  const { text, words } = note;
  if (words[index]?.shape === 'lower') return undefined;
  let first = index;
  while (index - first < 3) {
    const [before, word] = [words[first - 1], words[first]];
    if (before === undefined || word === undefined || before.isNumber) break;
    if (
      !isGap(text, [before.end, word.start], ' ,.\u00a0-', 2) ||
      !(isFreeNameWord(before) || (before.shape === 'upper' && before.folded.length === 1))
    )
      break;
    first -= 1;
  }
  return first === index ? undefined : [first, index - 1];
}
