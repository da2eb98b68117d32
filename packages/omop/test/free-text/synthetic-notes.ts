/**
 * Synthetic notes of British hospitals, from a seed: letters, discharge summaries, reports, nursing notes of patients who do not exist,
 * with what identifies them planted at known places, and clinical facts that must stay. Numbers are of ranges that belong to nobody
 * (NHS numbers from 999, telephone numbers of Ofcom's ranges for drama, mail at example.org).
 */

import type { NoteSubject } from '../../src/free-text/deidentify-note.ts';
import { isNhsNumber } from '../../src/free-text/nhs-number.ts';

export type PlantedKind =
  | 'own-name'
  | 'own-number'
  | 'own-address'
  | 'own-contact'
  | 'birth-date'
  | 'nhs-number'
  | 'postcode'
  | 'phone'
  | 'email'
  | 'date'
  | 'titled-name'
  | 'place';
export type Planted = { readonly kind: PlantedKind; readonly start: number; readonly end: number };
export type Fact = { readonly start: number; readonly end: number };
export type SyntheticNote = {
  readonly text: string;
  readonly planted: readonly Planted[];
  readonly facts: readonly Fact[];
  readonly subject: NoteSubject;
};

export const NOTE_KINDS = ['clinic letter', 'discharge summary', 'radiology report', 'nursing note'] as const;
export type NoteKind = (typeof NOTE_KINDS)[number];

const words = (text: string): readonly string[] => text.trim().split(/\s+/);
const lines = (text: string): readonly string[] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim());

const GIVEN =
  words(`Margaret Aisha Oluwaseun Siân Zoë Piotr Mohammed Jean-Luc Grace Will May Rose Mark Xiu Li Niamh Bronwen Rajesh Priya
Yusuf Agnieszka François Heather Alastair Ciarán Dilys Ewan Fatima Gwendolyn Hamish Ingrid Joy Kwame Lakshmi Moira Nkechi Olga Percival`);
const FAMILY =
  words(`Smith O'Connor Featherstone Smith-Jones MacDonald Nguyen Begum Müller Grabowska Ng Patel Okafor D'Souza Llewellyn
Szczepański Young Bell Parkinson Green Al-Hassan Venkataraman Fitzgerald Whittington Björnsson Wu Adeyemi-Cole Ramsbottom Crohn Brown`);
const OTHER_FAMILY =
  words(`Hartley Chowdhury O'Brien Kowalski Abernathy Thistlethwaite Banerjee Mensah McAllister Delacroix Pemberton Osei
Hussain Fairweather Ogunleye Carmichael Nowak Prendergast Shah Young Rose Baker Walker Wright Khan Singh Ali Evans Lewis Hughes`);
const OTHER_GIVEN = words(
  'John Sarah Emeka Tomasz Eleanor Bilal Carys Duncan Emily Farah George Helen Imran Julia Kieran Linda',
);
const STREETS = words('Acacia Millbrook Victoria Station Church Larkspur Wellington Primrose Tanner Cobblestone');
const STREET_KINDS = words('Road Street Avenue Lane Close Drive Crescent Gardens Terrace');
const TOWNS = words('Otley Harrogate Skipton Ilkley Wetherby Knaresborough Pudsey');
const AREAS = words('LS BD HG YO M SW EC N W EH G CF BT NE');
const PLACES = ['St Oswin Infirmary', 'Ward J42', 'Bramblewick General Hospital', 'Kestrel Ward'];
const MONTHS = words('January February March April May June July August September October November December');

