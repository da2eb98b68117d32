/** Finding images: stock findscu against our imaging plane, and Orthanc asked the same of the same files. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openFileSource, readPart10, textOf } from '@lantern/dicom';
import { fillIndex } from '../../packages/site/test/filled-index.ts';
import { type ImageWeb, serveImages } from '../../packages/site/test/image-web.ts';
import { OWN_AE, PEER_AE, startTestImaging, type TestImaging } from '../../packages/site/test/imaging-harness.ts';
import { dicomProgramsMissing, freePort, type RunningPeer, run, startPeer } from './dicom-programs.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures/dicom');
const FILES = ['MR_small.dcm', 'reportsi.dcm', 'rtplan.dcm'].map((name) => path.join(FIXTURES, name));
const DICOM_WEB_PLUGIN = '/usr/share/orthanc/plugins/libOrthancDicomWeb.so';

/** A study that is none of the fixtures': names beyond ASCII, two series. */
const DUMP = (series: number, number: number) => `
(0008,0005) CS [ISO_IR 100]
(0008,0016) UI =CTImageStorage
(0008,0018) UI [2.25.8.1.${series}.${number}]
(0008,0020) DA [20260315]
(0008,0030) TM [101500]
(0008,0050) SH [ACC-1]
(0008,0060) CS [${series === 1 ? 'CT' : 'PT'}]
(0008,0090) PN [Grey^Meredith]
(0008,1030) LO [Thorax]
(0010,0010) PN [M\u00fcller^\u00c4nne]
(0010,0020) LO [P-1]
(0010,0030) DA [19610203]
(0010,0040) CS [F]
(0020,000d) UI [2.25.8.1]
(0020,000e) UI [2.25.8.1.${series}]
(0020,0010) SH [1]
(0020,0011) IS [${series}]
(0020,0013) IS [${number}]
`;

