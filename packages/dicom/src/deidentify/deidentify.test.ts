import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { memorySource } from '../byte-source.ts';
import { type DataSet, type Element, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { type Part10File, readPart10 } from '../part10.ts';
import { TAGS, type Tag } from '../tag.ts';
import { createDeidentifier, type DeidentifiedObject, type QuarantinedObject } from './deidentify.ts';
import { outputFile } from './output-file.ts';
import { PROFILE_DEFAULT, parseDeidentificationProfile } from './profile.ts';
import { createRules } from './rules.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');
/** The whole collection of which the fixtures are a part, where it is at hand. */
const COLLECTION = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../../shared/data'),
  'dicom',
);
const RULES = createRules(PROFILE_DEFAULT);
const KEY = Buffer.from('the key of a project, 32 bytes..');
const TAG = {
  sopClass: 0x00080016,
  sopInstance: 0x00080018,
  studyDate: 0x00080020,
  studyTime: 0x00080030,
  accession: 0x00080050,
  patientName: 0x00100010,
  patientId: 0x00100020,
  birthDate: 0x00100030,
  sex: 0x00100040,
  age: 0x00101010,
  identityRemoved: 0x00120062,
  methodCodes: 0x00120064,
  study: 0x0020000d,
  temporal: 0x00280303,
  burnedIn: 0x00280301,
} as const;

function fileOf(name: string): Part10File {
  return readPart10(memorySource(readFileSync(path.join(FIXTURES, name))));
}

async function run(file: Part10File, document: unknown = {}): Promise<DeidentifiedObject | QuarantinedObject> {
  return createDeidentifier({ key: KEY, profile: parseDeidentificationProfile(document) }).deidentify(file);
}

async function released(file: Part10File, document: unknown = {}): Promise<DeidentifiedObject> {
  const outcome = await run(file, document);
  assert.ok(outcome.kind === 'deidentified', outcome.kind === 'quarantined' ? outcome.reasons.join(', ') : '');
  return outcome;
}

const bytesOf = (object: DeidentifiedObject) => Buffer.concat([...outputFile(object)]);
const again = (object: DeidentifiedObject) => readPart10(memorySource(bytesOf(object)));

function pixelsOf({ dataSet, source }: Part10File): Buffer {
  const value = dataSet.elements.get(TAGS.pixelData)?.value;
  assert.ok(value?.kind === 'bytes' || value?.kind === 'range');
  return value.kind === 'bytes' ? value.bytes : source.bytes(value.range.start, value.range.length);
}

function* readable(folder: string): Generator<readonly [string, Part10File]> {
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted()) {
    const file = path.join(folder, entry);
    if (!statSync(file).isFile() || /\.(txt|json|md|py|dump|gz|icc)$/i.test(entry)) continue;
    try {
      yield [entry, readPart10(memorySource(readFileSync(file)))];
    } catch (thrown) {
      assert.ok(thrown instanceof DicomError); // files that the reader refuses are the reader's tests
    }
  }
}

const PERMISSIVE = {
  dates: 'shift',
  patientCharacteristics: 'retain',
  birthDate: 'shift',
  deviceIdentity: 'retain',
  safePrivate: 'retain',
  descriptors: 'clean',
  structuredContent: 'clean',
  graphics: 'clean',
};

