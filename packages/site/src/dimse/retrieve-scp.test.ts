import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type AuditRecord, AuditRecordSchema, parse } from '@lantern/contract';
import {
  bytesElement,
  type DicomServer,
  fetchingContext,
  type Instance,
  identifierContext,
  identifierOf,
  instanceOfFile,
  memorySource,
  openAssociation,
  readHead,
  readPart10,
  SOP_CLASSES,
  STATUS,
  type StoreRequest,
  startDicomServer,
  storingContexts,
  textElement,
} from '@lantern/dicom';
import { auditRecords } from '@lantern/service';
import { OWN_AE, PEER_AE, startTestImaging, type TestImaging } from '../../test/imaging-harness.ts';
import { CT_IMAGE_STORAGE, syntheticInstance } from '../../test/synthetic-images.ts';

const EXPLICIT = '1.2.840.10008.1.2.1';
const MR_STORAGE = '1.2.840.10008.5.1.4.1.1.4';
const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');
/** No value that a UID may have, though many a peer sends it. */
const WILDCARD = '2.25.*';
const MR_STUDY = '1.3.6.1.4.1.5962.1.2.4.20040826185059.5457';
const CONTEXTS = [
  identifierContext(SOP_CLASSES.studyRootGet),
  identifierContext(SOP_CLASSES.patientRootGet),
  identifierContext(SOP_CLASSES.studyRootMove),
  fetchingContext(CT_IMAGE_STORAGE, [EXPLICIT]),
  fetchingContext(MR_STORAGE, [EXPLICIT]),
];

type Fetched = { readonly transferSyntax: string; readonly digest: string; readonly content: Buffer };

const digestOf = (content: Buffer) => createHash('sha256').update(content).digest('hex');

/** Two studies: 1 with the series 1 (three instances) and 2 (one), 2 with one instance; of one patient. */
const STORED = [
  [1, 1, 1],
  [1, 1, 2],
  [1, 1, 3],
  [1, 2, 1],
  [2, 1, 1],
].map(([study = 0, series = 0, number = 0]) =>
  syntheticInstance({ study, series, number, patientId: 'P7', pixelBytes: 700_000 + number }),
);
const uidsOf = (instances: readonly Instance[]) => instances.map(({ sopInstance }) => sopInstance).toSorted();

let node: TestImaging;
let viewer: DicomServer;
const atViewer = new Map<string, Fetched>();

async function keep(into: Map<string, Fetched>, { sopInstance, transferSyntax, dataSet }: StoreRequest) {
  const content = await dataSet.whole(10_000_000);
  into.set(sopInstance, { transferSyntax, digest: digestOf(content), content });
  return { status: STATUS.success };
}

async function connect(options: { callingAe?: string; into?: Map<string, Fetched> } = {}) {
  const { callingAe = PEER_AE, into = new Map<string, Fetched>() } = options;
  return openAssociation({
    host: '127.0.0.1',
    port: node.port,
    calledAe: OWN_AE,
    callingAe,
    contexts: CONTEXTS,
    handlers: { onStore: (request) => keep(into, request) },
  });
}

const identifier = (keys: Readonly<Record<string, string | readonly string[]>>) =>
  identifierOf(
    Object.entries(keys).map(([keyword, value]) =>
      value === WILDCARD ? bytesElement(keyword, Buffer.from(value), 'UI') : textElement(keyword, value),
    ),
  );

async function get(
  keys: Parameters<typeof identifier>[0],
  sopClass: string = SOP_CLASSES.studyRootGet,
  callingAe = PEER_AE,
) {
  const fetched = new Map<string, Fetched>();
  const client = await connect({ callingAe, into: fetched });
  const result = await client.get(identifier(keys), { sopClass });
  await client.release();
  return { result, fetched };
}

async function move(keys: Parameters<typeof identifier>[0], destination: string) {
  const client = await connect();
  const result = await client.move(identifier(keys), { sopClass: SOP_CLASSES.studyRootMove, destination });
  await client.release();
  return result;
}

