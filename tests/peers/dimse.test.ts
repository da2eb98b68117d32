/** Both sides of our DICOM network beside DCMTK 3.6 and Orthanc 1.10, over loopback. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import {
  type AssociationOptions,
  type Destination,
  dicomJson,
  fetchingContext,
  identifierContext,
  identifierOf,
  instanceOfFile,
  openAssociation,
  openFileSource,
  readPart10,
  SOP_CLASSES,
  STATUS,
  STORAGE_COMMITMENT_INSTANCE,
  sequenceElement,
  storingContexts,
  textElement,
} from '@lantern/dicom';
import { createTestAuthority } from '../journey/test-certificate.ts';
import { dicomProgramsMissing, freePort, run, startPeer } from './dicom-programs.ts';
import { type FolderArchive, startFolderArchive, textIn } from './folder-archive.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures/dicom');
const fixture = (name: string) => path.join(FIXTURES, name);
const MR_STUDY = '1.3.6.1.4.1.5962.1.2.4.20040826185059.5457';
const MR = '1.2.840.10008.5.1.4.1.1.4';
const EXPLICIT = '1.2.840.10008.1.2.1';
const RLE = '1.2.840.10008.1.2.5';
/** One file for each way of coding pixels that our fixtures have, an SR document and a plan. */
const SENT = [
  'MR_small.dcm',
  'MR_small_RLE.dcm',
  'MR_small_jp2klossless.dcm',
  'MR_small_bigendian.dcm',
  'MR_small_implicit.dcm',
  'reportsi.dcm',
  'rtplan.dcm',
];

async function folderFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-dimse-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function archiveFor(
  t: TestContext,
  options: Parameters<typeof startFolderArchive>[1] = {},
): Promise<FolderArchive> {
  const archive = await startFolderArchive(await folderFor(t), options);
  t.after(() => archive.server.close(0));
  return archive;
}

/** What a file says: its elements but for group lengths and padding, which writers drop, and a digest of its pixels as coded. */
function contentOf(file: string) {
  const source = openFileSource(file);
  try {
    const { dataSet, transferSyntax, source: body } = readPart10(source);
    const elements = Object.entries(dicomJson(dataSet)).filter(([tag]) => !tag.endsWith('0000') && tag !== 'FFFCFFFC');
    const value = dataSet.elements.get(0x7fe00010)?.value;
    const pixels = createHash('sha256');
    if (value?.kind === 'bytes') pixels.update(value.bytes);
    if (value?.kind === 'range') pixels.update(body.bytes(value.range.start, value.range.length));
    if (value?.kind === 'fragments') {
      for (const { start, length } of value.fragments) pixels.update(body.bytes(start, length));
    }
    return { transferSyntax: transferSyntax.uid, elements, pixels: pixels.digest('hex') };
  } finally {
    source.close();
  }
}

/** Copies of one image, each an instance of its own in the same series. */
async function seriesOf(t: TestContext, count: number): Promise<string[]> {
  const folder = await folderFor(t);
  const files = Array.from({ length: count }, (_, index) => path.join(folder, `${index}.dcm`));
  for (const file of files) await copyFile(fixture('MR_small.dcm'), file);
  const { exitCode, output } = await run('dcmodify', ['--no-backup', '--gen-inst-uid', ...files]);
  assert.equal(exitCode, 0, output);
  return files;
}

function association(port: number, options: Partial<AssociationOptions> = {}) {
  return openAssociation({
    host: '127.0.0.1',
    port,
    calledAe: 'PEER',
    callingAe: 'LANTERN',
    contexts: [identifierContext(SOP_CLASSES.verification)],
    ...options,
  });
}

async function storeAll(port: number, files: readonly string[]): Promise<void> {
  const instances = files.map(instanceOfFile);
  const client = await association(port, { contexts: storingContexts(instances) });
  for (const instance of instances) assert.deepEqual(await client.store(instance), { status: STATUS.success });
  await client.release();
}

const study = identifierOf([textElement('QueryRetrieveLevel', 'STUDY'), textElement('StudyInstanceUID', MR_STUDY)]);

