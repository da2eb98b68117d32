import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { SITE_ROLES, type SiteRole } from '@lantern/contract';
import {
  bytesElement,
  dataSetOf,
  encodeDataSet,
  type Instance,
  numberElement,
  openAssociation,
  storingContexts,
  textElement,
  transferSyntaxOf,
} from '@lantern/dicom';
import { createAccounts, type Database, loadConfig, openTestDatabase, systemClock } from '@lantern/service';
import { ImageNodeConfigSchema, startImageNode } from '@lantern/site';
import { runProgram } from '../cli/program.ts';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const CAPTURE = '1.2.840.10008.5.1.4.1.1.7';
const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const STUDY = '2.25.99';
const WAIT_MS_MAX = 30_000;
/** The UID is taken by other content. */
const TAKEN = 0x0111;

let dir: string;
let database: Database;
let node: Awaited<ReturnType<typeof startImageNode>>;
const tokens = new Map<SiteRole, string>();

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-images-command-'));
  database = await openTestDatabase('images-command');
  const dicom = { port: 0, aeTitles: [{ aeTitle: 'LANTERN', quietMs: 100 }], openHosts: ['127.0.0.1'] };
  const overrides = {
    dataDir: path.join(dir, 'node'),
    databaseUrl: database.url,
    freeBytesMin: 0,
    logLevel: 'silent',
    dicom,
  };
  node = await startImageNode(loadConfig({ schema: ImageNodeConfigSchema, env: {}, prefix: '', overrides }));
  const accounts = createAccounts({ db: database, clock: systemClock, roles: SITE_ROLES });
  for (const role of ['governance', 'data-engineer'] as const) {
    const account = { name: `test.${role}`, roles: [role], expiresInMs: 3_600_000 };
    tokens.set(role, await database.transaction(async (tx) => (await accounts.createTokenAccount(account, tx)).token));
  }
  await send([...[1, 2, 3].map(slice), capture()]);
});

after(async () => {
  await node?.close();
  await database?.close();
  await rm(dir, { recursive: true, force: true });
});

async function lantern(role: SiteRole, ...args: string[]) {
  const text = { out: '', err: '' };
  const sink = (key: 'out' | 'err') =>
    Object.assign(
      new Writable({
        write(chunk, _encoding, done) {
          text[key] += String(chunk);
          done();
        },
      }),
      { isTTY: false },
    );
  const code = await runProgram(['images', ...args, '--url', node.url], {
    env: { LANTERN_TOKEN: tokens.get(role) ?? '' },
    stdin: Readable.from([]),
    stdout: sink('out') as never,
    stderr: sink('err') as never,
    signal: new AbortController().signal,
  });
  return { code, ...text };
}

async function answer(role: SiteRole, ...args: string[]) {
  const { code, out, err } = await lantern(role, ...args, '--json');
  assert.equal(code, 0, err);
  return JSON.parse(out);
}

function instanceOf(sopClass: string, sopInstance: string, texts: object, numbers: object, pixels: Buffer): Instance {
  const dataSet = dataSetOf([
    ...Object.entries({
      SOPClassUID: sopClass,
      SOPInstanceUID: sopInstance,
      StudyInstanceUID: STUDY,
      PatientName: 'Doe^Jane',
      PatientID: 'HOSP99',
      Modality: 'CT',
      PhotometricInterpretation: 'MONOCHROME2',
      ...texts,
    }).map(([keyword, text]) => textElement(keyword, text)),
    ...Object.entries({ SamplesPerPixel: 1, PixelRepresentation: 0, ...numbers }).map(([keyword, value]) =>
      numberElement(keyword, value),
    ),
    bytesElement('PixelData', pixels, 'OW'),
  ]);
  const pieces = encodeDataSet(dataSet, transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN));
  return {
    sopClass,
    sopInstance,
    transferSyntax: EXPLICIT_LITTLE_ENDIAN,
    async *open() {
      yield Buffer.concat(pieces.filter((piece) => Buffer.isBuffer(piece)));
    },
  };
}

function slice(number: number): Instance {
  const numbers = {
    ...{ Rows: 2, Columns: 3, BitsAllocated: 16, BitsStored: 16, HighBit: 15 },
    PixelSpacing: [1, 1],
    ImagePositionPatient: [0, 0, number],
    ImageOrientationPatient: [1, 0, 0, 0, 1, 0],
  };
  const pixels = Buffer.from(Uint16Array.from({ length: 6 }, (_, index) => number * 10 + index).buffer);
  return instanceOf(CT, `${STUDY}.1.${number}`, { SeriesInstanceUID: `${STUDY}.1` }, numbers, pixels);
}

function capture(): Instance {
  const numbers = { Rows: 4, Columns: 4, BitsAllocated: 8, BitsStored: 8, HighBit: 7 };
  const texts = { SeriesInstanceUID: `${STUDY}.2`, ConversionType: 'WSD' };
  return instanceOf(CAPTURE, `${STUDY}.2.1`, texts, numbers, Buffer.alloc(16, 9));
}

async function send(instances: readonly Instance[], status = 0): Promise<void> {
  const to = { host: '127.0.0.1', port: node.dicomPort, calledAe: 'LANTERN', callingAe: 'SCANNER' };
  const sender = await openAssociation({ ...to, contexts: storingContexts(instances) });
  for (const instance of instances) assert.equal((await sender.store(instance)).status, status);
  await sender.release();
}

/** Asks until so many images are copied. */
async function waitForCopies(collectionId: string, count: number): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX;
  for (;;) {
    const { collection } = await answer('data-engineer', 'collection', 'status', collectionId);
    if (collection.copies.doneStudies === 1 && collection.copies.copiedInstances === count) return;
    assert.ok(performance.now() < deadline, JSON.stringify(collection.copies));
    await delay(100);
  }
}

