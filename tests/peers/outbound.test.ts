/** What we ask of others, beside Orthanc 1.10 and DCMTK 3.6 over loopback: the command line, pulls, storage commitment, a worklist. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import type { NewPull, PullEntry } from '@lantern/contract';
import { type Instance, instanceOfFile, openFileSource, readPart10, textOf } from '@lantern/dicom';
import { runProgram } from '../../packages/lantern/src/cli/program.ts';
import { OWN_AE, startTestImaging, type TestImaging } from '../../packages/site/test/imaging-harness.ts';
import { createTestAuthority } from '../journey/test-certificate.ts';
import { dicomProgramsMissing, freePort, run, startPeer } from './dicom-programs.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures/dicom');
const PEER_AE = 'PEER';
const WAIT_MS = 60_000;

async function folderFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-outbound-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Another process or its database: nothing tells us when it has come so far. */
async function eventually<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const deadlineMs = performance.now() + WAIT_MS;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    assert.ok(performance.now() < deadlineMs, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** As many studies as `accessions`, each of `count` images in one series. */
async function studiesOf(t: TestContext, accessions: readonly string[], count: number): Promise<string[][]> {
  const folder = await folderFor(t);
  const studies: string[][] = [];
  for (const [index, accession] of accessions.entries()) {
    const files = Array.from({ length: count }, (_, image) => path.join(folder, `${index}-${image}.dcm`));
    for (const file of files) await copyFile(path.join(FIXTURES, 'MR_small.dcm'), file);
    const study = `2.25.90.${index}`;
    const changes = [
      `(0008,0050)=${accession}`,
      `(0020,000d)=${study}`,
      `(0020,000e)=${study}.1`,
      `(0010,0020)=P${index}`,
    ];
    const args = ['--no-backup', '--gen-inst-uid', ...changes.flatMap((change) => ['-i', change]), ...files];
    const { exitCode, output } = await run('dcmodify', args);
    assert.equal(exitCode, 0, output);
    studies.push(files);
  }
  return studies;
}

/** The pixels and the UID of a file: what has to come through whoever encodes it anew. */
function contentOf(file: string): string {
  const source = openFileSource(file);
  try {
    const { dataSet } = readPart10(source, Number.POSITIVE_INFINITY);
    const pixels = dataSet.elements.get(0x7fe00010)?.value;
    const digest = createHash('sha256');
    if (pixels?.kind === 'bytes') digest.update(pixels.bytes);
    return `${textOf(dataSet, 0x00080018)} ${textOf(dataSet, 0x00080050)} ${digest.digest('hex')}`;
  } finally {
    source.close();
  }
}

const contents = (files: readonly string[]) => files.map(contentOf).toSorted();

async function filesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => name.endsWith('.dcm')).map((name) => path.join(folder, name));
}

async function lantern(...args: string[]) {
  const text = { out: '', err: '' };
  const sinkOf = (key: 'out' | 'err') =>
    new Writable({
      write: (chunk, _, done) => {
        text[key] += String(chunk);
        done();
      },
    }) as never;
  const streams = { stdin: new PassThrough(), stdout: sinkOf('out'), stderr: sinkOf('err') };
  const code = await runProgram(['dicom', ...args, '--json'], {
    env: {},
    signal: new AbortController().signal,
    ...streams,
  });
  return { code, ...text };
}

type Archive = { readonly port: number; readonly folder: string };

async function startDcmqrscp(t: TestContext, ourPort: number): Promise<Archive> {
  const folder = await folderFor(t);
  await mkdir(path.join(folder, PEER_AE));
  const port = await freePort();
  const configuration = path.join(folder, 'dcmqrscp.cfg');
  const lines = [
    `NetworkTCPPort = ${port}`,
    'MaxPDUSize = 16384',
    'MaxAssociations = 16',
    'HostTable BEGIN',
    `lantern = (${OWN_AE}, 127.0.0.1, ${ourPort})`,
    'HostTable END',
    'VendorTable BEGIN',
    'VendorTable END',
    'AETable BEGIN',
    `${PEER_AE} ${path.join(folder, PEER_AE)} RW (200, 1024mb) ANY`,
    'AETable END',
    '',
  ];
  await writeFile(configuration, lines.join('\n'));
  const peer = await startPeer('dcmqrscp', ['--config', configuration], { port, cwd: folder });
  t.after(() => peer.stop());
  return { port, folder };
}

type Orthanc = Archive & { rest(method: 'GET' | 'POST', resource: string, body?: unknown): Promise<unknown> };

