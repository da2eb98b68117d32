/**
 * Makes DICOM objects in which everything that identifies is a unique random token, and says what was planted where. From a seed, so
 * that a failure can be repeated.
 *
 * Tokens are made in the script of the object's character set. A patient's own names and numbers stand a second time where the
 * standard keeps text; everything that the table names stands once, in its own element; further tokens lie where no element is.
 */
import { randomInt } from 'node:crypto';
import type { Element } from '../src/data-set.ts';
import { profileRows } from '../src/deidentify/confidentiality-table.ts';
import { vrInDictionary } from '../src/dictionary.ts';
import type { Tag } from '../src/tag.ts';
import type { Vr } from '../src/vr.ts';
import { SCRIPTS, type Script } from './character-sets.ts';
import { dataSetOf, element, fileBytes, SYNTAXES, sequence } from './object-bytes.ts';

export type Planted = {
  /** Where, and what: 'E.1-1 (0008,1030)', 'own family name in SoftwareVersions, upper'. */
  readonly kind: string;
  readonly text: string;
  /** As it stands in the object's character set. */
  readonly bytes: Buffer;
};

export type PlantedObject = {
  readonly name: string;
  readonly bytes: Buffer;
  readonly planted: readonly Planted[];
  readonly patientId: string;
};

type Random = { below(limit: number): number; of<T>(list: readonly T[]): T };

export function newSeed(): number {
  return randomInt(2 ** 31);
}

/** mulberry32: small, and the same everywhere. */
function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    below,
    of(list) {
      const one = list[below(list.length)];
      if (one === undefined) throw new Error('an empty list');
      return one;
    },
  };
}

const STORAGE = '1.2.840.10008.5.1.4.1.1.';
/** UID after the storage root, and whether pixels belong to it. */
export const SOP_CLASSES: readonly (readonly [string, 'pixels' | 'report' | 'other'])[] = [
  ['1', 'pixels'],
  ['1.1', 'pixels'],
  ['1.2', 'pixels'],
  ['2', 'pixels'],
  ['2.1', 'pixels'],
  ['4', 'pixels'],
  ['4.1', 'pixels'],
  ['12.1', 'pixels'],
  ['12.2', 'pixels'],
  ['20', 'pixels'],
  ['128', 'pixels'],
  ['6.1', 'pixels'],
  ['77.1.5.1', 'pixels'],
  ['66.4', 'pixels'],
  ['481.1', 'pixels'],
  ['481.2', 'pixels'],
  ['481.3', 'other'],
  ['481.5', 'other'],
  ['481.4', 'other'],
  ['88.11', 'report'],
  ['88.22', 'report'],
  ['88.33', 'report'],
  ['88.59', 'report'],
  ['11.1', 'other'],
  ['9.1.1', 'other'],
  ['66', 'other'],
  ['67', 'other'],
];

