import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { memorySource } from '../src/byte-source.ts';
import { createDeidentifier } from '../src/deidentify/deidentify.ts';
import { outputFile } from '../src/deidentify/output-file.ts';
import { parseDeidentificationProfile } from '../src/deidentify/profile.ts';
import { createPseudonyms } from '../src/deidentify/pseudonyms.ts';
import type { DeidentificationReport } from '../src/deidentify/report.ts';
import { readPart10 } from '../src/part10.ts';
import { newSeed, type PlantedObject, plantedObject, SOP_CLASSES } from './planted-objects.ts';
import { waysFound } from './token-search.ts';

const OBJECT_COUNT = 540; // twenty of each SOP class
const KIND_COUNT_MIN = 300;
const KEY = Buffer.from('the key of a project with 32 bytes');
const SEED = Number(process.env['LANTERN_SEED'] ?? newSeed());

/** Thirty-nine digits of a keyed hash: among half a million of them some date of eight digits turns up by chance now and then. */
const MADE_UID = /2\.25\.\d{36,39}/g;

const DAYS_BETWEEN_DATES_MAX = 20;
const PSEUDONYMS = createPseudonyms(KEY);
const daysOf = (patientId: string) => PSEUDONYMS.dateShiftDays(patientId, 1825);

const PROFILES = {
  'the default profile': {},
  'the Basic Profile alone': { dates: 'remove' },
  'every option that keeps or cleans': {
    dates: 'shift',
    patientCharacteristics: 'retain',
    safePrivate: 'retain',
    descriptors: 'clean',
    structuredContent: 'clean',
    graphics: 'clean',
  },
} as const;

describe(`identifiers planted with LANTERN_SEED=${SEED}`, () => {
  const kinds = new Set<string>();

  for (const [name, document] of Object.entries(PROFILES)) {
    test(`are in no byte of what comes out with ${name}`, async () => {
      const leaks = new Map<string, string>();
      for (const { object, file, report } of await outputsWith(document)) {
        const bytes = Buffer.concat([file, Buffer.from(JSON.stringify(report))]);
        const withoutMadeUids = Buffer.from(bytes.toString('latin1').replace(MADE_UID, '2.25.'), 'latin1');
        for (const planted of object.planted) {
          kinds.add(planted.kind);
          const ways = waysFound(/^\d+$/.test(planted.text) ? withoutMadeUids : bytes, planted);
          const isDate = /^\d{8}$/.test(planted.text);
          if (isDate && daysOf(object.patientId) < DAYS_BETWEEN_DATES_MAX) continue; // another date may have become this one
          if (ways.length > 0) leaks.set(`${planted.kind}: ${ways.join(', ')}`, object.name);
        }
      }
      assert.deepEqual(
        [...leaks].map(([kind, object]) => `${kind} in ${object}`),
        [],
      );
    });
  }

  for (const [name, document] of Object.entries(PROFILES)) {
    test(`are gone after one run with ${name}: a second one changes no byte of any object`, async () => {
      const again = createDeidentifier({ key: KEY, profile: parseDeidentificationProfile(document) });
      const changed: string[] = [];
      for (const { object, file } of await outputsWith(document)) {
        const outcome = await again.deidentify(readPart10(memorySource(file)));
        if (outcome.kind !== 'deidentified') changed.push(`${object.name}: ${outcome.reasons.join(' ')}`);
        else if (!Buffer.concat([...outputFile(outcome)]).equals(file)) changed.push(object.name);
      }
      assert.deepEqual(changed, []);
    });
  }

  test(`are of at least ${KIND_COUNT_MIN} kinds, in twenty SOP classes and more, and the search finds each of them before`, () => {
    assert.ok(kinds.size >= KIND_COUNT_MIN, `${kinds.size} kinds`);
    assert.ok(SOP_CLASSES.length >= 20);
    for (let index = 0; index < OBJECT_COUNT; index += 9) {
      const object = plantedObject(SEED, index);
      assert.ok(object.planted.length > 60, object.name);
      for (const planted of object.planted) assert.notDeepEqual(waysFound(object.bytes, planted), [], planted.kind);
    }
  });

  test('belong, nearly all, to patients whose dates move by more days than lie between any two of theirs', () => {
    const days = Array.from({ length: OBJECT_COUNT }, (_, index) => daysOf(plantedObject(SEED, index).patientId));
    assert.ok(days.filter((count) => count < DAYS_BETWEEN_DATES_MAX).length < OBJECT_COUNT / 20);
  });
});

type Output = { readonly object: PlantedObject; readonly file: Buffer; readonly report: DeidentificationReport };

const outputs = new Map<object, readonly Output[]>();

/** What comes out of every object with a profile; worked out once. */
async function outputsWith(document: object): Promise<readonly Output[]> {
  const known = outputs.get(document);
  if (known !== undefined) return known;
  const deidentifier = createDeidentifier({ key: KEY, profile: parseDeidentificationProfile(document) });
  const made: Output[] = [];
  for (let index = 0; index < OBJECT_COUNT; index += 1) {
    const object = plantedObject(SEED, index);
    const outcome = await deidentifier.deidentify(readPart10(memorySource(object.bytes)));
    assert.ok(outcome.kind === 'deidentified', object.name);
    made.push({ object, file: Buffer.concat([...outputFile(outcome)]), report: outcome.report });
  }
  outputs.set(document, made);
  return made;
}
