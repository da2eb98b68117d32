/**
 * De-identified objects beside programs of others: David Clunie's dciodvfy (Debian: dicom3tools) must find no error that it does not
 * find in the original, and Tesseract (Debian: tesseract-ocr) must find text where it is and none where it was blacked out.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import {
  createDeidentifier,
  DicomError,
  type Element,
  findTesseract,
  openFileSource,
  outputFile,
  parseDeidentificationProfile,
  readPart10,
} from '@lantern/dicom';
import { errorsIn, studyErrorCount, verifierMissing } from './dicom-verifier.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const DATA = process.env['LANTERN_DATA_DIR'] ?? path.resolve(ROOT, '../shared/data');
const COLLECTION = existsSync(path.join(DATA, 'dicom')) ? path.join(DATA, 'dicom') : path.join(ROOT, 'fixtures/dicom');
const BURNED_IN = path.join(DATA, 'deid/pseudo-phi/2_ORIGINAL.dcm');
const KEY = Buffer.from('the key of a project, 32 bytes..');

const tesseract = findTesseract();
const readerMissing =
  tesseract === undefined
    ? 'tesseract-ocr is not installed'
    : existsSync(BURNED_IN)
      ? false
      : 'no images with burned-in text at hand';

type Tools = NonNullable<Parameters<typeof createDeidentifier>[0]['tools']>;
const TOOLS: Tools = tesseract === undefined ? {} : { readText: tesseract.read };

async function deidentify(
  file: string,
  document: unknown,
  options: { tools?: Tools; further?: readonly Element[] } = {},
) {
  const source = openFileSource(file);
  const { tools = {}, further = [] } = options;
  const read = readPart10(source);
  const elements = new Map(read.dataSet.elements);
  for (const element of further) elements.set(element.tag, element);
  const deidentifier = createDeidentifier({ key: KEY, profile: parseDeidentificationProfile(document), tools });
  try {
    const outcome = await deidentifier.deidentify({ ...read, dataSet: { ...read.dataSet, elements } });
    return outcome.kind === 'deidentified' ? { ...outcome, bytes: Buffer.concat([...outputFile(outcome)]) } : outcome;
  } finally {
    source.close();
  }
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !/\.(txt|json|md|py|dump|gz|icc)$/i.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .toSorted();
}

/**
 * Not for us to answer: a patient called after a body part, whose removal changes what the verifier expects of a laterality; and an
 * original of which the verifier reads no further than its illegal groups, so that the output is the first it sees the end of.
 */
const EXPLAINED =
  /^rwvm\.dcm: .*Element=<Laterality>|^nested_priv_SQ\.dcm: Error - PixelData has incorrect value length/;

describe('the verifier of DICOM objects', { skip: verifierMissing }, () => {
  for (const [name, document] of Object.entries({
    'the default profile': {},
    'every option': {
      dates: 'remove',
      patientCharacteristics: 'retain',
      safePrivate: 'retain',
      descriptors: 'clean',
      structuredContent: 'clean',
      graphics: 'clean',
    },
  })) {
    test(`finds no error in the output, with ${name}, that it does not find in the input`, async () => {
      const folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-verify-'));
      const worse: string[] = [];
      let verified = 0;
      try {
        for (const file of await filesIn(COLLECTION)) {
          const outcome = await deidentify(file, document).catch((thrown: unknown) => {
            if (thrown instanceof DicomError) return undefined; // no DICOM file, or broken
            throw thrown;
          });
          const before = outcome !== undefined && 'bytes' in outcome ? errorsIn(file) : undefined;
          if (outcome === undefined || !('bytes' in outcome) || before === undefined) continue;
          const output = path.join(folder, 'output.dcm');
          await writeFile(output, outcome.bytes);
          verified += 1;
          for (const [error, count] of errorsIn(output) ?? new Map([['cannot be read', 1]])) {
            if (count > (before.get(error) ?? 0) && !EXPLAINED.test(error))
              worse.push(`${path.basename(file)}: ${error}`);
          }
        }
      } finally {
        await rm(folder, { recursive: true });
      }
      assert.deepEqual(
        worse.filter((error) => !EXPLAINED.test(error)),
        [],
      );
      assert.ok(verified >= 10, `${verified} files`);
    });
  }
});