describe('our server', { skip: dicomProgramsMissing }, () => {
  for (const noDelay of [false, true]) {
    const title = noDelay ? 'with TCP_NODELAY' : 'as it comes';
    test(`answers echoscu, storescu and dcmsend ${title}, and keeps what they send as they send it`, async (t) => {
      const archive = await archiveFor(t);
      const address = ['127.0.0.1', String(archive.server.port)];
      const echoed = await run('echoscu', address, { noDelay });
      assert.equal(echoed.exitCode, 0, echoed.output);
      const sent = SENT.map(fixture);
      const result = await run('dcmsend', ['--decompress-never', ...address, ...sent], { noDelay });
      assert.equal(result.exitCode, 0, result.output);
      assert.equal(archive.stored.length, sent.length, result.output);
      const stored = archive.stored.map(({ file }) => JSON.stringify(contentOf(file))).toSorted();
      // dcmsend proposes other syntaxes beside big endian and implicit, and recodes what is accepted first.
      const expected = sent.map((file) => contentOf(file));
      const syntaxes = archive.stored.map(({ file }) => contentOf(file).transferSyntax);
      assert.ok(syntaxes.includes(RLE) && syntaxes.includes('1.2.840.10008.1.2.4.90'), syntaxes.join());
      for (const { pixels, transferSyntax } of expected) {
        if (transferSyntax === '1.2.840.10008.1.2.2') continue;
        assert.ok(
          stored.some((one) => one.includes(pixels)),
          transferSyntax,
        );
      }
      const again = await run('storescu', [...address, fixture('MR_small.dcm')], { noDelay });
      assert.equal(again.exitCode, 0, again.output);
      assert.deepEqual(contentOf(archive.stored.at(-1)?.file ?? ''), contentOf(fixture('MR_small.dcm')));
      assert.deepEqual(archive.problems, []);
    });
  }

  test('answers echoscu, storescu and findscu over TLS, and refuses who has no certificate where it wants one', async (t) => {
    const authority = createTestAuthority('hospital');
    const { keyPem, certPem } = authority.issue('archive');
    const client = authority.issue('scanner');
    const folder = await folderFor(t);
    const [ca, key, cert] = ['ca.pem', 'key.pem', 'cert.pem'].map((name) => path.join(folder, name));
    assert.ok(ca !== undefined && key !== undefined && cert !== undefined);
    await writeFile(ca, authority.certPem);
    await writeFile(key, client.keyPem);
    await writeFile(cert, client.certPem);
    const names: (string | undefined)[] = [];
    const archive = await archiveFor(t, {
      tls: { key: keyPem, cert: certPem, clientCa: authority.certPem },
      admit: async ({ certificateName }) => {
        names.push(certificateName);
        return 'accepted';
      },
    });
    const port = String(archive.server.port);
    const tls = ['+tls', key, cert, '+cf', ca];
    for (const noDelay of [false, true]) {
      for (const [program, ...args] of [
        ['echoscu', ...tls, '127.0.0.1', port],
        ['storescu', ...tls, '127.0.0.1', port, fixture('MR_small.dcm')],
        ['findscu', '-S', '-k', 'QueryRetrieveLevel=STUDY', '-k', 'StudyInstanceUID', ...tls, '127.0.0.1', port],
      ] as const) {
        const { exitCode, output } = await run(program, args, { noDelay });
        assert.equal(exitCode, 0, output);
      }
    }
    assert.deepEqual(new Set(names), new Set(['scanner']));
    const anonymous = await run('echoscu', ['+tla', '+cf', ca, '127.0.0.1', port]);
    assert.notEqual(anonymous.exitCode, 0);
    assert.equal(archive.stored.length, 2);
    const ours = await association(archive.server.port, {
      tls: { ca: authority.certPem, key: client.keyPem, cert: client.certPem },
    });
    assert.equal((await ours.echo()).status, STATUS.success);
    await ours.release();
    const untrusted = createTestAuthority('stranger').certPem;
    await assert.rejects(association(archive.server.port, { tls: { ca: untrusted } }), /not reached/);
  });

  test('answers findscu, getscu and movescu', async (t) => {
    const destinations: Record<string, Destination> = {};
    const archive = await archiveFor(t, { destinations });
    const port = String(archive.server.port);
    const series = await seriesOf(t, 5);
    await storeAll(archive.server.port, [...series, fixture('reportsi.dcm')]);
    const keys = ['-S', '-k', 'QueryRetrieveLevel=STUDY', '-k'];
    for (const noDelay of [false, true]) {
      const found = await run('findscu', [...keys, 'StudyInstanceUID', '127.0.0.1', port], { noDelay });
      assert.equal(found.output.match(/\(0020,000d\) UI/gi)?.length, 2, found.output);

      const got = await folderFor(t);
      const one = `StudyInstanceUID=${MR_STUDY}`;
      const get = await run('getscu', [...keys, one, '-od', got, '127.0.0.1', port], { noDelay });
      assert.equal(get.exitCode, 0, get.output);
      assert.equal((await readdir(got)).length, 5, get.output);

      const moved = await folderFor(t);
      const incoming = await freePort();
      destinations['MOVER'] = { host: '127.0.0.1', port: incoming, calledAe: 'MOVER', callingAe: 'LANTERN' };
      const move = ['-aet', 'MOVER', '-aem', 'MOVER', '--port', String(incoming), '-od', moved];
      const result = await run('movescu', [...keys, one, ...move, '127.0.0.1', port], { noDelay });
      assert.equal(result.exitCode, 0, result.output);
      assert.equal((await readdir(moved)).length, 5, result.output);
    }
    assert.deepEqual(archive.problems, []);
  });
});

type Peer = { readonly port: number; readonly archive: FolderArchive };