async function startOrthanc(t: TestContext, ourPort: number, port?: number): Promise<Orthanc> {
  const folder = await folderFor(t);
  const [dicomPort, httpPort] = [port ?? (await freePort()), await freePort()];
  const configuration = path.join(folder, 'orthanc.json');
  const settings = {
    Name: 'peer',
    StorageDirectory: path.join(folder, 'storage'),
    IndexDirectory: path.join(folder, 'index'),
    MaximumStorageCacheSize: 0,
    DicomAet: PEER_AE,
    DicomPort: dicomPort,
    HttpPort: httpPort,
    RemoteAccessAllowed: false,
    AuthenticationEnabled: false,
    DicomAlwaysAllowFind: true,
    DicomAlwaysAllowGet: true,
    DicomAlwaysAllowMove: true,
    DicomModalities: { lantern: [OWN_AE, '127.0.0.1', ourPort] },
  };
  await writeFile(configuration, JSON.stringify(settings));
  const peer = await startPeer('Orthanc', [configuration], { port: dicomPort, cwd: folder });
  t.after(() => peer.stop());
  return {
    port: dicomPort,
    folder,
    async rest(method, resource, body) {
      const request = { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
      const response = await fetch(`http://127.0.0.1:${httpPort}${resource}`, request);
      const text = await response.text();
      assert.ok(response.ok, `${resource}: ${response.status} ${text}`);
      return JSON.parse(text);
    },
  };
}

describe('the command line', { skip: dicomProgramsMissing }, () => {
  for (const [name, start, associations] of [
    // Its processes, one for each association, overwrite each other's files.
    ['dcmqrscp', startDcmqrscp, '1'],
    ['Orthanc', startOrthanc, '3'],
  ] as const) {
    test(`echoes, sends, finds, and pulls by C-GET and C-MOVE with ${name}`, async (t) => {
      const movePort = await freePort();
      const { port } = await start(t, movePort);
      const peer = [`127.0.0.1:${port}`, '--called-ae', PEER_AE];
      const echoed = await lantern('echo', ...peer);
      assert.equal(echoed.code, 0, echoed.err);

      const [first = [], second = []] = await studiesOf(t, ['ACC-1', 'ACC-2'], 5);
      const [one = ''] = first;
      const sent = await lantern('send', ...peer, path.dirname(one), '--associations', associations);
      assert.equal(sent.code, 0, sent.out);
      assert.deepEqual([JSON.parse(sent.out).sent, JSON.parse(sent.out).failed], [10, []]);

      const found = await lantern('find', ...peer, '-k', 'AccessionNumber=ACC-2');
      const matches: Record<string, { Value?: string[] }>[] = JSON.parse(found.out).matches;
      assert.deepEqual(
        matches.map((match) => match['0020000D']?.Value),
        [['2.25.90.1']],
      );

      for (const [method, options] of [
        ['C-GET', []],
        ['C-MOVE', ['--move-port', String(movePort), '--move-host', '127.0.0.1']],
      ] as const) {
        const folder = await folderFor(t);
        const pull = (...values: string[]) => lantern('pull', ...peer, ...options, folder, ...values);
        const pulled = await pull('ACC-1', 'ACC-404', 'ACC-2');
        assert.equal(pulled.code, 1, `${method}: ${pulled.out}`);
        const states = JSON.parse(pulled.out).entries.map(({ state }: { state: string }) => state);
        assert.deepEqual(states, ['done', 'not-found', 'done'], `${method}: ${pulled.out}`);
        const files = await filesIn(folder);
        assert.deepEqual(contents(files), contents([...first, ...second]), method);
        const [lost = ''] = files;
        await rm(lost);
        const resumed = await pull('ACC-1', 'ACC-2');
        assert.equal(resumed.code, 0, `${method}: ${resumed.out}`);
        assert.equal(JSON.parse(resumed.out).instanceCount, 1, 'only what was missing came');
        assert.deepEqual(contents(await filesIn(folder)), contents([...first, ...second]), method);
      }
    });
  }

  test('sends over TLS to storescp, and to nobody whose certificate it does not trust', async (t) => {
    const folder = await folderFor(t);
    const authority = createTestAuthority('hospital');
    const { keyPem, certPem } = authority.issue('archive');
    const [key = '', cert = '', ca = '', otherCa = ''] = ['key', 'cert', 'ca', 'other'].map((name) =>
      path.join(folder, `${name}.pem`),
    );
    await writeFile(key, keyPem);
    await writeFile(cert, certPem);
    await writeFile(ca, authority.certPem);
    await writeFile(otherCa, createTestAuthority('somebody').certPem);
    const port = await freePort();
    await mkdir(path.join(folder, 'stored'));
    const args = ['+tls', key, cert, '+cf', ca, '-ic', '-od', path.join(folder, 'stored'), String(port)];
    const peer = await startPeer('storescp', args, { port, cwd: folder });
    t.after(() => peer.stop());
    const send = (trusted: string) =>
      lantern('send', `127.0.0.1:${port}`, '--tls', '--ca', trusted, path.join(FIXTURES, 'MR_small.dcm'));
    const sent = await send(ca);
    assert.equal(sent.code, 0, sent.out + sent.err);
    assert.equal((await readdir(path.join(folder, 'stored'))).length, 1);
    assert.equal((await send(otherCa)).code, 1);
    assert.equal((await readdir(path.join(folder, 'stored'))).length, 1);
  });

  test('reads the worklist of wlmscpfs', async (t) => {
    const folder = await folderFor(t);
    await mkdir(path.join(folder, 'RIS'));
    await writeFile(path.join(folder, 'RIS', 'lockfile'), '');
    const planned = [
      ['ACC-7', 'CT', '20260302'],
      ['ACC-8', 'MR', '20260303'],
    ] as const;
    for (const [accession, modality, date] of planned) {
      const text = path.join(folder, `${accession}.txt`);
      await writeFile(text, worklistDump(accession, modality, date));
      const { exitCode, output } = await run('dump2dcm', [text, path.join(folder, 'RIS', `${accession}.wl`)]);
      assert.equal(exitCode, 0, output);
    }
    const port = await freePort();
    const peer = await startPeer('wlmscpfs', ['-dfp', folder, String(port)], { port, cwd: folder });
    t.after(() => peer.stop());
    const ask = (...options: string[]) => lantern('worklist', `127.0.0.1:${port}`, '--called-ae', 'RIS', ...options);
    const accessions = ({ out }: { out: string }) =>
      JSON.parse(out).entries.map((entry: Record<string, string>) => [
        entry['AccessionNumber'],
        entry['Modality'],
        entry['PatientName'],
      ]);
    const all = await ask();
    assert.equal(all.code, 0, all.err);
    assert.deepEqual(accessions(all).toSorted(), [
      ['ACC-7', 'CT', 'Grey^Meredith'],
      ['ACC-8', 'MR', 'Grey^Meredith'],
    ]);
    assert.deepEqual(accessions(await ask('--modality', 'MR')), [['ACC-8', 'MR', 'Grey^Meredith']]);
    assert.deepEqual(accessions(await ask('--date', '20260301-20260302')), [['ACC-7', 'CT', 'Grey^Meredith']]);
  });
});

function worklistDump(accession: string, modality: string, date: string): string {
  return [
    `(0008,0050) SH [${accession}]`,
    '(0008,0090) PN [Webber^Richard]',
    '(0010,0010) PN [Grey^Meredith]',
    '(0010,0020) LO [4711]',
    '(0010,0030) DA [19780101]',
    '(0010,0040) CS [F]',
    `(0020,000d) UI [2.25.80.${accession.slice(4)}]`,
    '(0032,1060) LO [Chest]',
    '(0040,0100) SQ',
    '(fffe,e000) na',
    `(0008,0060) CS [${modality}]`,
    '(0040,0001) AE [SCANNER]',
    `(0040,0002) DA [${date}]`,
    '(0040,0003) TM [081500]',
    '(0040,0007) LO [Chest]',
    '(0040,0009) SH [S1]',
    '(fffe,e00d) na',
    '(fffe,e0dd) na',
    '(0040,1001) SH [R1]',
    '',
  ].join('\n');
}

/** A node of ours and Orthanc, each knowing where the other listens. */
async function startPair(t: TestContext, name: string): Promise<{ node: TestImaging; orthanc: Orthanc }> {
  const port = await freePort();
  const peers = [{ aeTitle: PEER_AE, hosts: ['127.0.0.1'], port, mayQuery: true }];
  const node = await startTestImaging({ name, settings: { peers } });
  t.after(() => node.close());
  return { node, orthanc: await startOrthanc(t, node.port, port) };
}

describe('our site', { skip: dicomProgramsMissing }, () => {
  test('confirms to Orthanc what it keeps of what Orthanc sent, and says what it does not', async (t) => {
    const { node, orthanc } = await startPair(t, 'outbound-commitment');
    const [files = []] = await studiesOf(t, ['ACC-1'], 3);
    const sent = await lantern('send', `127.0.0.1:${orthanc.port}`, '--called-ae', PEER_AE, ...files);
    assert.equal(sent.code, 0, sent.out);
    const ids = await orthanc.rest('GET', '/instances');
    await orthanc.rest('POST', '/modalities/lantern/store', ids);

    type Commitment = { Status: string; Success: { SOPInstanceUID: string }[]; Failures: { SOPInstanceUID: string }[] };
    const commit = async (body: object) => {
      const { ID } = (await orthanc.rest('POST', '/modalities/lantern/storage-commitment', body)) as { ID: string };
      return eventually('the report', async () => {
        const commitment = (await orthanc.rest('GET', `/storage-commitment/${ID}`)) as Commitment;
        return commitment.Status === 'Pending' ? undefined : commitment;
      });
    };
    const uids = files.map((file) => instanceOfFile(file).sopInstance).toSorted();
    const whole = await commit({ Resources: ids });
    assert.equal(whole.Status, 'Success', JSON.stringify(whole));
    assert.deepEqual(whole.Success.map(({ SOPInstanceUID }) => SOPInstanceUID).toSorted(), uids);

    const [lost = ''] = uids;
    const { rows } = await node.database.pool.query('select file from image_instance where sop_instance_uid = $1', [
      lost,
    ]);
    await rm(node.imaging.archive.files.pathOf(rows[0].file));
    const partly = await commit({ Resources: ids });
    assert.equal(partly.Status, 'Failure', JSON.stringify(partly));
    assert.deepEqual(
      partly.Failures.map(({ SOPInstanceUID }) => SOPInstanceUID),
      [lost],
    );
    assert.equal(partly.Success.length, 2);
  });

  for (const method of ['get', 'move'] as const) {
    test(`pulls by C-${method.toUpperCase()} from Orthanc, past a study that it does not have and one that it cannot read`, async (t) => {
      const { node, orthanc } = await startPair(t, `outbound-pull-${method}`);
      const studies = await studiesOf(t, ['ACC-1', 'ACC-2', 'ACC-3'], 4);
      const sent = await lantern('send', `127.0.0.1:${orthanc.port}`, '--called-ae', PEER_AE, ...studies.flat());
      assert.equal(sent.code, 0, sent.out);
      await breakInstance(orthanc, instanceOfFile(studies[1]?.[0] ?? ''));

      const wanted: NewPull = {
        peer: PEER_AE,
        method,
        by: 'accession-number',
        values: ['ACC-1', 'ACC-404', 'ACC-2', 'ACC-3'],
      };
      const { pullId } = await node.imaging.pulls.create(wanted, 'ines');
      const entries = await eventually<PullEntry[]>('the pull', async () => {
        const { pull, entries: now } = await node.imaging.pulls.read(pullId, {}, 'ines');
        const { waiting, found, fetching } = pull.counts;
        return waiting + found + fetching === 0 ? now : undefined;
      });
      const report = JSON.stringify(entries, undefined, 1);
      assert.deepEqual(
        entries.map(({ value, state }) => [value, state]),
        [
          ['ACC-1', 'done'],
          ['ACC-404', 'not-found'],
          ['ACC-2', 'failed'],
          ['ACC-3', 'done'],
        ],
        report,
      );
      assert.match(entries[2]?.reason ?? '', /Of 4 instances \d are here/, report);
      const { rows } = await node.database.pool.query('select file from image_instance');
      const kept = contents(rows.map(({ file }) => node.imaging.archive.files.pathOf(file)));
      for (const file of contents([...(studies[0] ?? []), ...(studies[2] ?? [])])) assert.ok(kept.includes(file));
      t.diagnostic(entries[2]?.reason ?? '');
    });
  }
});

/** Removes the file in which Orthanc keeps the instance; its index goes on naming it. */
async function breakInstance({ folder }: Archive, { sopInstance }: Instance): Promise<void> {
  const storage = path.join(folder, 'storage');
  const entries = await readdir(storage, { recursive: true, withFileTypes: true });
  const isThere = new RegExp(`${sopInstance.replaceAll('.', '\\.')}(?![0-9.])`); // another UID may begin with it
  let removed = 0;
  for (const entry of entries.filter((one) => one.isFile())) {
    const file = path.join(entry.parentPath, entry.name);
    const content = await readFile(file, 'latin1');
    if (!content.includes('DICM') || !isThere.test(content)) continue;
    await rm(file);
    removed += 1;
  }
  assert.equal(removed, 1);
}