describe('a de-identified object', () => {
  test('says truthfully what was done, and nothing more', async () => {
    const { dataSet, report } = await released(fileOf('MR_small.dcm'));
    assert.equal(textOf(dataSet, TAG.identityRemoved), 'YES');
    assert.equal(textOf(dataSet, TAG.temporal), 'MODIFIED');
    assert.deepEqual(report.methodCodes, ['113100', '113107']);
    const codes = dataSet.elements.get(TAG.methodCodes)?.value;
    assert.ok(codes?.kind === 'items');
    assert.deepEqual(
      codes.items.map((item) => textOf(item, 0x00080100)),
      ['113100', '113107'],
    );
    assert.equal(dataSet.elements.has(TAG.burnedIn), false);
    const permissive = await released(fileOf('MR_small.dcm'), {
      ...PERMISSIVE,
      uids: 'retain',
      institutionIdentity: 'retain',
    });
    assert.deepEqual(permissive.report.methodCodes, [
      '113100',
      '113103',
      '113104',
      '113105',
      '113107',
      '113108',
      '113109',
      '113110',
      '113111',
      '113112',
    ]);
    const removed = await released(fileOf('MR_small.dcm'), { dates: 'remove' });
    assert.equal(textOf(removed.dataSet, TAG.temporal), 'REMOVED');
    const full = await released(fileOf('MR_small.dcm'), { dates: 'retain' });
    assert.equal(textOf(full.dataSet, TAG.temporal), 'UNMODIFIED');
    assert.equal(textOf(full.dataSet, TAG.studyDate), '20040826');
  });

  test('has the same pseudonyms as every other of its patient, in names, UIDs and references', async () => {
    const first = await released(fileOf('MR_small.dcm'));
    const second = await released(fileOf('MR_small_RLE.dcm'));
    for (const tag of [TAG.patientName, TAG.patientId, TAG.study, TAG.studyDate])
      assert.equal(textOf(first.dataSet, tag), textOf(second.dataSet, tag));
    const other = await released(fileOf('rtplan.dcm'));
    assert.notEqual(textOf(other.dataSet, TAG.patientId), textOf(first.dataSet, TAG.patientId));
    assert.match(textOf(first.dataSet, TAG.sopInstance) ?? '', /^2\.25\./);
    assert.equal(textOf(first.dataSet, TAG.sopClass), textOf(fileOf('MR_small.dcm').dataSet, TAG.sopClass));
  });

  test('keeps times and intervals while its dates move', async () => {
    const { dataSet } = fileOf('MR_small.dcm');
    const shifted = (await released(fileOf('MR_small.dcm'))).dataSet;
    const day = (one: DataSet, tag: Tag) => {
      const text = textOf(one, tag) ?? '';
      return Date.parse(`${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}`) / 86_400_000;
    };
    const moved = day(shifted, TAG.studyDate) - day(dataSet, TAG.studyDate);
    assert.ok(moved <= -1 && moved >= -1825);
    assert.equal(day(shifted, 0x00080012) - day(dataSet, 0x00080012), moved);
    assert.equal(textOf(shifted, TAG.studyTime), textOf(dataSet, TAG.studyTime));
  });

  test('is blacked out where it was compressed as where it was not, and every other pixel stays', async () => {
    const rule = {
      label: 'corner',
      all: [[{ how: 'equals', field: 'Rows', values: ['64'] }]],
      regions: [[0, 0, 20, 10]],
    };
    const native = fileOf('MR_small.dcm');
    const reference = pixelsOf(again(await released(native, { pixelRules: [rule] })));
    const before = pixelsOf(native);
    const isInside = (at: number) => Math.floor(at / 2) % 64 < 20 && Math.floor(at / 128) < 10;
    assert.ok(before.some((byte, at) => isInside(at) && byte !== reference[at]));
    assert.ok(before.every((byte, at) => isInside(at) || byte === reference[at]));
    for (const name of ['MR_small_RLE.dcm', 'MR_small_jp2klossless.dcm']) {
      const output = again(await released(fileOf(name), { pixelRules: [rule] }));
      assert.equal(output.transferSyntax.uid, '1.2.840.10008.1.2.1');
      assert.equal(output.dataSet.elements.get(TAGS.pixelData)?.vr, 'OW');
      assert.ok(pixelsOf(output).equals(reference), name);
    }
  });

  test('is held back where it lacks the UIDs without which it is no object', async () => {
    const outcome = await run(fileOf('nested_priv_SQ.dcm'));
    assert.ok(outcome.kind === 'quarantined');
    assert.deepEqual(outcome.reasons, ['no-object']);
  });

  test('tells its de-identification once and in the order of tags, also where its elements came in none', async () => {
    const file = fileOf('MR_small.dcm');
    const claim: Element = { tag: TAG.identityRemoved, vr: 'CS', value: { kind: 'bytes', bytes: Buffer.from('NO') } };
    const elements = new Map([...file.dataSet.elements, [claim.tag, claim] as const]); // behind the pixels
    const object = await released({ ...file, dataSet: { ...file.dataSet, elements } });
    assert.equal(textOf(object.dataSet, TAG.identityRemoved), 'YES');
    const tags = [...object.dataSet.elements.keys()];
    assert.deepEqual(
      tags,
      tags.toSorted((one, other) => one - other),
    );
    assert.deepEqual(bytesOf(object), bytesOf(await released(file)));
  });

  test('is left as it is by a second run, byte for byte, whatever the profile', async () => {
    for (const document of [{}, { dates: 'remove' }, PERMISSIVE]) {
      for (const [name, file] of readable(FIXTURES)) {
        const outcome = await run(file, document);
        if (outcome.kind === 'quarantined') continue;
        const second = await released(again(outcome), document);
        assert.ok(bytesOf(second).equals(bytesOf(outcome)), `${name} ${JSON.stringify(document)}`);
      }
    }
  });

  test('keeps what may be kept: 99.8 % of the elements that the table does not name, byte for byte', async () => {
    let [keepable, kept] = [0, 0];
    for (const [, file] of readable(existsSync(COLLECTION) ? COLLECTION : FIXTURES)) {
      const outcome = await run(file, {
        descriptors: 'clean',
        structuredContent: 'clean',
        graphics: 'clean',
        readPixels: 'suspect',
      });
      if (outcome.kind === 'quarantined') continue;
      const names = (textOf(file.dataSet, TAG.patientName) ?? '').toLowerCase().split(/[^a-z0-9]+/);
      const counted = compareKept(
        file.dataSet,
        outcome.dataSet,
        names.filter((part) => part.length > 2),
      );
      keepable += counted.keepable;
      kept += counted.kept;
    }
    assert.ok(keepable > 500, `${keepable}`);
    assert.ok(kept / keepable >= 0.998, `${kept} of ${keepable}`);
  });

  test('carries neither preamble nor meta information of its original', async () => {
    const bytes = readFileSync(path.join(FIXTURES, 'MR_small.dcm'));
    bytes.write('Blenkinsop', 0);
    const object = await released(readPart10(memorySource(bytes)));
    const output = bytesOf(object);
    assert.ok(output.subarray(0, 128).every((byte) => byte === 0));
    const { meta } = readPart10(memorySource(output));
    assert.equal(textOf(meta, 0x00020003), textOf(object.dataSet, TAG.sopInstance));
    assert.equal(textOf(meta, 0x00020016), undefined);
  });
});