async function send(instances: readonly Instance[]): Promise<void> {
  const client = await openAssociation({
    host: '127.0.0.1',
    port: node.port,
    calledAe: OWN_AE,
    callingAe: PEER_AE,
    contexts: storingContexts(instances),
  });
  for (const instance of instances) assert.equal((await client.store(instance)).status, STATUS.success);
  await client.release();
}

before(async () => {
  viewer = await startDicomServer({
    port: 0,
    host: '127.0.0.1',
    handlers: { onStore: (request) => keep(atViewer, request) },
  });
  const hosts = ['127.0.0.1'];
  node = await startTestImaging({
    name: 'retrieve-scp',
    settings: {
      peers: [
        { aeTitle: PEER_AE, hosts, mayQuery: true },
        { aeTitle: 'MODALITY', hosts },
        { aeTitle: 'VIEWER', hosts, port: viewer.port },
      ],
    },
  });
  await send([...STORED, instanceOfFile(path.join(FIXTURES, 'MR_small_RLE.dcm'))]);
});

after(async () => {
  await node?.close();
  await viewer?.close(0);
});

describe('C-GET', () => {
  const study = '2.25.1.1';
  const cases: readonly [string, Parameters<typeof identifier>[0], readonly Instance[], string?][] = [
    ['a study', { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: study }, STORED.slice(0, 4)],
    ['several studies', { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: [study, '2.25.1.2'] }, STORED],
    [
      'a series',
      { QueryRetrieveLevel: 'SERIES', StudyInstanceUID: study, SeriesInstanceUID: `${study}.1` },
      STORED.slice(0, 3),
    ],
    [
      'instances',
      {
        QueryRetrieveLevel: 'IMAGE',
        StudyInstanceUID: study,
        SeriesInstanceUID: `${study}.1`,
        SOPInstanceUID: [`${study}.1.1`, `${study}.1.3`],
      },
      STORED.filter((_, index) => index === 0 || index === 2),
    ],
    [
      'an instance by its UID alone',
      { QueryRetrieveLevel: 'IMAGE', SOPInstanceUID: `${study}.2.1` },
      STORED.slice(3, 4),
    ],
    ['a patient', { QueryRetrieveLevel: 'PATIENT', PatientID: 'P7' }, STORED, SOP_CLASSES.patientRootGet],
    [
      'a study of a patient',
      { QueryRetrieveLevel: 'STUDY', PatientID: 'P7', StudyInstanceUID: '2.25.1.2' },
      STORED.slice(4),
      SOP_CLASSES.patientRootGet,
    ],
    [
      'a study that is of another patient',
      { QueryRetrieveLevel: 'STUDY', PatientID: 'P8', StudyInstanceUID: '2.25.1.2' },
      [],
      SOP_CLASSES.patientRootGet,
    ],
    [
      'a series of another study',
      { QueryRetrieveLevel: 'SERIES', StudyInstanceUID: '2.25.1.2', SeriesInstanceUID: `${study}.1` },
      [],
    ],
  ];
  for (const [what, keys, expected, sopClass] of cases) {
    it(`gives ${what}, byte for byte as it came`, async () => {
      const { result, fetched } = await get(keys, sopClass);
      assert.deepEqual([result.status, result.completed, result.failed], [STATUS.success, expected.length, 0]);
      assert.deepEqual([...fetched.keys()].toSorted(), uidsOf(expected));
      for (const instance of STORED) {
        const got = fetched.get(instance.sopInstance);
        if (got !== undefined) assert.equal(got.digest, digestOf(instance.content));
      }
    });
  }

  it('brings an image to a transfer syntax that the peer takes', async () => {
    const { result, fetched } = await get({ QueryRetrieveLevel: 'STUDY', StudyInstanceUID: MR_STUDY });
    assert.equal(result.status, STATUS.success);
    const [image] = fetched.values();
    assert.equal(image?.transferSyntax, EXPLICIT);
    const original = readPart10(
      memorySource(readFileSync(path.join(FIXTURES, 'MR_small.dcm'))),
      Number.POSITIVE_INFINITY,
    );
    const pixels = readHead(memorySource(image.content), {
      isWhole: true,
      start: 0,
      transferSyntaxUid: EXPLICIT,
      rangeBytesMin: Number.POSITIVE_INFINITY,
      stopsAt: () => false,
    }).elements.get(0x7fe00010)?.value;
    assert.deepEqual(pixels, original.dataSet.elements.get(0x7fe00010)?.value);
  });

  it('is refused to a peer that may not query', async () => {
    const { result } = await get(
      { QueryRetrieveLevel: 'STUDY', StudyInstanceUID: study },
      SOP_CLASSES.studyRootGet,
      'MODALITY',
    );
    assert.equal(result.status, STATUS.notAuthorized);
  });

  it('is refused for identifiers that mean nothing, with the reason', async () => {
    const wrong: readonly [Parameters<typeof identifier>[0], RegExp][] = [
      [{ StudyInstanceUID: study }, /QueryRetrieveLevel/],
      [{ QueryRetrieveLevel: 'EVERYTHING', StudyInstanceUID: study }, /QueryRetrieveLevel/],
      [{ QueryRetrieveLevel: 'PATIENT', PatientID: 'P7' }, /QueryRetrieveLevel/],
      [{ QueryRetrieveLevel: 'SERIES', StudyInstanceUID: study }, /SeriesInstanceUID is missing/],
      [{ QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '' }, /StudyInstanceUID is missing/],
      [{ QueryRetrieveLevel: 'SERIES', StudyInstanceUID: study, SeriesInstanceUID: WILDCARD }, /wildcard/],
    ];
    for (const [keys, reason] of wrong) {
      const { result, fetched } = await get(keys);
      assert.equal(result.status, STATUS.dataSetDoesNotMatchSopClass);
      assert.match(result.comment ?? '', reason);
      assert.equal(fetched.size, 0);
    }
  });
});