test('objects of one study stay of one patient, study and series', { skip: verifierMissing }, async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-verify-'));
  try {
    const files = (await filesIn(COLLECTION)).filter((file) => /mri-t1|ct-3slice|MR_small/.test(file));
    const written = await Promise.all(
      files.map(async (file, index) => {
        const outcome = await deidentify(file, {});
        assert.ok('bytes' in outcome, file);
        const output = path.join(folder, `${index}.dcm`);
        await writeFile(output, outcome.bytes);
        return output;
      }),
    );
    assert.ok(written.length >= 4);
    const [before, after] = [studyErrorCount(files), studyErrorCount(written)];
    assert.ok(after <= before, `${after} errors, ${before} before`);
  } finally {
    await rm(folder, { recursive: true });
  }
});

const flagged: Element = { tag: 0x00280301, vr: 'CS', value: { kind: 'bytes', bytes: Buffer.from('YES ') } };
const ruleWith = (region: readonly number[]) => ({
  pixelRules: [
    {
      label: 'top',
      all: [
        [{ how: 'equals', field: 'Rows', values: ['552'] }],
        [{ how: 'equals', field: 'Columns', values: ['394'] }],
      ],
      regions: [region],
    },
  ],
});
const PIXEL_BYTES = 2 * 552 * 394;

describe('a CT with a name burned into its pixels', { skip: readerMissing }, () => {
  test('is held back where every image is read', async () => {
    const outcome = await deidentify(BURNED_IN, { readPixels: 'all' }, { tools: TOOLS });
    assert.ok(outcome.kind === 'quarantined');
    assert.deepEqual(outcome.reasons, ['text-in-pixels']);
  });

  test('is held back by what it declares, where no rule covers it', async () => {
    const outcome = await deidentify(BURNED_IN, {}, { tools: TOOLS, further: [flagged] });
    assert.ok(outcome.kind === 'quarantined');
    assert.deepEqual(outcome.reasons, ['burned-in-annotation']);
  });

  test('is released where a rule covers the text, with every other pixel as it was', async () => {
    const outcome = await deidentify(BURNED_IN, ruleWith([0, 0, 394, 60]), { tools: TOOLS, further: [flagged] });
    assert.ok('bytes' in outcome, 'quarantined');
    assert.ok(outcome.report.methodCodes.includes('113101'));
    const [before, after] = [await readFile(BURNED_IN), outcome.bytes].map((bytes) => bytes.subarray(-PIXEL_BYTES));
    assert.ok(before !== undefined && after !== undefined);
    assert.ok(after.subarray(2 * 394 * 60).equals(before.subarray(2 * 394 * 60)));
    assert.ok(!after.subarray(0, 2 * 394 * 60).equals(before.subarray(0, 2 * 394 * 60)));
    assert.equal(
      new Set(
        after
          .subarray(0, 2 * 394 * 60)
          .toString('hex')
          .match(/..../g),
      ).size,
      1,
    );
  });

  test('is held back where the rule misses the text', async () => {
    const outcome = await deidentify(BURNED_IN, ruleWith([0, 492, 394, 60]), { tools: TOOLS, further: [flagged] });
    assert.ok(outcome.kind === 'quarantined');
    assert.deepEqual(outcome.reasons, ['text-in-pixels']);
  });

  test('is held back where there is no reader to check the rule', async () => {
    const outcome = await deidentify(BURNED_IN, ruleWith([0, 0, 394, 60]), { further: [flagged] });
    assert.ok(outcome.kind === 'quarantined');
    assert.deepEqual(outcome.reasons, ['burned-in-annotation', 'no-reader']);
  });
});

test('images without text pass the reader: at most one of twenty is held back', {
  skip:
    readerMissing ||
    (!COLLECTION.startsWith(DATA) && 'the collection is not at hand (LANTERN_DATA_DIR names its folder)'),
}, async () => {
  const files = [
    ...(await filesIn(path.join(COLLECTION, 'mri-t1'))),
    ...(await filesIn(path.join(COLLECTION, 'dcmqi/segmentations/ct-3slice'))),
  ];
  let heldBack = 0;
  for (const file of files) {
    const outcome = await deidentify(file, { readPixels: 'all' }, { tools: TOOLS });
    if (outcome.kind === 'quarantined') heldBack += 1;
  }
  assert.ok(files.length >= 24);
  assert.ok(heldBack / files.length <= 0.05, `${heldBack} of ${files.length}`);
});