describe('queries', { skip: dicomProgramsMissing }, () => {
  let node: TestImaging;
  let web: ImageWeb;
  let orthanc: RunningPeer;
  let folder = '';
  let orthancPort = 0;
  let orthancWeb = '';

  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-query-'));
    node = await startTestImaging({ name: 'query-peers' });
    web = await serveImages(node);
    orthancPort = await freePort();
    const httpPort = await freePort();
    orthancWeb = `http://127.0.0.1:${httpPort}/dicom-web`;
    const configuration = path.join(folder, 'orthanc.json');
    const settings = {
      StorageDirectory: path.join(folder, 'storage'),
      IndexDirectory: path.join(folder, 'storage'),
      DicomAet: OWN_AE,
      DicomPort: orthancPort,
      HttpPort: httpPort,
      AuthenticationEnabled: false,
      DicomAlwaysAllowStore: true,
      DicomAlwaysAllowFind: true,
      DefaultEncoding: 'Latin1',
      Plugins: [DICOM_WEB_PLUGIN],
    };
    await writeFile(configuration, JSON.stringify(settings));
    orthanc = await startPeer('Orthanc', [configuration], { port: httpPort, cwd: folder });
    const files = [...FILES, ...(await madeFiles(folder))];
    for (const port of [node.port, orthancPort]) {
      const { exitCode, output } = await run('dcmsend', [...titles(port), ...files]);
      assert.equal(exitCode, 0, output);
    }
  });

  after(async () => {
    await orthanc?.stop();
    await web?.close();
    await node?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const titles = (port: number) => ['-aet', PEER_AE, '-aec', OWN_AE, '127.0.0.1', String(port)];

  /** What findscu gets, one line for each match: values of `shown` by tag, in any order of matches. */
  async function findscu(port: number, model: '-P' | '-S', keys: readonly string[]): Promise<string[]> {
    const out = await mkdtemp(path.join(folder, 'found-'));
    const given = keys.flatMap((key) => ['-k', key]);
    const { exitCode, output } = await run('findscu', [model, ...given, '-X', '-od', out, ...titles(port)]);
    assert.equal(exitCode, 0, output);
    const names = (await readdir(out)).toSorted();
    const shown = keys.map((key) => (/^[0-9A-Fa-f]{4},[0-9A-Fa-f]{4}/.exec(key)?.[0] ?? '').replace(',', ''));
    return names
      .map((name) => {
        const source = openFileSource(path.join(out, name));
        const { dataSet } = readPart10(source);
        source.close();
        return shown.map((tag) => textOf(dataSet, Number.parseInt(tag, 16)) ?? '').join('|');
      })
      .toSorted();
  }

  const STUDY = ['0008,0052=STUDY', '0020,000D', '0010,0010', '0010,0020', '0008,0020'];
  const MODEL = ['-S', '-P'] as const;

  const questions: [title: string, model: (typeof MODEL)[number], keys: string[]][] = [
    ['every study', '-S', STUDY],
    [
      'a name by its beginning, in another case',
      '-S',
      [...STUDY, '0010,0010=compress*'].filter((key) => key !== '0010,0010'),
    ],
    ['a name by its beginning', '-S', ['0008,0052=STUDY', '0020,000D', '0010,0010=CompressedSamples*', '0010,0020']],
    ['a patient id with an open character', '-S', ['0008,0052=STUDY', '0020,000D', '0010,0020=P?1']],
    ['a range of dates', '-S', ['0008,0052=STUDY', '0020,000D', '0008,0020=20040101-20041231']],
    ['a range of dates without end', '-S', ['0008,0052=STUDY', '0020,000D', '0008,0020=20260101-']],
    [
      'a list of UIDs',
      '-S',
      ['0008,0052=STUDY', '0020,000D=2.25.8.1\\1.3.6.1.4.1.5962.1.2.4.20040826185059.5457\\1.2.3'],
    ],
    [
      'an accession number',
      '-S',
      ['0008,0052=STUDY', '0020,000D', '0008,0050=ACC-1', '0008,0061', '0020,1206', '0020,1208'],
    ],
    ['modalities of a study', '-S', ['0008,0052=STUDY', '0020,000D', '0008,0061=PT']],
    ['patients', '-P', ['0008,0052=PATIENT', '0010,0020', '0010,0010=M*']],
    ['studies of a patient', '-P', ['0008,0052=STUDY', '0010,0020=P-1', '0020,000D', '0008,1030']],
    [
      'series of a study',
      '-S',
      ['0008,0052=SERIES', '0020,000D=2.25.8.1', '0020,000E', '0008,0060', '0020,0011', '0020,1209'],
    ],
    [
      'one series by modality',
      '-P',
      ['0008,0052=SERIES', '0010,0020=P-1', '0020,000D=2.25.8.1', '0020,000E', '0008,0060=PT'],
    ],
    [
      'images of a series',
      '-S',
      ['0008,0052=IMAGE', '0020,000D=2.25.8.1', '0020,000E=2.25.8.1.1', '0008,0018', '0020,0013', '0008,0016'],
    ],
    [
      'an image by its number',
      '-S',
      ['0008,0052=IMAGE', '0020,000D=2.25.8.1', '0020,000E=2.25.8.1.1', '0008,0018', '0020,0013=2'],
    ],
    ['nothing', '-S', ['0008,0052=STUDY', '0020,000D', '0010,0020=nobody']],
  ];
  for (const [title, model, keys] of questions) {
    it(`of findscu (${model}) for ${title} find what Orthanc finds`, async () => {
      const [ours, theirs] = [await findscu(node.port, model, keys), await findscu(orthancPort, model, keys)];
      assert.deepEqual(ours, theirs);
      assert.equal(ours.length > 0, title !== 'nothing');
    });
  }

  it('of findscu are answered in its character set of choice: UTF-8 as soon as a name needs it', async () => {
    const { output } = await run('findscu', [
      '-v',
      '-S',
      ...['0008,0052=STUDY', '0010,0020=P-1', '0010,0010'].flatMap((key) => ['-k', key]),
      ...titles(node.port),
    ]);
    assert.match(output, /\(0008,0005\) CS \[ISO_IR 192\]/);
    assert.match(output, /Müller\^Änne/);
  });

  it('of findscu are refused with a reason', async () => {
    const refused = await run('findscu', [
      '-d',
      '-S',
      '-k',
      '0008,0052=SERIES',
      '-k',
      '0020,000E',
      ...titles(node.port),
    ]);
    assert.match(refused.output, /0xa900|IdentifierDoesNotMatchSOPClass/i);
    assert.match(refused.output, /StudyInstanceUID/);
  });

  it('of findscu end early when it cancels them', async (t) => {
    const large = await startTestImaging({ name: 'query-cancel' });
    t.after(() => large.close());
    await fillIndex(large.database, 3000);
    const keys = ['-k', '0008,0052=STUDY', '-k', '0020,000D'];
    const { output } = await run('findscu', ['-d', '-S', '--cancel', '5', ...keys, ...titles(large.port)]);
    const pending = output.match(/DIMSE Status +: 0xff00/gi)?.length ?? 0;
    assert.ok(pending >= 5 && pending < 3000, `${pending} matches`);
    assert.match(output, /DIMSE Status +: 0xfe00/i);
  });

  const webQuestions: [path: string, tags: string[]][] = [
    ['/studies?PatientName=CompressedSamples*', ['0020000D', '00100020', '00200010', '00201208']],
    ['/studies?StudyDate=20040101-20041231', ['0020000D', '00080020', '00080030']],
    ['/studies?00080050=ACC-1', ['0020000D', '00080050', '00201206']],
    ['/studies?ModalitiesInStudy=PT', ['0020000D']],
    ['/studies/2.25.8.1/series', ['0020000E', '00080060', '00200011', '00201209']],
    ['/studies/2.25.8.1/series/2.25.8.1.1/instances', ['00080018', '00080016', '00200013']],
    ['/studies/2.25.8.1/instances?InstanceNumber=2', ['00080018']],
    ['/series?Modality=MR', ['0020000E']],
    ['/instances?SOPInstanceUID=2.25.8.1.2.1', ['00080018']],
  ];
  for (const [question, tags] of webQuestions) {
    it(`by QIDO-RS find what Orthanc finds: ${question}`, async () => {
      const found = async (url: string) => {
        const headers = { authorization: 'Bearer clinician', accept: 'application/dicom+json' };
        const matches: unknown = await (await fetch(`${url}${question}`, { headers })).json();
        assert.ok(Array.isArray(matches));
        return matches
          .map((match) => tags.map((tag) => String(Object(match)[tag]?.Value?.[0] ?? '')).join('|'))
          .toSorted();
      };
      const ours = await found(`${web.url}/dicom-web`);
      assert.ok(ours.length > 0);
      assert.deepEqual(ours, await found(orthancWeb));
    });
  }
});

async function madeFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const [series, number] of [
    [1, 1],
    [1, 2],
    [2, 1],
  ] as const) {
    const dump = path.join(folder, `${series}-${number}.txt`);
    await writeFile(dump, Buffer.from(DUMP(series, number), 'latin1'));
    const file = path.join(folder, `${series}-${number}.dcm`);
    const { exitCode, output } = await run('dump2dcm', ['+te', dump, file]);
    assert.equal(exitCode, 0, output);
    files.push(file);
  }
  return files;
}
