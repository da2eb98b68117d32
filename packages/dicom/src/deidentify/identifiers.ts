/**
 * What identifies this patient, taken from the object itself before anything is removed: names, numbers, addresses, dates, and who
 * and where treated. The same may stand again in a description or a comment, which the table keeps or only some options clean.
 */
import { type DataSet, type Element, effectiveVr, textsIn } from '../data-set.ts';
import { keywordOf } from '../dictionary.ts';
import { isPrivate, type Tag } from '../tag.ts';
import type { Vr } from '../vr.ts';
import { compact, withoutUmlauts } from './compact-text.ts';
import { dateSpellings } from './dates.ts';
import { REMOVED } from './dummy-values.ts';
import { isKnownWord } from './known-words.ts';
import type { DeidentificationProfile } from './profile.ts';
import type { Action } from './rules.ts';

/**
 * How a token counts as found: `anywhere`, also within a word and across separators; `word`: not as a part of a longer word;
 * `number`: with no digit beside.
 */
export type TokenMode = 'anywhere' | 'word' | 'number';

/** Compact text -> how it is looked for. */
export type Identifiers = ReadonlyMap<string, TokenMode>;

/** What dummies say: nobody is called so, and a second run must not find it. */
const NOBODY = REMOVED.toLowerCase();
const ANYWHERE_LENGTH_MIN = 5; // shorter ones occur inside other words
const WORD_LENGTH_MIN = 3;
const TITLES: ReadonlySet<string> = new Set(
  'dr prof professor mr mrs ms miss sir dame lord lady rev md phd mbbs frcr frcs bsc msc jr sr ii iii iv herr frau dipl ing med'.split(
    ' ',
  ),
);
const NUMBER_KEYWORD =
  /(ID|IDs|Number|Numbers|Identifier|Identification|Identity|Locator|UPI|NamespaceEntityID)$|^(OtherPatientIDs|IssuerOf.*|StationName|Originator|DeviceLabel)/;
const PLACE_KEYWORD =
  /Address|Telephone|Telecom|Contact|Institution|Department|Organization|Location|Residence|StationName|AETitle|ResponsiblePerson|Religious|ReferencesToPerson|SiteName|SponsorName|CommitteeName|Geographic|MachineName/;
/** PersonName is a kind of content item; the keywords of persons that are LO. */
const NAME_KEYWORD = /Name(s)?$|Physician|Operator|Person|Author|Reviewer|Interpreter|Recorder|Transcriber/;
const NOT_OF_A_PERSON =
  /^(Protocol|Station|Entity|ROI|RTPlan|StructureSet|PositionAcquisitionTemplate|TreatmentMachine|Application|DataElement|Institution|InstitutionalDepartment).*Name$|PerformedStation|ScheduledStation/;

export type Collector = {
  add(element: Element, action: Action, around: DataSet): void;
  /** The same for the same identifiers: objects of a patient have most in common, and tokens need not be made for each. */
  key(): string;
  found(): Identifiers;
};

type Kind = 'name' | 'number' | 'place' | 'date';
const DATE_LENGTH = 10; // YYYY.MM.DD; a time after it tells nothing that is looked for

/** `further`: names, numbers or addresses of the patient from elsewhere. */
export function collectIdentifiers(profile: DeidentificationProfile, further: Iterable<string> = []): Collector {
  const texts: Readonly<Record<Kind, Set<string>>> = {
    name: new Set(further),
    number: new Set(),
    place: new Set(),
    date: new Set(),
  };
  return {
    add(element, { kind }, around) {
      const { tag, value } = element;
      if (value.kind !== 'bytes' || value.bytes.byteLength === 0 || isPrivate(tag)) return;
      const vr = effectiveVr(element);
      if (vr === 'PN') {
        for (const name of textsIn(element, around.characterSets)) texts.name.add(name);
      } else if (vr === 'DA' || vr === 'DT') {
        if (profile.dates === 'retain' && tag !== BIRTH_DATE) return;
        for (const date of textsIn(element, [])) texts.date.add(date.slice(0, DATE_LENGTH));
      } else if (IDENTIFYING_VRS.has(vr) && kind !== 'keep' && kind !== 'words') {
        const isOf = identifierKindOf(tag);
        if (isOf !== undefined) for (const text of textsIn(element, around.characterSets)) texts[isOf].add(text);
      }
    },
    key: () =>
      Object.values(texts)
        .map((some) => [...some].join('\n'))
        .join('\0'),
    found() {
      const tokens = new Map<string, TokenMode>();
      for (const name of texts.name) addName(tokens, name);
      for (const number of texts.number) addToken(tokens, number, 'anywhere');
      for (const place of texts.place) addPhrase(tokens, place);
      for (const date of texts.date) addDate(tokens, date);
      return tokens;
    },
  };
}

