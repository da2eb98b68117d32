/** Giving and taking images: stock getscu and movescu of DCMTK, Orthanc as a destination, and dicomweb-client of Python. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openFileSource, readIncomingFile, readPart10, textOf } from '@lantern/dicom';
import { type ImageWeb, serveImages } from '../../packages/site/test/image-web.ts';
import { OWN_AE, PEER_AE, startTestImaging, type TestImaging } from '../../packages/site/test/imaging-harness.ts';
import { dicomProgramsMissing, freePort, type RunningPeer, run, startPeer } from './dicom-programs.ts';
import { askPython, peersMissing } from './python.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures/dicom');
const STUDY = '2.25.55';
const SOP_INSTANCE_UID = 0x00080018;

async function dataSetOf(file: string): Promise<Buffer> {
  const bytes = await readFile(file);
  const { dataSet } = await readIncomingFile(
    (async function* () {
      yield bytes;
    })(),
  );
  const pieces: Uint8Array[] = [];
  for await (const piece of dataSet) pieces.push(piece);
  return Buffer.concat(pieces);
}

function sopInstanceOf(file: string): string {
  const source = openFileSource(file);
  const { dataSet } = readPart10(source);
  source.close();
  return textOf(dataSet, SOP_INSTANCE_UID) ?? '';
}

describe('retrieval', { skip: dicomProgramsMissing }, () => {
  let node: TestImaging;
  let orthanc: RunningPeer;
  let folder = '';
  let movePort = 0;
  let orthancWeb = '';
  /** By SOPInstanceUID: two series of two images, the last of each in RLE. */
  const sent = new Map<string, { file: string; series: string }>();

  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-retrieval-'));
    const [orthancPort, httpPort] = [await freePort(), await freePort()];
    movePort = await freePort();
    orthancWeb = `http://127.0.0.1:${httpPort}`;
    await startOrthanc(orthancPort, httpPort);
    const hosts = ['127.0.0.1'];
    node = await startTestImaging({
      name: 'retrieval-peers',
      settings: {
        peers: [
          { aeTitle: PEER_AE, hosts, mayQuery: true },
          { aeTitle: 'MOVER', hosts, port: movePort, mayQuery: true },
          { aeTitle: 'ORTHANC', hosts, port: orthancPort },
          { aeTitle: 'MODALITY', hosts },
        ],
      },
    });
    await makeFiles();
    const files = [...sent.values()].map(({ file }) => file);
    const { exitCode, output } = await run('dcmsend', [...titles(PEER_AE), ...files]);
    assert.equal(exitCode, 0, output);
  });

  after(async () => {
    await node?.close();
    await orthanc?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function startOrthanc(dicomPort: number, httpPort: number): Promise<void> {
    const configuration = path.join(folder, 'orthanc.json');
    const settings = {
      StorageDirectory: path.join(folder, 'storage'),
      IndexDirectory: path.join(folder, 'storage'),
      DicomAet: 'ORTHANC',
      DicomPort: dicomPort,
      HttpPort: httpPort,
      AuthenticationEnabled: false,
      DicomAlwaysAllowStore: true,
      DicomCheckCalledAet: true,
    };
    await writeFile(configuration, JSON.stringify(settings));
    orthanc = await startPeer('Orthanc', [configuration], { port: httpPort, cwd: folder });
  }

  async function makeFiles(): Promise<void> {
    const made = path.join(folder, 'made');
    await mkdir(made);
    for (const [index, name] of ['MR_small.dcm', 'MR_small_RLE.dcm', 'MR_small.dcm', 'MR_small_RLE.dcm'].entries()) {
      const file = path.join(made, `${index}.dcm`);
      await writeFile(file, await readFile(path.join(FIXTURES, name)));
      const series = `${STUDY}.${index < 2 ? 1 : 2}`;
      const changes = [`(0020,000d)=${STUDY}`, `(0020,000e)=${series}`, '(0010,0020)=P55'];
      const args = ['--no-backup', '--gen-inst-uid', ...changes.flatMap((change) => ['-i', change]), file];
      const { exitCode, output } = await run('dcmodify', args);
      assert.equal(exitCode, 0, output);
      sent.set(sopInstanceOf(file), { file, series });
    }
  }

  const titles = (callingAe: string) => ['-aet', callingAe, '-aec', OWN_AE, '127.0.0.1', String(node.port)];
  const instances = () => [...sent.keys()];
  const ofSeries = (series: string) => instances().filter((uid) => sent.get(uid)?.series === series);
  const query = (...keys: string[]) => keys.flatMap((key) => ['-k', key]);

  const questions = (): [what: string, keys: string[], expected: string[], model: '-S' | '-P'][] => {
    const [one = ''] = instances();
    return [
      ['a study', query('0008,0052=STUDY', `0020,000D=${STUDY}`), instances(), '-S'],
      [
        'a series',
        query('0008,0052=SERIES', `0020,000D=${STUDY}`, `0020,000E=${STUDY}.2`),
        ofSeries(`${STUDY}.2`),
        '-S',
      ],
      [
        'an instance',
        query('0008,0052=IMAGE', `0020,000D=${STUDY}`, `0020,000E=${STUDY}.1`, `0008,0018=${one}`),
        [one],
        '-S',
      ],
      ['a patient', query('0008,0052=PATIENT', '0010,0020=P55'), instances(), '-P'],
    ];
  };

  async function received(out: string): Promise<Map<string, string>> {
    const names = await readdir(out);
    return new Map(names.map((name) => [sopInstanceOf(path.join(out, name)), path.join(out, name)]));
  }

  /** Those that went as they are are the same byte for byte; the others were decoded, since the peer takes no RLE. */
  async function assertSame(files: ReadonlyMap<string, string>, expected: readonly string[]): Promise<void> {
    assert.deepEqual([...files.keys()].toSorted(), expected.toSorted());
    for (const [uid, file] of files) {
      const original = sent.get(uid)?.file ?? '';
      const isRle = /[13]\.dcm$/.test(original);
      if (!isRle) assert.ok((await dataSetOf(file)).equals(await dataSetOf(original)), file);
    }
  }

  it('by getscu gives studies, series, instances and patients', async () => {
    for (const [what, keys, expected, model] of questions()) {
      for (const noDelay of [false, true]) {
        const out = await mkdtemp(path.join(folder, 'get-'));
        const args = [model, '+B', '-od', out, ...keys, ...titles(PEER_AE)];
        const { exitCode, output } = await run('getscu', args, { noDelay });
        assert.equal(exitCode, 0, `${what}: ${output}`);
        await assertSame(await received(out), expected);
      }
    }
  });

  it('by getscu gives compressed images as they are to who takes them', async () => {
    const out = await mkdtemp(path.join(folder, 'get-'));
    const [, keys] = questions()[0] ?? [];
    const { exitCode, output } = await run('getscu', [
      '-S',
      '+B',
      '+xr',
      '-od',
      out,
      ...(keys ?? []),
      ...titles(PEER_AE),
    ]);
    assert.equal(exitCode, 0, output);
    const files = await received(out);
    assert.equal(files.size, 4);
    let rle = 0;
    for (const [uid, file] of files) {
      const original = sent.get(uid)?.file ?? '';
      if (!/[13]\.dcm$/.test(original)) continue; // it likes RLE best, and so the others were compressed for it
      assert.ok((await dataSetOf(file)).equals(await dataSetOf(original)));
      rle += 1;
    }
    assert.equal(rle, 2);
  });

  it('by movescu sends to who asks', async () => {
    for (const [what, keys, expected, model] of questions()) {
      const out = await mkdtemp(path.join(folder, 'move-'));
      const args = [model, '-aem', 'MOVER', '+P', String(movePort), '-od', out, ...keys, ...titles('MOVER')];
      const { exitCode, output } = await run('movescu', args);
      assert.equal(exitCode, 0, `${what}: ${output}`);
      await assertSame(await received(out), expected);
    }
  });

  it('by movescu sends to Orthanc, which keeps all of it', async () => {
    const [, keys] = questions()[0] ?? [];
    const { exitCode, output } = await run('movescu', ['-S', '-aem', 'ORTHANC', ...(keys ?? []), ...titles(PEER_AE)]);
    assert.equal(exitCode, 0, output);
    const ids: unknown = await (await fetch(`${orthancWeb}/instances`)).json();
    assert.ok(Array.isArray(ids));
    const uids = await Promise.all(
      ids.map(
        async (id) => Object(await (await fetch(`${orthancWeb}/instances/${id}`)).json()).MainDicomTags.SOPInstanceUID,
      ),
    );
    assert.deepEqual(uids.toSorted(), instances().toSorted());
  });

  it('is refused to who may not, and to destinations that nobody knows', async () => {
    const [, keys = []] = questions()[0] ?? [];
    const nowhere = await run('movescu', ['-v', '-S', '-aem', 'NOWHERE', ...keys, ...titles(PEER_AE)]);
    assert.match(nowhere.output, /MoveDestinationUnknown/);
    const out = await mkdtemp(path.join(folder, 'get-'));
    const refused = await run('getscu', ['-v', '-S', '-od', out, ...keys, ...titles('MODALITY')]);
    assert.deepEqual(await readdir(out), []);
    assert.match(refused.output, /0x0124|NotAuthorized|Failed/i);
  });
});