/** Each must stay, letter by letter. */
const FACTS = lines(`BP 142/86 mmHg, HR 88 regular
  Hb 104 g/L, WCC 12.3, platelets 256
  Na 138 mmol/L, K 4.1 mmol/L, creatinine 112 umol/L, eGFR 52
  CRP 187 mg/L fell to 24
  aspirin 75 mg once daily
  bisoprolol 2.5mg od
  co-codamol 30/500 two tablets qds prn
  Parkinson's disease, Hoehn and Yahr stage 2
  Crohn's disease of the terminal ileum
  Bell's palsy on the left
  Hodgkin lymphoma in remission
  Marfan syndrome
  Barrett's oesophagus C2M4
  Alzheimer's disease
  Wilson's disease excluded
  Addison's disease on hydrocortisone 10 mg
  Graves' disease
  Raynaud's phenomenon
  Charcot joint
  Guillain-Barré syndrome
  Non-Hodgkin's lymphoma
  Sister Mary Joseph nodule not felt
  Glasgow Coma Scale 15/15
  GCS 14 (E4 V4 M6)
  Wells score 4.5
  Waterlow score 14
  NEWS2 score 3
  Child-Pugh B cirrhosis
  INR 2.3 on warfarin 3 mg
  HbA1c 58 mmol/mol
  TSH 0.4 mU/L, free T4 18.2 pmol/L
  vitamin B12 250 ng/L
  ferritin 9 ug/L
  troponin 14 then 16 ng/L
  lactate 1.8, pH 7.38, pO2 11.2 kPa
  SpO2 96% on 2 L/min
  temperature 37.9
  amoxicillin 500 mg tds for 5/7
  review in 6/52
  a 3/12 history of weight loss of 6 kg
  fracture of L4, degenerative change at C5/6
  the L4 5th lumbar segment
  a 12 mm nodule in the right upper lobe, SUVmax 4.2
  ejection fraction 45-50%
  2 x 3 x 4 cm mass
  NYHA class III
  T2N1M0 adenocarcinoma
  Gleason 3+4=7, PSA 8.6
  visual acuity 6/9 right, 6/12 left
  urine output 30 ml/h over 4 hours
  1.5 L fluid restriction
  dose 2000 ml of Movicol
  20 pack-years
  MR Brain with contrast
  MR angiogram of the neck
  MS diagnosed with optic neuritis
  FEV1 1.82 L (68% predicted)
  QTc 442 ms
  heparin 5000 units bd
  insulin glargine 18 units at night
  tinzaparin 4500 IU
  Mother had ischaemic heart disease
  Father hypertensive
  daughter has asthma
  may be discharged when mobile
  she will need 24 hour observation
  chest is clear, the heart sounds are normal
  no focal neurology, power 5/5 throughout
  aged 74 years
  a 67-year-old retired teacher
  Dupuytren's contracture
  Colles' fracture of the left wrist
  Foley catheter in situ, residue 150 ml
  Hartmann's solution 1 L over 8 hours
  Murphy's sign negative
  PCR ratio 45 mg/mmol
  ANA 1:640
  Down's syndrome
  Lewy body dementia
  Ranson criteria 2
  Bishop score 6
  Apgar score 9 at 5 minutes
  Mantoux test 12 mm
  green sputum, brown discharge
  bell-shaped curve on spirometry
  young onset dementia
  a rose-coloured rash
  at 14:30 he was walking 20 metres`);

type Maker = ReturnType<typeof makerOf>;