const SAFE_TEXTS: readonly (readonly [Tag, Vr, string])[] = [
  [0x00181020, 'LO', 'SoftwareVersions'],
  [0x00181040, 'LO', 'ContrastBolusRoute'],
  [0x00180024, 'SH', 'SequenceName'],
  [0x00181210, 'SH', 'ConvolutionKernel'],
  [0x00181160, 'SH', 'FilterType'],
  [0x00181250, 'SH', 'ReceiveCoilName'],
  [0x00281054, 'LO', 'RescaleType'],
  [0x00281055, 'LO', 'WindowCenterWidthExplanation'],
  [0x00620006, 'ST', 'SegmentDescription'],
  [0x00620005, 'LO', 'SegmentLabel'],
  [0x30060026, 'LO', 'ROIName'],
  [0x0008103e, 'LO', 'SeriesDescription'],
  [0x00081030, 'LO', 'StudyDescription'],
  [0x00204000, 'LT', 'ImageComments'],
  [0x00181030, 'LO', 'ProtocolName'],
  [0x300a00c2, 'LO', 'BeamName'],
  [0x30040006, 'LO', 'DoseComment'],
  [0x00700068, 'LO', 'GraphicLayerDescription'],
  [0x00700081, 'LO', 'ContentDescription'],
  [0x00400280, 'ST', 'CommentsOnThePerformedProcedureStep'],
  [0x00080070, 'LO', 'Manufacturer'],
  [0x00081090, 'LO', 'ManufacturerModelName'],
  [0x00209056, 'SH', 'StackID'],
  [0x00420010, 'ST', 'DocumentTitle'],
  [0x00180015, 'CS', 'BodyPartExamined'],
  [0x00189004, 'CS', 'ContentQualification'],
  [0x00400556, 'ST', 'AcquisitionContextDescription'],
  [0x00189005, 'SH', 'PulseSequenceName'],
  [0x00120050, 'LO', 'ClinicalTrialTimePointID'],
  [0x00380500, 'LO', 'PatientState'],
];
const SHAPED: readonly (readonly [Tag, Vr, string])[] = [
  [0x00180060, 'DS', 'KVP'],
  [0x00200013, 'IS', 'InstanceNumber'],
  [0x00081195, 'UI', 'TransactionUID'],
  [0x00080031, 'TM', 'SeriesTime'],
  [0x00101010, 'AS', 'PatientAge'],
];
/** Sequences of table E.1-1 whose items the options clean; they are planted by hand. */
const STRUCTURED: ReadonlySet<Tag> = new Set([0x0040a730, 0x00700001, 0x00400555, 0x00400610]);
const REFERENCES: ReadonlySet<Tag> = new Set([0x00081140, 0x00082112, 0x00081120, 0x00081111, 0x00081110]);
/** Kept by an option of the permissive profile, as what they are. */
const CHARACTERISTICS: ReadonlySet<Tag> = new Set([0x00102160, 0x001021a0, 0x00100040, 0x00102203]);
const PSEUDONYMS: ReadonlySet<Tag> = new Set([0x00100010, 0x00100020, 0x00100030]);
const ENCAPSULATED_DOCUMENT = 0x00420011;
const TEXT_VRS: ReadonlySet<Vr> = new Set(['LO', 'SH', 'ST', 'LT', 'UT', 'UC', 'AE', 'CS', 'UR', 'PN']);
const ASCII_VRS: ReadonlySet<Vr> = new Set(['AE', 'CS', 'UR']);

/** Plants tokens and remembers them. */
class Planter {
  readonly planted: Planted[] = [];
  readonly random: Random;
  readonly script: Script;
  readonly #day: number;

  constructor(random: Random, script: Script) {
    this.random = random;
    this.script = script;
    this.#day = Date.UTC(1990 + random.below(30), random.below(12), 1 + random.below(28));
  }

  note(kind: string, text: string, bytes = this.script.encode(text)): string {
    this.planted.push({ kind, text, bytes });
    return text;
  }

  /** In the object's script, or in letters that every set has. */
  word(script: 'own' | 'ascii' = 'own'): string {
    const letters = script === 'own' ? this.script.letters : 'bcdfghjklmnpqrstvwxz';
    const isDense =
      letters.codePointAt(0) !== undefined && (letters.codePointAt(0) ?? 0) > 0x2fff && letters.charCodeAt(0) < 0xff00;
    const length = isDense ? 4 : 9;
    const word = Array.from({ length }, () => this.random.of([...letters])).join('');
    return /^[\x20-\xff]*$/.test(word) ? word.slice(0, 1).toUpperCase() + word.slice(1) : word;
  }

  digits(count: number): string {
    return Array.from(
      { length: count },
      (_, index) => (index === 0 ? 1 : 0) + this.random.below(index === 0 ? 9 : 10),
    ).join('');
  }