/** What every archive has to be able to do for us, whoever made it. `archive` is where it sends what is moved to LANTERN. */
async function assertServes({ port, archive }: Peer, series: readonly string[]): Promise<void> {
  const client = await association(port);
  assert.equal((await client.echo()).status, STATUS.success);
  await client.release();
  await storeAll(port, series);

  const asking = await association(port, {
    contexts: [SOP_CLASSES.studyRootFind, SOP_CLASSES.studyRootMove].map(identifierContext),
  });
  const found: string[] = [];
  for await (const match of asking.find(study, { sopClass: SOP_CLASSES.studyRootFind })) {
    found.push(textIn(match, '0020000D'));
  }
  assert.deepEqual(found, [MR_STUDY]);
  const moved = await asking.move(study, { sopClass: SOP_CLASSES.studyRootMove, destination: 'LANTERN' });
  assert.deepEqual([moved.status, moved.completed, moved.failed], [STATUS.success, series.length, 0]);
  await asking.release();
  const contents = (files: readonly string[]) => files.map((file) => JSON.stringify(contentOf(file))).toSorted();
  assert.deepEqual(contents(archive.stored.map(({ file }) => file)), contents(series));

  let bytes = 0;
  const fetching = await association(port, {
    contexts: [identifierContext(SOP_CLASSES.studyRootGet), fetchingContext(MR, [EXPLICIT])],
    handlers: {
      async onStore({ dataSet }) {
        for await (const piece of dataSet) bytes += piece.byteLength;
        return { status: STATUS.success };
      },
    },
  });
  const got = await fetching.get(study, { sopClass: SOP_CLASSES.studyRootGet });
  assert.deepEqual([got.status, got.completed, got.failed], [STATUS.success, series.length, 0]);
  assert.ok(bytes > series.length * 8192, `${bytes} bytes`);
  await fetching.release();
}

describe('our client', { skip: dicomProgramsMissing }, () => {
  test('echoes, stores, queries, moves and gets with dcmqrscp', async (t) => {
    const archive = await archiveFor(t);
    const folder = await folderFor(t);
    await mkdir(path.join(folder, 'PEER'));
    const port = await freePort();
    const configuration = path.join(folder, 'dcmqrscp.cfg');
    await writeFile(
      configuration,
      [
        `NetworkTCPPort = ${port}`,
        'MaxPDUSize = 16384',
        'MaxAssociations = 16',
        'HostTable BEGIN',
        `lantern = (LANTERN, 127.0.0.1, ${archive.server.port})`,
        'HostTable END',
        'VendorTable BEGIN',
        'VendorTable END',
        'AETable BEGIN',
        `PEER ${path.join(folder, 'PEER')} RW (200, 1024mb) ANY`,
        'AETable END',
        '',
      ].join('\n'),
    );
    const peer = await startPeer('dcmqrscp', ['--config', configuration], { port, cwd: folder });
    t.after(() => peer.stop());
    await assertServes({ port, archive }, await seriesOf(t, 4));
  });

  test('echoes, stores, queries, moves and gets with Orthanc, which then confirms what it keeps', async (t) => {
    const reports = Promise.withResolvers<{ eventTypeId: number; transaction: string }>();
    const archive = await archiveFor(t, {
      handlers: {
        async onReport({ eventTypeId, information }) {
          const transaction = information === undefined ? '' : textIn(information, '00081195');
          reports.resolve({ eventTypeId, transaction });
          return { status: STATUS.success };
        },
      },
    });
    const folder = await folderFor(t);
    const port = await freePort();
    const configuration = path.join(folder, 'orthanc.json');
    const settings = {
      Name: 'peer',
      StorageDirectory: path.join(folder, 'storage'),
      IndexDirectory: path.join(folder, 'storage'),
      DicomAet: 'PEER',
      DicomPort: port,
      HttpServerEnabled: false,
      DicomAlwaysAllowFind: true,
      DicomAlwaysAllowGet: true,
      DicomAlwaysAllowMove: true,
      DicomModalities: { lantern: ['LANTERN', '127.0.0.1', archive.server.port] },
    };
    await writeFile(configuration, JSON.stringify(settings));
    const peer = await startPeer('Orthanc', [configuration], { port, cwd: folder });
    t.after(() => peer.stop());
    const series = await seriesOf(t, 4);
    await assertServes({ port, archive }, series);

    const client = await association(port, { contexts: [identifierContext(SOP_CLASSES.storageCommitmentPush)] });
    const transaction = '2.25.42';
    const outcome = await client.action(commitment(transaction, series), {
      sopClass: SOP_CLASSES.storageCommitmentPush,
      sopInstance: STORAGE_COMMITMENT_INSTANCE,
      actionTypeId: 1,
    });
    assert.equal(outcome.status, STATUS.success);
    assert.deepEqual(await reports.promise, { eventTypeId: 1, transaction });
    await client.release();
  });
});

/** PS3.4 table J.3-1: the transaction, and a sequence with an item for each instance. */
function commitment(transaction: string, files: readonly string[]) {
  const items = files
    .map(instanceOfFile)
    .map(({ sopClass, sopInstance }) => [
      textElement('ReferencedSOPClassUID', sopClass),
      textElement('ReferencedSOPInstanceUID', sopInstance),
    ]);
  return identifierOf([textElement('TransactionUID', transaction), sequenceElement('ReferencedSOPSequence', items)]);
}