function makerOf(random: () => number) {
  const whole = (min: number, max: number) => min + Math.floor(random() * (max - min + 1));
  const pick = <T>(list: readonly T[]): T => {
    const item = list[Math.floor(random() * list.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  };
  const digits = (count: number) => Array.from({ length: count }, () => whole(0, 9)).join('');
  return { whole, pick, digits, chance: (share: number) => random() < share };
}

function nhsNumber({ digits }: Pick<Maker, 'digits'>): string {
  for (;;) {
    const number = `999${digits(7)}`;
    if (isNhsNumber(number)) return number;
  }
}

function postcode({ pick, whole }: Maker): string {
  const letters = 'ABDEFGHJLNPQRSTUWXYZ';
  return `${pick(AREAS)}${whole(1, 9)} ${whole(1, 9)}${pick([...letters])}${pick([...letters])}`;
}

/** Ofcom's numbers for drama. */
function phone({ pick, digits }: Maker): string {
  const end = digits(3);
  return pick([
    `07700 900${end}`,
    `0113 496 0${end}`,
    `020 7946 0${end}`,
    `+44 7700 900${end}`,
    `01632 960${end}`,
    `(0113) 496 0${end}`,
    `+44 (0)113 496 0${end}`,
    `07700900${end}`,
    `+353 20 915 ${digits(4)}`,
  ]);
}

type Person = { readonly given: string; readonly family: string; readonly title: string };
type Patient = Person & {
  readonly nhs: string;
  readonly number: string;
  readonly line: string;
  readonly town: string;
  readonly postcode: string;
  readonly phone: string;
  readonly email: string;
  readonly birth: { readonly year: number; readonly month: number; readonly day: number };
  readonly kin: Person;
};

function patientOf(maker: Maker): Patient {
  const { pick, whole, digits } = maker;
  const [given, family] = [pick(GIVEN), pick(FAMILY)];
  return {
    given,
    family,
    title: pick(['Mr', 'Mrs', 'Ms', 'Miss']),
    nhs: nhsNumber(maker),
    number: pick([`H${digits(7)}`, digits(8).replace(/^[0-3]/, '7'), `RXH${digits(6)}`, `${digits(6)}X`]),
    line: `${whole(1, 199)} ${pick(STREETS)} ${pick(STREET_KINDS)}`,
    town: pick(TOWNS),
    postcode: postcode(maker),
    phone: phone(maker),
    email: `${given
      .toLowerCase()
      .normalize('NFKD')
      .replace(/[^a-z]/g, '')}.${digits(3)}@example.org`,
    birth: { year: whole(1935, 2001), month: whole(1, 12), day: whole(1, 28) },
    kin: { given: pick(OTHER_GIVEN), family, title: 'Mr' },
  };
}

function subjectOf(
  { given, family, nhs, number, line, town, postcode: code, phone: call, email, birth, kin }: Patient,
  pseudonym: string,
): NoteSubject {
  const nobody = { numbers: [], addressLines: [], postcodes: [], phones: [], emails: [] };
  const birthDate = `${birth.year}-${String(birth.month).padStart(2, '0')}-${String(birth.day).padStart(2, '0')}`;
  return {
    patient: {
      names: [{ family, given: [given] }],
      numbers: [nhs, number],
      addressLines: [line, town],
      postcodes: [code],
      phones: [call],
      emails: [email],
      birthDate,
    },
    others: [{ ...nobody, names: [{ family: kin.family, given: [kin.given] }] }],
    places: PLACES,
    pseudonym,
    dateShiftDays: -421,
  };
}

const plain = (text: string) => text.normalize('NFKD').replace(/\p{M}/gu, '');

/** One letter wrong, in the middle of the word. */
function misspelt(name: string, { whole, pick }: Maker): string {
  const at = whole(2, name.length - 3);
  const letter = pick([...'abcdefghiklmnoprstuvwy']);
  return pick([
    name.slice(0, at) + name.slice(at + 1),
    name.slice(0, at) + letter + name.slice(at),
    name.slice(0, at) + name.slice(at + 1, at + 2) + name.slice(at, at + 1) + name.slice(at + 2),
  ]);
}

/** A patient's own name as people write it. */
function ownName({ given, family, title }: Patient, maker: Maker): string {
  const { pick } = maker;
  const first = given.slice(0, 1);
  const forms = [
    `${given} ${family}`,
    `${family.toUpperCase()}, ${given}`,
    `${family}, ${given}`,
    `${title} ${family}`,
    `${title} ${first} ${family}`,
    `${first}. ${family}`,
    `${family} ${first}`,
    `${given.toUpperCase()} ${family.toUpperCase()}`,
    plain(`${given} ${family}`),
    `${given}  ${family}`,
    `${given}\n${family}`,
    family.replace(/['-]/g, ' '),
    family.replace(/['-]/g, ''),
    family.replace(/'/g, '’').replace(/-/g, '‑'),
    `${given}${family}`,
    `${family}_${given}`,
    given,
    family,
    `${first}.${plain(family).slice(0, 1)}.`,
  ];
  if (/^[A-Za-z]{8,}$/.test(family)) forms.push(misspelt(family, maker), `${given} ${misspelt(family, maker)}`);
  if (family.includes('ü')) forms.push(family.replace('ü', 'ue'));
  return pick(forms);
}

function writtenDate({ pick, whole }: Maker, day: { year: number; month: number; day: number } | undefined): string {
  const { year, month, day: date } = day ?? { year: whole(1998, 2024), month: whole(1, 12), day: whole(1, 28) };
  const two = (value: number) => String(value).padStart(2, '0');
  const name = MONTHS[month - 1] ?? '';
  const th = date % 100 >= 11 && date % 100 <= 13 ? 'th' : (['th', 'st', 'nd', 'rd'][date % 10] ?? 'th');
  const whole4 = [
    `${two(date)}/${two(month)}/${year}`,
    `${date}.${month}.${two(year % 100)}`,
    `${two(date)}.${two(month)}.${year}`,
    `${year}-${two(month)}-${two(date)}`,
    `${year}-${two(month)}-${two(date)}T09:15:00`,
    `${date}${th} ${name} ${year}`,
    `${date} ${name} ${year}`,
    `${two(date)}-${name.slice(0, 3)}-${year}`,
    `${date} ${name.slice(0, 3)} ${two(year % 100)}`,
    `${name} ${date}, ${year}`,
    `${date}${th} of ${name} ${year}`,
    `${two(date)} ${name.slice(0, 3).toUpperCase()} ${year}`,
    `${year}${two(month)}${two(date)}`,
    `${date}/${month}/${two(year % 100)}`,
    `${two(date)}-${two(month)}-${year}`,
  ];
  const partial = [
    `${name.slice(0, 3)} ${year}`,
    `${name} ${year}`,
    `${date} ${name.slice(0, 3)}`,
    `${date}${th} ${name}`,
    `${two(month)}/${year}`,
    `Monday ${date}/${month}`,
    `since ${year}`,
  ];
  return pick(day === undefined ? [...whole4, ...partial] : whole4);
}

function nhsWritten(number: string, { pick }: Maker): string {
  const parts = [number.slice(0, 3), number.slice(3, 6), number.slice(6)];
  return pick([
    number,
    parts.join(' '),
    parts.join('-'),
    parts.join('\u00a0'),
    `${number.slice(0, 3)}  ${number.slice(3, 6)}  ${number.slice(6)}`,
  ]);
}

/** `before` gives what makes it one; only `name` is planted. */
function titledName({ pick, chance }: Maker): { before: string; name: string; after: string } {
  const [given, family] = [pick(OTHER_GIVEN), pick(OTHER_FAMILY)];
  const full = pick([
    family,
    `${given} ${family}`,
    `${given.slice(0, 1)} ${family}`,
    `${given.slice(0, 1)}. ${family}`,
    `${family}-${pick(OTHER_FAMILY)}`,
  ]);
  if (chance(0.65)) {
    const title = pick([
      'Dr',
      'Dr.',
      'Mr',
      'Mrs',
      'Ms',
      'Miss',
      'Prof',
      'Professor',
      'Sister',
      'Nurse',
      'Dr',
      'Dr',
      'DR',
      'dr',
    ]);
    if (title === 'DR') return { before: 'DR ', name: family.toUpperCase(), after: '' };
    return { before: `${title} `, name: full, after: '' };
  }
  const person = pick([`${given} ${pick(['Chowdhury', 'Kowalski', 'Abernathy', 'Hussain', 'Evans'])}`, given]);
  const cue = pick([
    'his son ',
    'her daughter, ',
    'wife ',
    'GP: ',
    'Consultant: ',
    'Dictated by ',
    'discussed with ',
    'Signed: ',
    'Reported by: ',
    'NOK: ',
    'Dear ',
    'Yours sincerely,\n\n',
    'carer (',
    'named nurse ',
    'spoke to ',
  ]);
  return { before: cue, name: person, after: cue.endsWith('(') ? ')' : '' };
}

const CONNECTORS = ['. ', '.\n', '; ', '.\n\n', ' - '];

/** A note of `kind`; the same for the same `random`. */
export function syntheticNote(kind: NoteKind, random: () => number): SyntheticNote {
  const maker = makerOf(random);
  const { pick, whole, chance, digits } = maker;
  const patient = patientOf(maker);
  const planted: Planted[] = [];
  const facts: Fact[] = [];
  let text = '';
  const say = (more: string) => {
    text += more;
  };
  const plant = (of: PlantedKind, what: string) => {
    planted.push({ kind: of, start: text.length, end: text.length + what.length });
    text += what;
  };
  const fact = () => {
    const what = pick(FACTS);
    facts.push({ start: text.length, end: text.length + what.length });
    text += what;
  };
  const name = () => plant('own-name', ownName(patient, maker));
  const somebody = () => {
    const { before, name: who, after } = titledName(maker);
    say(before);
    plant('titled-name', who);
    say(after);
  };
  const date = () => plant('date', writtenDate(maker, undefined));
  const call = () => (chance(0.5) ? plant('phone', phone(maker)) : plant('own-contact', patient.phone));
  const nhs = (number: string) => plant('nhs-number', nhsWritten(number, maker));
  /** One of these, each a row of what is said. */
  const sentences: readonly (readonly (string | (() => void))[])[] = [
    ['Reviewed ', name, ' today: ', fact],
    [fact, ' on ', date],
    ['Seen with ', somebody, ', ', fact],
    [fact, ', ', fact],
    ['Admitted ', date, ' to ', () => plant('place', pick(PLACES)), ' with ', fact],
    ['Contact on ', call, ' or ', () => plant('email', `${digits(4)}.x@nhs.example.org`)],
    [
      'Lives at ',
      () => plant('own-address', `${patient.line}, ${patient.town}`),
      ' ',
      () => plant('postcode', pick(casesOf(patient.postcode))),
    ],
    ['Moved from ', () => plant('postcode', postcode(maker)), ', ', fact],
    ['NHS No: ', () => nhs(chance(0.5) ? patient.nhs : nhsNumber(maker)), ', ', fact],
    ['ref ', () => nhs(nhsNumber(maker))],
    ['Hospital number ', () => plant('own-number', pick([patient.number, patient.number.toLowerCase()]))],
  ];
  const tell = (pieces: readonly (string | (() => void))[]) => {
    for (const piece of pieces) typeof piece === 'string' ? say(piece) : piece();
  };
  const born = () => plant('birth-date', writtenDate(maker, patient.birth));
  const number = () => plant('own-number', patient.number);
  const headings: Readonly<Record<NoteKind, readonly (string | (() => void))[]>> = {
    'clinic letter': [
      'Dear Dr ',
      () => plant('titled-name', pick(OTHER_FAMILY)),
      '\n\nRe: ',
      name,
      ', DOB ',
      born,
      ', ',
      () => plant('own-address', patient.line),
      '\nHospital No: ',
      number,
      '\n\nDiagnosis:\n',
    ],
    'discharge summary': [
      'DISCHARGE SUMMARY\nPatient: ',
      name,
      '\nBorn: ',
      born,
      '\nDate of admission: ',
      date,
      '\nConsultant: ',
      somebody,
      '\n\n',
    ],
    'radiology report': [
      'CT Thorax abdomen and pelvis with contrast\n',
      name,
      ' [',
      number,
      '] ',
      born,
      '\nClinical details: ',
    ],
    'nursing note': [date, ' 14:30 ', name, ' reviewed on ward round by ', somebody, '. '],
  };
  tell(headings[kind]);
  for (let count = whole(4, 9); count > 0; count -= 1) tell([...pick(sentences), pick(CONNECTORS)]);
  say('\n');
  if (kind === 'radiology report') say('Reported by: ');
  else if (kind === 'nursing note') say('Signed: ');
  else say('Yours sincerely,\n\n');
  plant('titled-name', `${pick(OTHER_GIVEN)} ${pick(['Chowdhury', 'Kowalski', 'Abernathy', 'Hussain', 'Evans'])}`);
  say('\n');
  return { text, planted, facts, subject: subjectOf(patient, `PSN${'0123456789ABCDEFGHJKMNPQ'}`) };
}

function casesOf(code: string): string[] {
  return [code, code.replace(' ', ''), code.toLowerCase()];
}