  /** Within three weeks, which is less than any shift of these patients: no date becomes another of the same object. */
  date(): string {
    return new Date(this.#day + this.random.below(20) * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '');
  }

  uid(): string {
    return `1.2.826.0.1.${this.digits(9)}.${this.digits(12)}.7`;
  }

  text(tag: Tag, vr: Vr, text: string): Element {
    const bytes = ASCII_VRS.has(vr) ? Buffer.from(text, 'latin1') : this.script.encode(text);
    return element(tag, vr, bytes);
  }
}

function tagText(tag: Tag): string {
  return tag.toString(16).padStart(8, '0');
}

/** One element for a row of table E.1-1; `undefined` where its VR holds nothing that identifies. */
function plantRow(planter: Planter, tag: Tag): Element | undefined {
  const vr = vrInDictionary(tag);
  const kind = `E.1-1 ${tagText(tag)}`;
  if (vr === undefined || STRUCTURED.has(tag) || CHARACTERISTICS.has(tag) || PSEUDONYMS.has(tag)) return undefined;
  if (tag === ENCAPSULATED_DOCUMENT) return undefined; // it would be quarantined, as a test of its own tells
  if (vr === 'PN')
    return planter.text(tag, vr, `${planter.note(kind, planter.word())}^${planter.note(kind, planter.word())}`);
  if (vr === 'CS') return planter.text(tag, vr, planter.note(kind, planter.word('ascii').toUpperCase()));
  if (TEXT_VRS.has(vr))
    return planter.text(tag, vr, planter.note(kind, planter.word(ASCII_VRS.has(vr) ? 'ascii' : 'own')));
  if (vr === 'DA') return element(tag, vr, planter.note(kind, planter.date()));
  if (vr === 'DT') return element(tag, vr, `${planter.note(kind, planter.date())}101530.25`);
  if (vr === 'UI') return element(tag, vr, planter.note(kind, planter.uid()));
  if (vr === 'OB' || vr === 'UN') return element(tag, vr, Buffer.from(planter.note(kind, planter.word('ascii'))));
  if (vr !== 'SQ') return undefined;
  const reference = [
    element(0x00081150, 'UI', `${STORAGE}4`),
    element(0x00081155, 'UI', planter.note(`${kind} UID`, planter.uid())),
  ];
  if (REFERENCES.has(tag)) return sequence(tag, reference, reference);
  const meaning = planter.text(0x00080104, 'LO', planter.note(`${kind} meaning`, planter.word()));
  const name = planter.text(
    0x00400123 === tag ? 0x00081070 : 0x0040a123,
    'PN',
    planter.note(`${kind} name`, planter.word()),
  );
  return sequence(
    tag,
    [meaning, name, ...reference],
    [planter.text(0x00080080, 'LO', planter.note(`${kind} institution`, planter.word()))],
  );
}

type Own = { readonly what: string; readonly text: string };

/** Who this is: planted in its own elements, and given back to be planted again elsewhere. */
function plantPatient(planter: Planter): { elements: Element[]; own: Own[]; patientId: string } {
  const own: Own[] = [];
  const know = (what: string, text: string) => {
    own.push({ what, text });
    return planter.note(`own ${what}`, text);
  };
  const [family, given, middle] = [
    know('family name', planter.word()),
    know('given name', planter.word()),
    know('middle name', planter.word()),
  ];
  const patientId = know('PatientID', `${planter.word('ascii').slice(0, 3)}${planter.digits(8)}`);
  const birth = planter.date();
  const elements = [
    planter.text(0x00100010, 'PN', `${family}^${given}^${middle}^Dr`),
    planter.text(0x00100020, 'LO', patientId),
    element(0x00100030, 'DA', know('birth date', birth)),
    planter.text(0x00101000, 'LO', know('other id', planter.digits(11))),
    planter.text(0x00101001, 'PN', know('other name', planter.word())),
    planter.text(0x00101040, 'LO', `${know('house', planter.word())} ${know('street', planter.word())} Road`),
    planter.text(0x00102154, 'SH', know('telephone', `0${planter.digits(10)}`)),
    planter.text(
      0x00080050,
      'SH',
      know('accession number', `${planter.word('ascii').slice(0, 2)}${planter.digits(9)}`),
    ),
    planter.text(0x00080090, 'PN', `${know('referrer', planter.word())}^${know('referrer given', planter.word())}`),
    planter.text(0x00081070, 'PN', know('operator', planter.word())),
    planter.text(0x00080080, 'LO', `${know('institution', planter.word())} Hospital`),
    planter.text(0x00081010, 'SH', know('station', planter.word('ascii'))),
    planter.text(0x00100021, 'LO', know('issuer', planter.word())),
    planter.text(0x00380010, 'LO', know('admission id', planter.digits(9))),
    planter.text(0x00102297, 'PN', know('responsible person', planter.word())),
    sequence(0x00101002, [planter.text(0x00100020, 'LO', know('id in other ids', planter.digits(10)))]),
  ];
  const iso = `${birth.slice(0, 4)}-${birth.slice(4, 6)}-${birth.slice(6)}`;
  const british = `${birth.slice(6)}/${birth.slice(4, 6)}/${birth.slice(0, 4)}`;
  own.push({ what: 'birth date, ISO', text: iso }, { what: 'birth date, British', text: british });
  own.push({ what: 'name, reversed', text: `${given} ${family}` }, { what: 'name, joined', text: given + family });
  own.push(
    { what: 'name, comma', text: `${family}, ${given}` },
    { what: 'name, spaced out', text: [...family].join('-') },
  );
  return { elements, own, patientId };
}

const SPELLINGS: readonly (readonly [string, (text: string) => string])[] = [
  ['as it is', (text) => text],
  ['upper', (text) => text.toUpperCase()],
  ['lower', (text) => text.toLowerCase()],
  ['in a sentence', (text) => `scan of ${text} (5 mm)`],
  ['after a word', (text) => `chest_${text}`],
];

/** Something of the patient where the standard keeps text. */
function plantOwn(planter: Planter, own: readonly Own[], place: string): string {
  const { what, text } = planter.random.of(own);
  const [spelling, spell] = planter.random.of(SPELLINGS);
  planter.note(`${what} in ${place}`, text);
  const spelt = spell(text);
  if (spelling === 'upper' || spelling === 'lower') planter.note(`${what} in ${place}, ${spelling}`, spelt);
  return spelt;
}

function plantNested(planter: Planter, own: readonly Own[], depth: number): Element {
  const inner = depth > 1 ? [plantNested(planter, own, depth - 1)] : [];
  const place = `CodeMeaning at depth ${depth}`;
  return sequence(depth % 2 === 0 ? 0x00082218 : 0x00082220, [
    element(0x00080100, 'SH', 'T-04000'),
    element(0x00080102, 'SH', 'SRT'),
    planter.text(0x00080104, 'LO', plantOwn(planter, own, place)),
    ...inner,
  ]);
}

function plantReport(planter: Planter, own: readonly Own[]): Element {
  const item = (...elements: Element[]) => elements;
  const kind = (name: string) => element(0x0040a040, 'CS', name);
  return sequence(
    0x0040a730,
    item(
      kind('TEXT'),
      planter.text(
        0x0040a160,
        'UT',
        `${plantOwn(planter, own, 'SR text')} ${planter.note('SR text, anybody', planter.word())}`,
      ),
    ),
    item(kind('PNAME'), planter.text(0x0040a123, 'PN', planter.note('SR person name', planter.word()))),
    item(kind('UIDREF'), element(0x0040a124, 'UI', planter.note('SR UID', planter.uid()))),
    item(kind('DATE'), element(0x0040a121, 'DA', planter.note('SR date', planter.date()))),
    item(kind('DATETIME'), element(0x0040a120, 'DT', `${planter.note('SR date and time', planter.date())}1200`)),
    item(
      kind('CONTAINER'),
      sequence(
        0x0040a730,
        item(
          kind('CODE'),
          sequence(0x0040a168, [planter.text(0x00080104, 'LO', plantOwn(planter, own, 'SR code meaning'))]),
        ),
      ),
    ),
  );
}

function plantGraphics(planter: Planter, own: readonly Own[]): Element {
  const text = `${plantOwn(planter, own, 'GSPS text')} ${planter.note('GSPS text, anybody', planter.word())}`;
  return sequence(0x00700001, [
    element(0x00700002, 'CS', 'LAYER1'),
    sequence(0x00700008, [planter.text(0x00700006, 'ST', text)]),
  ]);
}

function plantPrivate(planter: Planter, own: readonly Own[]): Element[] {
  const token = (kind: string) => planter.note(`private ${kind}`, planter.word('ascii'));
  return [
    element(0x00090010, 'LO', token('creator')),
    element(0x00091001, 'LO', token('LO')),
    element(0x00091002, 'UN', Buffer.from(token('UN'))),
    element(0x00091003, 'OB', Buffer.from(token('OB'), 'utf16le')),
    element(0x00091004, 'PN', token('PN')),
    element(0x00091005, 'UI', planter.note('private UI', planter.uid())),
    sequence(0x00091006, [
      element(0x00090010, 'LO', token('nested creator')),
      element(0x00091007, 'UT', token('nested UT')),
    ]),
    element(0x00190010, 'LO', 'GEMS_ACQU_01'),
    planter.text(0x0019109e, 'LO', plantOwn(planter, own, 'safe private LO')),
    element(0x00191023, 'DS', '1.5'),
    element(0x001910aa, 'LO', token('unsafe element of a safe creator')),
    element(0x00210011, 'LO', 'GEMS_ACQU_01'), // in a group where this maker has nothing safe
    element(0x0021119e, 'LO', token('safe element in another group')),
    element(0x00290001, 'LO', token('without a creator')),
  ];
}

function plantUnknown(planter: Planter): Element[] {
  const token = (kind: string) => planter.note(kind, planter.word('ascii'));
  return [
    element(0x00085551, 'LO', token('unknown element of group 0008')),
    element(0x00080010, 'SH', token('retired RecognitionCode')),
    element(0x60000022, 'LO', token('overlay description')),
    element(0x60003000, 'OW', Buffer.from(token('overlay data'))),
    element(0x60021500, 'LO', token('overlay label')),
    element(0x50003000, 'OW', Buffer.from(token('curve data'))),
    element(0x50000022, 'LO', token('curve description')),
    element(0x7f000010, 'OW', Buffer.from(token('variable pixel data'))),
    element(0xfffcfffc, 'OB', Buffer.from(token('trailing padding element'))),
    sequence(0x00880200, [element(0x7fe00010, 'OB', Buffer.from(token('icon pixels')))]),
    sequence(0x04000561, [sequence(0x04000550, [element(0x00100010, 'PN', token('original attribute'))])]),
    planter.text(0x00380300, 'LO', planter.note('current location', planter.word())),
    element(0x00100033, 'LO', token('birth date in another calendar')),
    element(0x00081190, 'UR', `https://pacs.example/${token('RetrieveURL')}`),
  ];
}

function pixelElements(planter: Planter): Element[] {
  const number = (tag: Tag, value: number) => element(tag, 'US', Buffer.from([value & 0xff, value >>> 8]));
  const region = [0, 0, 15, 15].map((value, index) =>
    element(0x00186018 + 2 * index, 'UL', Buffer.from([value, 0, 0, 0])),
  );
  const excess = Buffer.from(planter.note('bytes after the pixels', planter.word('ascii')));
  return [
    number(0x00280002, 1),
    element(0x00280004, 'CS', 'MONOCHROME2'),
    number(0x00280010, 16),
    number(0x00280011, 16),
    number(0x00280100, 8),
    number(0x00280101, 8),
    number(0x00280102, 7),
    number(0x00280103, 0),
    sequence(0x00186011, region),
    element(0x7fe00010, 'OB', Buffer.concat([Buffer.alloc(256, 0x41), excess])),
  ];
}

function compressedFrame(planter: Planter): Buffer {
  const text = Buffer.from(planter.note('comment in a JPEG frame', planter.word('ascii')));
  const head = Buffer.from([0xff, 0xd8, 0xff, 0xfe, 0, text.length + 2]);
  const frame = Buffer.concat([head, text, Buffer.from([0xff, 0xd9])]);
  return frame.length % 2 === 0 ? frame : Buffer.concat([frame, Buffer.alloc(1)]);
}

const ROWS_PER_OBJECT = 70;

/** An object of the given index: SOP class, character set and encoding go round, what is planted is drawn. */
export function plantedObject(seed: number, index: number): PlantedObject {
  const random = randomFrom(seed + index * 7919);
  const script = SCRIPTS[index % SCRIPTS.length];
  const [sopClass, content] = SOP_CLASSES[index % SOP_CLASSES.length] ?? ['2', 'pixels'];
  if (script === undefined) throw new Error('no script');
  const planter = new Planter(random, script);
  const { elements: patient, own, patientId } = plantPatient(planter);
  const rows = profileRows().flatMap(({ attribute }) =>
    typeof attribute === 'number' && attribute >>> 16 >= 8 ? [attribute] : [],
  );
  const start = (index * ROWS_PER_OBJECT) % rows.length;
  const ofRows = [...rows, ...rows]
    .slice(start, start + ROWS_PER_OBJECT)
    .flatMap((tag) => plantRow(planter, tag) ?? []);
  const kept = Array.from({ length: 8 }, () => random.of(SAFE_TEXTS)).map(([tag, vr, place]) =>
    planter.text(
      tag,
      vr,
      vr === 'CS' ? planter.note(`PatientID in ${place}`, patientId).toUpperCase() : plantOwn(planter, own, place),
    ),
  );
  const [shapedTag, shapedVr, shapedPlace] = random.of(SHAPED);
  const shaped = element(shapedTag, shapedVr, planter.note(`letters in ${shapedPlace}`, planter.word('ascii')));
  const isCompressed = content === 'pixels' && index % 5 === 0 && sopClass !== '6.1';
  const syntax = isCompressed
    ? { ...SYNTAXES.explicitLittle, uid: '1.2.840.10008.1.2.4.70' }
    : [SYNTAXES.explicitLittle, SYNTAXES.implicitLittle, SYNTAXES.explicitBig][index % 3];
  if (syntax === undefined) throw new Error('no syntax');
  const pixels =
    content === 'pixels' ? pixelElements(planter).filter(({ tag }) => !(isCompressed && tag === 0x7fe00010)) : [];
  const report = content === 'report' ? [plantReport(planter, own)] : [];
  const byTag = new Map<Tag, Element>();
  const all = [
    ...ofRows,
    ...kept,
    ...plantUnknown(planter),
    ...plantPrivate(planter, own),
    ...patient,
    ...pixels,
    ...report,
    shaped,
    plantNested(planter, own, 5),
    plantGraphics(planter, own),
    element(0x00080005, 'CS', script.terms),
    element(0x00080016, 'UI', STORAGE + sopClass),
    element(0x00080018, 'UI', planter.note('SOPInstanceUID', planter.uid())),
    element(0x0020000d, 'UI', planter.note('StudyInstanceUID', planter.uid())),
    element(0x00080060, 'CS', sopClass === '6.1' ? 'US' : 'CT'),
  ];
  for (const one of all) byTag.set(one.tag, one);
  const after = isCompressed ? [...byTag.values()].filter(({ tag }) => tag < 0x7fe00010) : [...byTag.values()];
  const token = (kind: string) => planter.note(kind, planter.word('ascii'));
  const bytes = fileBytes(dataSetOf(after), {
    syntax,
    preamble: Buffer.from(token('preamble')),
    meta: [
      element(0x00020003, 'UI', planter.note('MediaStorageSOPInstanceUID', planter.uid())),
      element(0x00020013, 'SH', token('ImplementationVersionName')),
      element(0x00020016, 'AE', token('SourceApplicationEntityTitle')),
      element(0x00020100, 'UI', planter.note('PrivateInformationCreatorUID', planter.uid())),
      element(0x00020102, 'OB', Buffer.from(token('PrivateInformation'))),
    ],
    ...(isCompressed ? { fragments: [compressedFrame(planter)] } : {}),
  });
  return {
    name: `${index}: ${sopClass}, ${script.terms}, ${syntax.uid}`,
    bytes,
    planted: present(planter.planted, bytes),
    patientId,
  };
}

/** Of an element that was overwritten by another with the same tag the token is not in the file. */
function present(planted: readonly Planted[], bytes: Buffer): Planted[] {
  const folded = bytes.toString('latin1').toLowerCase();
  return planted.filter(
    (one) =>
      folded.includes(one.bytes.toString('latin1').toLowerCase()) ||
      folded.includes(Buffer.from(one.text, 'utf16le').toString('latin1').toLowerCase()),
  );
}