type Retrieved = {
  readonly stored: boolean[];
  readonly failed: number;
  readonly transferSyntax: string;
  readonly sameElements: boolean;
  readonly decodedSyntax: string;
  readonly patientName: string;
  readonly studies: number;
  readonly series: number;
  readonly studyMetadata: number;
  readonly framesAreThoseOfTheObject?: boolean;
  readonly bulkDataIsTheFrame?: boolean;
  readonly sha256_int32le?: string;
  readonly renderedFrame?: number[];
  readonly 'image/png'?: number[];
  readonly 'image/jpeg'?: number[];
};

describe('dicomweb-client', { skip: peersMissing }, () => {
  let node: TestImaging;
  let web: ImageWeb;

  before(async () => {
    node = await startTestImaging({ name: 'dicomweb-client' });
    web = await serveImages(node);
  });
  after(async () => {
    await web?.close();
    await node?.close();
  });

  it('stores by STOW-RS, and retrieves objects, metadata, frames, bulk data and pictures', async () => {
    const names = ['MR_small_RLE.dcm', 'image_dfl.dcm', 'pixels/SC_rgb_jpeg_gdcm.dcm', 'reportsi.dcm', 'chrH31.dcm'];
    const question = {
      url: `${web.url}/dicom-web`,
      token: 'data-engineer',
      files: names.map((name) => path.join(FIXTURES, name)),
    };
    const answers = await askPython<Retrieved[]>('dicomweb_client_peer.py', question);
    const [expected, ofPixels] = await Promise.all(
      ['expected.json', 'pixels/expected.json'].map(async (name) =>
        Object(JSON.parse(await readFile(path.join(FIXTURES, name), 'utf8'))),
      ),
    );
    for (const [index, name] of names.entries()) {
      const answer = answers[index];
      assert.ok(answer !== undefined);
      const { stored, failed, sameElements, decodedSyntax, studies, series, studyMetadata } = answer;
      assert.deepEqual(
        { stored, failed, sameElements, decodedSyntax, studies, series, studyMetadata },
        {
          stored: [true],
          failed: 0,
          sameElements: true,
          decodedSyntax: '1.2.840.10008.1.2.1',
          studies: 1,
          series: 1,
          studyMetadata: 1,
        },
        name,
      );
      if (answer.framesAreThoseOfTheObject === undefined) continue;
      assert.deepEqual([answer.framesAreThoseOfTheObject, answer.bulkDataIsTheFrame], [true, true], name);
      assert.deepEqual(answer['image/png'], answer['image/jpeg'], name);
      assert.deepEqual(answer['image/png'], answer.renderedFrame, name);
      const sha256 = ofPixels[path.basename(name)]?.pixels?.sha256_int32le ?? expected[name]?.pixels?.sha256_int32le;
      if (sha256 !== undefined) assert.equal(answer.sha256_int32le, sha256, name);
    }
    assert.equal(answers[0]?.transferSyntax, '1.2.840.10008.1.2.5');
    assert.deepEqual(answers[0]?.['image/png'], [64, 64]);
    assert.equal(answers[4]?.patientName, expected['chrH31.dcm'].patientName);
  });
});