const BIRTH_DATE = 0x00100030;
/** A station or a department called after its machine does not make the maker a secret. */
const MAKERS: ReadonlySet<string> = new Set(
  'acuson agfa aloka bruker canon carestream elekta elscint esaote fuji fujifilm heidelberg hitachi hologic kodak konica lorad marconi mindray minolta picker philips planmeca samsung shimadzu siemens sirona topcon toshiba varian zeiss ziehm'.split(
    ' ',
  ),
);
const IDENTIFYING_VRS: ReadonlySet<Vr> = new Set(['LO', 'SH', 'AE', 'ST', 'LT', 'UT', 'UC']);

const kinds = new Map<Tag, 'number' | 'place' | 'name' | undefined>();

function identifierKindOf(tag: Tag): 'number' | 'place' | 'name' | undefined {
  if (!kinds.has(tag)) {
    const keyword = keywordOf(tag) ?? '';
    const isName = NAME_KEYWORD.test(keyword) && !NOT_OF_A_PERSON.test(keyword);
    const isNumber = NUMBER_KEYWORD.test(keyword);
    kinds.set(tag, PLACE_KEYWORD.test(keyword) ? 'place' : isNumber ? 'number' : isName ? 'name' : undefined);
  }
  return kinds.get(tag);
}

/** Family^Given^Middle^Prefix^Suffix, up to three times, separated by =. */
function addName(tokens: Map<string, TokenMode>, name: string): void {
  for (const group of name.split('=')) {
    const components = group.split('^').map((component) => component.trim());
    for (const component of components) addWords(tokens, component);
    const [family = '', given = ''] = components;
    // Short parts are found only together, whatever the order: LI WEI, WeiLi.
    for (const whole of [family + given, given + family]) {
      if (family !== '' && given !== '') addToken(tokens, whole, 'anywhere');
    }
  }
}

/** The whole, and those of its words that are neither words of medicine nor names of makers. */
function addPhrase(tokens: Map<string, TokenMode>, phrase: string): void {
  const words = wordsOf(phrase);
  const telling = words.filter((word) => {
    const { text } = compact(word);
    return text.length >= WORD_LENGTH_MIN && !TITLES.has(text) && !isKnownWord(text) && !MAKERS.has(text);
  });
  if (telling.length > 0 || words.length > 2) addToken(tokens, phrase, 'anywhere');
  for (const word of telling) addToken(tokens, word, 'anywhere');
}

/** Of a name; a title is none. */
function addWords(tokens: Map<string, TokenMode>, text: string): void {
  const words = wordsOf(text);
  if (words.length > 1) addToken(tokens, text, 'anywhere');
  for (const word of words) if (!TITLES.has(compact(word).text)) addToken(tokens, word, 'anywhere');
}

function wordsOf(text: string): string[] {
  return text.split(/[\s,;:/()"'`.^_-]+/).filter((word) => word !== '');
}

function addDate(tokens: Map<string, TokenMode>, text: string): void {
  const digits = text.replace(/[^0-9].*$/, '').length >= 8 ? text.slice(0, 8) : text.replaceAll('.', '').slice(0, 8);
  if (!/^[12]\d{3}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$/.test(digits)) return;
  const { long, short } = dateSpellings(digits);
  for (const spelling of long) tokens.set(spelling, 'number');
  for (const spelling of short) if (!tokens.has(spelling)) tokens.set(spelling, 'number');
}

/** Short ones count as whole words only; single letters and pairs of digits say nothing. */
function addToken(tokens: Map<string, TokenMode>, text: string, mode: TokenMode): void {
  for (const spelling of [text, withoutUmlauts(text)]) {
    const folded = compact(spelling).text;
    const isAscii = /^[\x20-\x7e]*$/.test(folded);
    if (folded.length < (isAscii && !/[a-z]/.test(folded) ? WORD_LENGTH_MIN : 2)) continue;
    if (folded === NOBODY || /^0+$/.test(folded) || (folded.length === 2 && isKnownWord(folded))) continue; // CT, MR, AP
    // A character of Chinese, Japanese or Korean is a word, or near it.
    const isLong = folded.length >= ANYWHERE_LENGTH_MIN || !/^[\x20-\x7e\u00c0-\u052f]*$/.test(folded);
    if (isLong || !tokens.has(folded)) tokens.set(folded, isLong ? mode : 'word');
  }
}
