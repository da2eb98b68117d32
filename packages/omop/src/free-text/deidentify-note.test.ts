import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createNoteDeidentifier, type NoteSubject } from './deidentify-note.ts';
import { isOneLetterOff } from './known-identifiers.ts';

const NOBODY = { names: [], numbers: [], addressLines: [], postcodes: [], phones: [], emails: [] };
const SUBJECT: NoteSubject = {
  patient: {
    names: [{ family: "O'Featherstone", given: ['Zoë', 'Jane'] }, { family: 'Young' }],
    numbers: ['9994567881', 'RXH0123456'],
    addressLines: ['12 Acacia Avenue', 'Otley'],
    postcodes: ['LS21 3AB'],
    phones: ['+44 7700 900123'],
    emails: ['zoe.of@example.org'],
    birthDate: '1950-07-20',
  },
  others: [{ ...NOBODY, names: [{ text: 'Dr Mei Ng' }] }],
  places: ['Kestrel Ward', 'Glasgow Royal Infirmary'],
  pseudonym: 'PSN7',
  dateShiftDays: -10,
};
const read = createNoteDeidentifier(SUBJECT);

function becomes(rows: readonly (readonly [string, string])[]): void {
  for (const [note, wanted] of rows) assert.equal(read(note).text, wanted);
}

describe("this patient's own identifiers", () => {
  it('are found whatever their case, accents, order and punctuation', () =>
    becomes([
      ["O'FEATHERSTONE, Zoe attended", '[NAME] attended'],
      ['seen: zoe o featherstone.', 'seen: [NAME].'],
      ['Z. J. O’Featherstone and ZoëOFeatherstone', '[NAME] and [NAME]'],
      ['O-Featherstone Z J was well', '[NAME] was well'],
      ['OFeatherstnoe was well', '[NAME] was well'],
      ['Z.O. phoned, Z. J. O. too', '[NAME] phoned, [NAME] too'],
      ['Ng rang', '[NAME] rang'],
    ]));

  it('that are also words are found where they are written as names', () =>
    becomes([
      ['Mrs Young, a young woman', 'Mrs [NAME], a young woman'],
      ['Young onset', '[NAME] onset'], // rather a word too much than a name
    ]));

  it('are numbers, addresses and dates of birth in every spelling', () =>
    becomes([
      ['rxh 0123456; 0123456; 999-456-7881', 'PSN7; PSN7; [NHS NUMBER]'],
      ['12, Acacia Avenue,\nOtley, ls213ab', '[ADDRESS],\n[ADDRESS], [POSTCODE]'],
      ['07700900123, 0044 7700 900123, +44 (0)7700 900123', '[PHONE], [PHONE], [PHONE]'],
      ['20/7/50, 20th July 1950, 20071950', '[DATE OF BIRTH], [DATE OF BIRTH], [DATE OF BIRTH]'],
      ['ZOE.OF@EXAMPLE.ORG', '[EMAIL]'],
    ]));

  it('take one wrong letter, not two', () => {
    assert.ok(isOneLetterOff('featherstone', 'fetherstone') && isOneLetterOff('featherstone', 'feathherstone'));
    assert.ok(isOneLetterOff('featherstone', 'faetherstone') && isOneLetterOff('featherstone', 'featherstons'));
    assert.ok(!isOneLetterOff('featherstone', 'faetherstons') && !isOneLetterOff('featherstone', 'weatherstons'));
  });
});

describe('what identifies by its form', () => {
  it('is an NHS number with its check digit, or one that is called so', () =>
    becomes([
      ['943 476 5919 and 9434765919', '[NHS NUMBER] and [NHS NUMBER]'],
      ['9434765918 of a barcode', '[NUMBER] of a barcode'],
      ['NHS No. 9434765918', 'NHS No. [NHS NUMBER]'],
      ['NHS number is 94347 65918', 'NHS number is [NHS NUMBER]'],
    ]));

  it('is a postcode, a telephone number, mail, a web address, a hospital number', () =>
    becomes([
      ['SW1A 1AA, ec1a1bb', '[POSTCODE], [POSTCODE]'],
      ['ext 4321, bleep 123, Tel: 234 5678', 'ext [PHONE], bleep [PHONE], Tel: [PHONE]'],
      ['(0113) 496 0123 / 020 7946 0958', '[PHONE] / [PHONE]'],
      ['+1 212 555 0100 0', '[PHONE]'],
      ['a.b@nhs.net, a (at) b.org', '[EMAIL], [EMAIL]'],
      ['see https://x.org/jane-doe?id=1.', 'see [URL].'],
      ['Hospital No: AB12345, MRN 334455', 'Hospital No: [NUMBER], MRN [NUMBER]'],
      ['in 14 Larkspur Close.', 'in [ADDRESS].'],
      ['QQ123456C', 'QQ123456C'], // no prefix of a national insurance number
      ['AB 12 34 56 C', '[NUMBER]'],
    ]));

  it('is an age above 89', () =>
    becomes([
      ['a 92-year-old, aged 101, 89 years old', 'a [AGE 90+]-year-old, aged [AGE 90+], 89 years old'],
      ['a ninety-two year old', 'a [AGE 90+] year old'],
    ]));

  it('is a place of the list, unless it is a scale', () =>
    becomes([
      ['kestrel ward, Glasgow Royal Infirmary, Glasgow Coma Scale 15', '[PLACE], [PLACE], Glasgow Coma Scale 15'],
    ]));
});

