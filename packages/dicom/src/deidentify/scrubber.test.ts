import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DataSet } from '../data-set.ts';
import type { Vr } from '../vr.ts';
import { asciiElement } from './dummy-values.ts';
import { collectIdentifiers } from './identifiers.ts';
import { knownWordsOf } from './known-words.ts';
import { PROFILE_DEFAULT } from './profile.ts';
import { createRules } from './rules.ts';
import { createScrubber, type Scrubber } from './scrubber.ts';

const RULES = createRules(PROFILE_DEFAULT);

function scrubberOf(texts: readonly (readonly [tag: number, vr: Vr, text: string])[]): Scrubber {
  const elements = texts.map(
    ([tag, vr, text]) =>
      ({ ...asciiElement(tag, vr, ''), value: { kind: 'bytes', bytes: Buffer.from(text) } }) as const,
  );
  const dataSet: DataSet = {
    elements: new Map(elements.map((element) => [element.tag, element])),
    littleEndian: true,
    characterSets: ['ISO_IR 192'],
  };
  const collector = collectIdentifiers(PROFILE_DEFAULT);
  for (const element of elements)
    collector.add(element, RULES(element.tag, { types: undefined, nested: false }), dataSet);
  return createScrubber(collector.found());
}

const PATIENT = scrubberOf([
  [0x00100010, 'PN', "O'Brien-Müller^Siân Eve^^Dr"],
  [0x00100020, 'LO', 'RXQ-88.123/4'],
  [0x00100030, 'DA', '19500704'],
  [0x00101040, 'LO', '12 Larkfield Road, Penarth, CF64 3QT'],
  [0x00102154, 'SH', '+44 29 2070 1234'],
  [0x00080050, 'SH', '77A'],
  [0x00080080, 'LO', 'Royal Gwent Hospital'],
  [0x00080070, 'LO', 'SIEMENS'],
  [0x00081010, 'SH', 'SIEMENS3'],
  [0x00080090, 'PN', 'Li^Wu'],
  [0x00081070, 'PN', '山田^太郎'],
]);

describe("a patient's identifiers", () => {
  for (const [text, scrubbed] of [
    ['seen with OBRIEN MUELLER today', 'seen with _ today'],
    ["sian o'brien-muller", '_ _'],
    ['MULLER, SIAN (OBRIEN)', '_, _ (_)'],
    ['MullerSian', '_'],
    ['Dr Sîan came', 'Dr _ came'],
    ['id rxq 881234 or RXQ88-123-4', 'id _ or _'],
    ['born 4 July 1950', 'born _'],
    ['DOB 04/07/50.', 'DOB _.'],
    ['DOB:1950-07-04', 'DOB:_'],
    ['lives in Larkfield Rd, penarth', 'lives in _ Rd, _'],
    ['call 02920701234 or +442920701234', 'call 02920701234 or _'],
    ['acc 77a, not 77ab', 'acc _, not 77ab'],
    ['at ROYAL GWENT HOSPITAL', 'at _'],
    ['WuLi and Li Wu', '_ and _'],
    ['撮影: 山田 太郎', '撮影: _'],
    ['Mullerian duct', '_ duct'],
  ] as const) {
    test(`are cut out of "${text}"`, () => {
      assert.equal(PATIENT.scrub(text), scrubbed);
    });
  }

  for (const text of [
    'SIEMENS Healthineers',
    'Hospital bed',
    'CT of the chest',
    'evening',
    'liver',
    '1950 ml',
    'T1 MPRAGE 0.9 mm',
    '120',
  ]) {
    test(`are not seen in "${text}"`, () => {
      assert.equal(PATIENT.scrub(text), text);
    });
  }

  test('are found in bytes, as Latin-1, UTF-8 and UTF-16 at odd and even places', () => {
    for (const encoding of ['latin1', 'utf8', 'utf16le'] as const) {
      for (const before of ['', '\0']) {
        const bytes = Buffer.concat([Buffer.from(`${before}\u0001\u0002`), Buffer.from('xx MUELLER yy', encoding)]);
        assert.ok(PATIENT.isIn(bytes), `${encoding} ${before.length}`);
      }
    }
    assert.ok(!PATIENT.isIn(Buffer.from('nothing of the kind')));
  });

  test('are found in text that is given from elsewhere', () => {
    const collector = collectIdentifiers(PROFILE_DEFAULT, ['Zaltbommel', '4857773456']);
    assert.equal(createScrubber(collector.found()).scrub('zaltbommel 485 777 3456 x'), '_ _ x');
  });
});

describe("anybody's identifiers", () => {
  const nobody = createScrubber(new Map());
  for (const [text, scrubbed] of [
    ['mail j.doe+x@nhs.example.uk now', 'mail _ now'],
    ['NHS 943 476 5919', 'NHS _'],
    ['NHS 943 476 5918', 'NHS 943 476 5918'],
    ['from SW1A 1AA', 'from _'],
    ['see 1.3.6.1.4.1.5962.1.2.1.2004 there', 'see _ there'],
    ['version 1.2.3', 'version 1.2.3'],
    ['https://pacs.example/p/1', '_'],
  ] as const) {
    test(`"${text}" becomes "${scrubbed}"`, () => {
      assert.equal(nobody.scrub(text), scrubbed);
    });
  }
});

describe('a cleaned description', () => {
  for (const [text, cleaned] of [
    ['CT Abdomen with contrast, 5 mm', 'CT Abdomen with contrast, 5 mm'],
    ['t1_vibe_fs_tra for Mr Blenkinsop', 't1_vibe_fs_tra for Mr _'],
    ['Seen 12/03/2019 at 10:30', 'Seen _ at 10:30'],
    ['ring 029 2070 1234', 'ring _'],
    ['Blenkinsop', '_'],
    ['_', '_'],
    ['A1234567', 'A_'],
    ['Ünüvar liver', '_ liver'],
  ] as const) {
    test(`keeps of "${text}" what is no person's: "${cleaned}"`, () => {
      assert.equal(knownWordsOf(text), cleaned);
    });
  }
});