describe('lantern images', () => {
  it('leads from the description of a collection to its copies in a folder', async () => {
    const file = path.join(dir, 'collection.json');
    const series = [{ modalities: ['CT'] }];
    const studies = { kind: 'arriving', aeTitles: ['LANTERN'] };
    await writeFile(file, JSON.stringify({ name: 'thorax', profile: {}, series, studies }));
    const { out: previewed } = await lantern('data-engineer', 'preview', STUDY);
    assert.match(previewed, /\(0010,0010\)/);
    assert.match(previewed, /It would be held back: secondary-capture/);
    const { collectionId } = await answer('data-engineer', 'collection', 'create', file);
    const refused = await lantern('data-engineer', 'collection', 'approve', collectionId, '--reason', 'mine');
    assert.match(refused.err, /auth\.forbidden/);
    const { out } = await lantern('governance', 'collection', 'approve', collectionId, '--reason', 'study of chests');
    assert.match(out, /thorax version 1 is approved/);
    await waitForCopies(collectionId, 3);

    const { items } = await answer('governance', 'quarantine', 'list');
    const [{ quarantineId }] = items;
    const picture = path.join(dir, 'held.png');
    const { out: shown } = await lantern('governance', 'quarantine', 'show', quarantineId, '--picture', picture);
    assert.match(shown, /CT, 4 x 4: secondary-capture \(held\)/);
    assert.equal((await readFile(picture)).toString('latin1', 1, 4), 'PNG');
    assert.match(
      (await lantern('governance', 'quarantine', 'release', quarantineId)).err,
      /either --no-text or --region/,
    );
    await answer('governance', 'quarantine', 'release', quarantineId, '--region', '0,0,2,1');
    await waitForCopies(collectionId, 4);

    const to = path.join(dir, 'export');
    const counts = await answer('data-engineer', 'collection', 'export', collectionId, '--to', to, '--volumes');
    assert.deepEqual(counts, { studies: 1, images: 4, volumes: 1 });
    const files = (await readdir(to, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    assert.deepEqual(files.map(({ name }) => path.extname(name)).sort(), [
      '.dcm',
      '.dcm',
      '.dcm',
      '.dcm',
      '.gz',
      '.json',
    ]);
    const manifest = await readFile(path.join(to, 'manifest.json'), 'utf8');
    assert.ok(!manifest.includes('HOSP99') && !manifest.includes(STUDY));

    const { studies: listed } = await answer('governance', 'collection', 'status', collectionId);
    const { out: report } = await lantern('governance', 'collection', 'report', collectionId, listed[0].studyKey);
    assert.match(report, /3 images alike/);
    const { collections } = await answer('data-engineer', 'collection', 'list');
    assert.equal(collections[0].state, 'approved');

    await database.pool.query(`update research_study set state = 'failed', why = 'internal'`);
    const { out: status } = await lantern('governance', 'collection', 'status', collectionId);
    assert.match(status, /1 studies failed; .* lantern images collection retry/);
    assert.equal((await lantern('governance', 'collection', 'retry', collectionId)).code, 77);
    const { copies } = await answer('data-engineer', 'collection', 'retry', collectionId);
    assert.equal(copies.failedStudies, 0);
    await waitForCopies(collectionId, 4);
  });

  it('loads opt-outs, and withdraws a collection', async () => {
    const file = path.join(dir, 'nhs.csv');
    await writeFile(file, '9434765919,\n');
    const { out } = await lantern('governance', 'opt-outs', 'load', 'nhs-numbers', file);
    assert.match(out, /nhs-numbers .* 1/);
    assert.match((await lantern('governance', 'opt-outs', 'status')).out, /Research copies are made\./);
    const { collections } = await answer('governance', 'collection', 'list');
    const id = collections[0].collectionId;
    assert.match((await lantern('governance', 'collection', 'withdraw', id, '--reason', 'over')).out, /is withdrawn/);
  });

  it('shows who says another patient and which UIDs are taken, and resolves the latter', async () => {
    const texts = { SeriesInstanceUID: `${STUDY}.1`, PatientID: 'HOSP77' };
    await send([instanceOf(CT, `${STUDY}.1.7`, texts, {}, Buffer.alloc(2, 7))]);
    const shown = await lantern('data-engineer', 'disagreements');
    assert.match(shown.out, /2\.25\.99 +2\.25\.99\.1\.7 +PatientID/);
    assert.ok(!shown.out.includes('HOSP'));
    await send([instanceOf(CT, `${STUDY}.1.7`, { ...texts, Modality: 'MR' }, {}, Buffer.alloc(2, 8))], TAKEN);
    const { conflicts } = await answer('data-engineer', 'conflicts', 'list');
    const [{ conflictId }] = conflicts;
    assert.match((await lantern('data-engineer', 'conflicts', 'leave', conflictId)).out, /is left as it is/);
    assert.match((await lantern('data-engineer', 'conflicts', 'list')).out, /SCANNER, .* left/);
    assert.match((await lantern('governance', 'conflicts', 'discard', conflictId)).err, /auth\.forbidden/);
    assert.match((await lantern('data-engineer', 'conflicts', 'discard', conflictId)).out, /is resolved/);
    assert.deepEqual((await answer('data-engineer', 'conflicts', 'list')).conflicts, []);
    assert.match((await lantern('data-engineer', 'conflicts', 'discard', conflictId)).err, /not-found/);
    assert.match((await lantern('data-engineer', 'conflicts', 'leave', 'first')).err, /input\.invalid/);
  });
});