const METHOD = 0x00120063; // set anew

/** Elements that table E.1-1 does not name and PS3.6 does, at all depths; free text apart, which is cleaned. */
function compareKept(before: DataSet, after: DataSet, names: readonly string[]): { keepable: number; kept: number } {
  let [keepable, kept] = [0, 0];
  for (const element of before.elements.values()) {
    const { kind, rule } = RULES(element.tag, { types: undefined, nested: false });
    const value = after.elements.get(element.tag)?.value;
    if (kind !== 'keep' || rule !== 'not in E.1-1' || element.tag === METHOD) continue;
    if (element.value.kind === 'items') {
      for (const [index, item] of element.value.items.entries()) {
        const other = value?.kind === 'items' ? value.items[index] : undefined;
        const inside = compareKept(item, other ?? { ...item, elements: new Map() }, names);
        keepable += inside.keepable;
        kept += inside.kept;
      }
      continue;
    }
    // The patient of the collection's test images is called Test, and so is their maker.
    const text = element.value.kind === 'bytes' ? element.value.bytes.toString('latin1').toLowerCase() : '';
    if (names.some((name) => text.includes(name))) continue;
    keepable += 1;
    const isSame =
      element.value.kind === 'bytes'
        ? value?.kind === 'bytes' && value.bytes.equals(element.value.bytes)
        : value?.kind === element.value.kind;
    if (isSame) kept += 1;
  }
  return { keepable, kept };
}