describe('C-MOVE', () => {
  it('sends to a peer that the settings know, as it is', async () => {
    const result = await move({ QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '2.25.1.1' }, 'VIEWER');
    assert.deepEqual([result.status, result.completed], [STATUS.success, 4]);
    assert.deepEqual([...atViewer.keys()].toSorted(), uidsOf(STORED.slice(0, 4)));
    assert.equal(atViewer.get('2.25.1.1.1.2')?.digest, digestOf(STORED[1]?.content ?? Buffer.alloc(0)));
  });

  it('knows no other destination, nor one that has no port', async () => {
    for (const destination of ['NOWHERE', 'MODALITY']) {
      const result = await move({ QueryRetrieveLevel: 'STUDY', StudyInstanceUID: '2.25.1.1' }, destination);
      assert.equal(result.status, STATUS.moveDestinationUnknown);
    }
  });
});

async function auditLines(): Promise<AuditRecord[]> {
  const records: AuditRecord[] = [];
  for await (const record of auditRecords(node.database))
    records.push(parse(AuditRecordSchema, record, { what: 'record' }));
  return records;
}

it('every retrieval is in the audit log, with keys and counts of ours alone', async () => {
  const before = await auditLines();
  await get({ QueryRetrieveLevel: 'STUDY', StudyInstanceUID: ['2.25.1.1', '2.25.1.2'] });
  await move({ QueryRetrieveLevel: 'IMAGE', SOPInstanceUID: '2.25.1.2.1.1' }, 'VIEWER');
  const lines = (await auditLines()).slice(before.length);
  assert.deepEqual(
    lines.map(({ actor, action, details }) => ({ actor, action, ...details })),
    [
      { actor: `dicom:${PEER_AE}`, action: 'images.retrieve', form: 'C-GET', instanceCount: 4 },
      { actor: `dicom:${PEER_AE}`, action: 'images.retrieve', form: 'C-GET', instanceCount: 1 },
      { actor: `dicom:${PEER_AE}`, action: 'images.retrieve', form: 'C-MOVE', instanceCount: 1, destination: 'VIEWER' },
    ],
  );
  assert.ok(lines.every(({ object }) => /^image-study:\d+$/.test(object)));
});