describe('a town or a place that is also a word', () => {
  it('takes no word out of a note', () => {
    const near = createNoteDeidentifier({
      ...SUBJECT,
      patient: { ...SUBJECT.patient, addressLines: ['Bath'] },
      places: ['Radiology', '12', 'Bed'],
    });
    const note = 'bath seat, radiology on 12 beds; bed 12';
    assert.equal(near(note).text, note);
    assert.equal(near('moved to Bath').text, 'moved to [ADDRESS]');
  });
});

describe('a date', () => {
  it('is moved in the form in which it stands', () =>
    becomes([
      ['12/03/2021 12.3.21 2021-03-12', '02/03/2021 02.3.21 2021-03-02'],
      ['12th March 2021, 22nd Mar, 2021-03-05T10:00', '2nd March 2021, 12th Mar, 2021-02-23T10:00'],
      ['Mar 2021, March 12, 2021; 1 JAN 2020', 'Mar 2021, March 2, 2021; 22 DEC 2019'],
      ['12-14 March 2021, 9-14 March 2021', '2-4 March 2021, 27 February 2021 to 4 March 2021'],
      ['Friday 12/3 at 14:30', 'Friday 02/3 at 14:30'],
      ['31/12/99', '21/12/99'],
      ['since 2018, on 14 Feb. Well', 'since 2018, on 4 Feb. Well'],
    ]));

  it('of no year is moved as a day of the year that stood last', () =>
    becomes([['2024: 5 March; 2023: 5 March', '2024: 24 February; 2023: 23 February']]));

  it('is not a dose, a ratio, a length of time or a verb', () => {
    for (const kept of [
      'BP 120/80',
      'for 3/12, on 2/52',
      '1:640',
      '30/500',
      '12 may help',
      'C5/6',
      '31/02/2021',
      '1.2.3.4',
      'version 10.2',
    ])
      assert.equal(read(kept).text, kept);
  });
});

describe('a name of anybody', () => {
  it('is told by a title', () =>
    becomes([
      ['Dr J. van der Berg and Mr and Mrs Okafor-Smith', 'Dr [NAME] and Mr and Mrs [NAME]'],
      ['Drs Patel and Hartley; dr patel reviewed', 'Drs [NAME] and [NAME]; dr [NAME] reviewed'],
      ['PROF HARTLEY REVIEWED', 'PROF [NAME] REVIEWED'],
      ['Dr Hartley. Bloods normal', 'Dr [NAME]. Bloods normal'],
    ]));

  it('is told by a role, and by who wrote or was told', () =>
    becomes([
      ['son John, wife (Mary Evans), GP: Patel', 'son [NAME], wife ([NAME]), GP: [NAME]'],
      ['Dictated by Jane Doe MBBS', 'Dictated by [NAME] MBBS'],
      ['Yours sincerely,\n\nJane Doe\nConsultant', 'Yours sincerely,\n\n[NAME]\nConsultant'],
      ['Zoë and Susan came. Mei Ng & Tomasz', '[NAME] and [NAME] came. [NAME] & [NAME]'],
      ['her daughter Susan. Zoe says', 'her daughter [NAME]. [NAME] says'],
      ['d/w Okonkwo, spoke to Hannah', 'd/w [NAME], spoke to [NAME]'],
    ]));

  it('is not a disease, an image or a speciality', () => {
    const kept = [
      "Crohn's disease, Mother Parkinson's disease, Bell's palsy",
      'MR Brain, MS relapse, discussed with Cardiology',
      'Sister Mary Joseph nodule',
      'Miss doses',
      'Father Alzheimer disease',
    ];
    for (const note of kept) assert.equal(read(note).text, note);
  });
});

describe('what stays, as docs/free-text.md says', () => {
  it('is a name that nothing tells, a year or a month alone, a feast, and a name written as a word', () => {
    const kept = [
      'Susan phoned',
      'her son gary phoned',
      'ex-smoker, stopped 2011, died in November, seen at Easter 2020',
      'a young woman of Otleyville',
      'the procedure on 3/12',
    ];
    for (const note of kept) assert.equal(read(note).text, note);
  });
});

describe('findings', () => {
  it('are kinds and places of the note as it came, in order, and hold no value', () => {
    const note = 'Dr Hartley wrote to zoe.of@example.org on 12/03/2021';
    assert.deepEqual(read(note).findings, [
      { kind: 'name', start: 3, end: 10 },
      { kind: 'email', start: 20, end: 38 },
      { kind: 'date', start: 42, end: 52 },
    ]);
  });
});