describe("a patient's characteristics", () => {
  const withPatient = (age: string, birthDate: string): Part10File => {
    const file = fileOf('MR_small.dcm');
    const elements = new Map(file.dataSet.elements);
    const set = (tag: Tag, vr: 'AS' | 'DA', text: string) =>
      elements.set(tag, { tag, vr, value: { kind: 'bytes', bytes: Buffer.from(text) } });
    set(TAG.age, 'AS', age);
    set(TAG.birthDate, 'DA', birthDate);
    return { ...file, dataSet: { ...file.dataSet, elements } };
  };

  test('are gone by default', async () => {
    const { dataSet } = await released(withPatient('047Y', '19570301'));
    assert.equal(textOf(dataSet, TAG.age), undefined);
    assert.equal(textOf(dataSet, TAG.birthDate), undefined);
    assert.equal(textOf(dataSet, TAG.sex), undefined);
  });

  test('stay when asked for, with the age in days at each study', async () => {
    const { dataSet } = await released(withPatient('047Y', '19570301'), {
      patientCharacteristics: 'retain',
      birthDate: 'shift',
    });
    assert.equal(textOf(dataSet, TAG.age), '047Y');
    assert.equal(textOf(dataSet, TAG.sex), 'F');
    const days = (text = '') => Date.parse(`${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}`) / 86_400_000;
    assert.equal(
      days(textOf(dataSet, TAG.studyDate)) - days(textOf(dataSet, TAG.birthDate)),
      days('20040826') - days('19570301'),
    );
  });

  test('do not tell the very old: ages above 89 are 89, and their birth dates go', async () => {
    const { dataSet } = await released(withPatient('097Y', '19070301'), {
      patientCharacteristics: 'retain',
      birthDate: 'shift',
    });
    assert.equal(textOf(dataSet, TAG.age), '089Y');
    assert.equal(textOf(dataSet, TAG.birthDate), undefined);
    const understated = await released(withPatient('020Y', '19070301'), {
      patientCharacteristics: 'retain',
      birthDate: 'shift',
    });
    assert.equal(textOf(understated.dataSet, TAG.birthDate), undefined);
  });
});

describe('a quarantined object', () => {
  test('comes with its reasons and a report of places, and nothing of its values', async () => {
    const file = fileOf('MR_small.dcm');
    const elements = new Map(file.dataSet.elements);
    elements.set(TAG.burnedIn, { tag: TAG.burnedIn, vr: 'CS', value: { kind: 'bytes', bytes: Buffer.from('YES ') } });
    const outcome = await run({ ...file, dataSet: { ...file.dataSet, elements } });
    assert.ok(outcome.kind === 'quarantined');
    assert.deepEqual(outcome.reasons, ['burned-in-annotation']);
    assert.ok(
      outcome.report.entries.some(({ path: place, action }) => place === '(0010,0010)' && action === 'patient-name'),
    );
    assert.ok(!JSON.stringify(outcome.report).includes('CompressedSamples'));
  });

  test('is one whose icon or profile holds an identifier that cannot be cut out', async () => {
    const file = fileOf('MR_small.dcm');
    const elements = new Map(file.dataSet.elements);
    elements.set(0x00282000, {
      tag: 0x00282000,
      vr: 'OB',
      value: { kind: 'bytes', bytes: Buffer.from('profile of CompressedSamples') },
    });
    const outcome = await run({ ...file, dataSet: { ...file.dataSet, elements } });
    assert.ok(outcome.kind === 'quarantined');
    assert.deepEqual(outcome.reasons, ['identifier-in-binary']);
  });
});
