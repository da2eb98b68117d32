import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { NewPull, Pull, PullEntry } from '@lantern/contract';
import {
  type DataSet,
  type DicomServer,
  type DimseHandlers,
  encodeDataSet,
  type Instance,
  identifierOf,
  type QueryRequest,
  STATUS,
  startDicomServer,
  textElement,
  textOf,
  transferSyntaxOf,
} from '@lantern/dicom';
import { readAudit } from '@lantern/service';
import { OWN_AE, startTestImaging, type TestImaging } from '../../test/imaging-harness.ts';
import { syntheticInstance } from '../../test/synthetic-images.ts';
import type { StudyPulls } from './study-pull.ts';

const PACS_AE = 'PACS';
const WAIT_MS = 30_000;
const STUDY = 0x0020000d;
const SERIES = 0x0020000e;
const LEVEL = 0x00080052;
const ACCESSION = 0x00080050;
const PATIENT = 0x00100020;

/** The archive of the hospital: studies of two series, and what is wrong with each. */
type KeptStudy = {
  readonly number: number;
  readonly accession: string;
  readonly patient: string;
  readonly instances: readonly Instance[];
  /** Instances that cannot be read there. */
  readonly unreadable: ReadonlySet<string>;
};

const kept = new Map<string, KeptStudy>();
let pacs: DicomServer;
let node: TestImaging;
let pulls: StudyPulls;
/** Says how often an attempt to fetch has to fail before the archive sends. */
let refusesBeforeSending = 0;
let moveDestinations: Record<string, number>;
let fetches: string[] = [];

function keep(number: number, options: { accession?: string; patient?: string; unreadable?: number } = {}): KeptStudy {
  const places = [1, 2].flatMap((series) => [1, 2].map((image) => ({ series, image })));
  const instances = places.map(({ series, image }) => {
    const instance = syntheticInstance({ study: number, series, number: image });
    return { ...instance, place: { series, image } };
  });
  const unreadable = new Set(instances.slice(0, options.unreadable ?? 0).map(({ sopInstance }) => sopInstance));
  const { accession = `A${number}`, patient = `P${number}` } = options;
  const study = { number, accession, patient, instances, unreadable };
  kept.set(`2.25.1.${number}`, study);
  return study;
}

/** Keys of the level of studies that the archive does not know, and so does not compare (PS3.4 C.2.2.1.3). */
let ignored: ReadonlySet<number> = new Set();

function matching({ identifier }: QueryRequest): [string, KeptStudy][] {
  const is = (wanted: string | undefined, value: string) => wanted === undefined || wanted === value;
  return [...kept].filter(
    ([uid, { accession, patient }]) =>
      is(textOf(identifier, STUDY), uid) &&
      (ignored.has(ACCESSION) || is(textOf(identifier, ACCESSION), accession)) &&
      is(textOf(identifier, PATIENT), patient),
  );
}

function* answers(request: QueryRequest): Generator<DataSet> {
  const { identifier } = request;
  for (const [uid, { accession, patient, instances }] of matching(request)) {
    const study = [textElement('StudyInstanceUID', uid)];
    const level = textOf(identifier, LEVEL);
    if (level === 'STUDY') {
      yield identifierOf([
        ...study,
        textElement('AccessionNumber', accession),
        textElement('PatientID', patient),
        textElement('NumberOfStudyRelatedInstances', String(instances.length)),
      ]);
    } else if (level === 'SERIES') {
      for (const series of [1, 2]) yield identifierOf([...study, textElement('SeriesInstanceUID', `${uid}.${series}`)]);
    } else {
      const series = `${textOf(identifier, SERIES)}.`;
      for (const { sopClass, sopInstance } of instances.filter((one) => one.sopInstance.startsWith(series))) {
        yield identifierOf([
          ...study,
          textElement('SOPClassUID', sopClass),
          textElement('SOPInstanceUID', sopInstance),
        ]);
      }
    }
  }
}

function sent(request: QueryRequest): readonly Instance[] {
  return matching(request).flatMap(([uid, { instances, unreadable }]) => {
    fetches.push(uid);
    return instances.map((instance) => ({
      ...instance,
      open() {
        if (unreadable.has(instance.sopInstance)) throw new Error('The disk of the archive is broken.');
        return instance.open();
      },
    }));
  });
}

const HANDLERS: DimseHandlers = {
  async *onFind(request) {
    for (const match of answers(request)) {
      const pieces = encodeDataSet(match, transferSyntaxOf(request.transferSyntax));
      yield { identifier: Buffer.concat(pieces.filter((piece) => Buffer.isBuffer(piece))) };
    }
  },
  async onGet(request) {
    if (refusesBeforeSending > 0) {
      refusesBeforeSending -= 1;
      return { kind: 'refused', status: STATUS.outOfResources };
    }
    return { kind: 'found', instances: sent(request) };
  },
  async onMove(request) {
    const port = moveDestinations[request.destination];
    if (port === undefined) return { kind: 'refused', status: STATUS.moveDestinationUnknown };
    const destination = { host: '127.0.0.1', port, calledAe: request.destination, callingAe: PACS_AE };
    return { kind: 'found', instances: sent(request), destination };
  },
};

const startPacs = (port: number) => startDicomServer({ port, host: '127.0.0.1', handlers: HANDLERS });

before(async () => {
  pacs = await startPacs(0);
  const peers = [
    { aeTitle: PACS_AE, hosts: ['127.0.0.1'], port: pacs.port },
    { aeTitle: 'SCANNER', hosts: ['127.0.0.1'] },
  ];
  node = await startTestImaging({ name: 'study-pull', settings: { peers } });
  moveDestinations = { [OWN_AE]: node.port };
  pulls = node.imaging.pulls;
});

after(async () => {
  await node?.close();
  await pacs?.close(0);
});

const pull = (values: readonly string[], changes: Partial<NewPull> = {}) =>
  pulls.create({ peer: PACS_AE, method: 'get', by: 'accession-number', values: [...values], ...changes }, 'ines');

/** Until nothing of the pull can happen by itself any more. */
async function ended({ pullId }: Pull): Promise<PullEntry[]> {
  const deadlineMs = performance.now() + WAIT_MS;
  for (;;) {
    const { pull: now, entries } = await pulls.read(pullId, {}, 'ines');
    const { waiting, found, fetching } = now.counts;
    if (waiting + found + fetching === 0) return entries;
    assert.ok(performance.now() < deadlineMs, JSON.stringify(entries));
    await new Promise((resolve) => setTimeout(resolve, 20)); // no notification tells when a row changes
  }
}

const outline = (entries: readonly PullEntry[]) =>
  entries.map(({ value, state, expectedCount, arrivedCount }) => [value, state, expectedCount, arrivedCount]);

async function countHere(uid: string): Promise<number> {
  const { rows } = await node.database.pool.query(
    `select count(*) as count from image_instance join image_series using (series_key) join image_study using (study_key)
     where study_instance_uid = $1`,
    [uid],
  );
  return rows[0].count;
}

describe('a pull of studies', () => {
  for (const method of ['get', 'move'] as const) {
    it(`by C-${method.toUpperCase()} brings what is listed, and says of each entry what became of it`, async () => {
      const first = method === 'get' ? 10 : 20;
      keep(first);
      keep(first + 1, { unreadable: 1 });
      keep(first + 2);
      const values = [`A${first}`, 'NONE', `A${first + 1}`, `A${first + 2}`];
      const entries = await ended(await pull(values, { method }));
      assert.deepEqual(outline(entries), [
        [`A${first}`, 'done', 4, 4],
        ['NONE', 'not-found', undefined, undefined],
        [`A${first + 1}`, 'failed', 4, 3],
        [`A${first + 2}`, 'done', 4, 4],
      ]);
      assert.match(entries[1]?.reason ?? '', /no such study/);
      assert.match(entries[2]?.reason ?? '', /B000H: it sent 3 instances, 1 failed\. Of 4 instances 3 are here/);
      assert.equal(await countHere(`2.25.1.${first}`), 4);
    });
  }

  it('of patients brings every study of each', async () => {
    for (const number of [30, 31, 32]) keep(number, { patient: number === 32 ? 'P32' : 'MANY' });
    const entries = await ended(await pull(['MANY', 'P32'], { by: 'patient-id' }));
    assert.deepEqual(outline(entries), [
      ['MANY', 'done', 4, 4],
      ['P32', 'done', 4, 4],
      ['MANY', 'done', 4, 4],
    ]);
    assert.deepEqual(new Set(entries.map(({ studyInstanceUid }) => studyInstanceUid)).size, 3);
  });

  it('brings nothing else where the peer does not know the key', async () => {
    keep(37);
    keep(38);
    ignored = new Set([ACCESSION]);
    const entries = await ended(await pull(['A38', 'NONE']));
    ignored = new Set();
    assert.deepEqual(
      entries.map(({ value, state, studyInstanceUid }) => [value, state, studyInstanceUid]),
      [
        ['A38', 'done', '2.25.1.38'],
        ['NONE', 'not-found', undefined],
      ],
    );
    assert.equal(await countHere('2.25.1.37'), 0);
  });

  it('asks for nothing that is here already', async () => {
    keep(33);
    await ended(await pull(['A33']));
    fetches = [];
    assert.deepEqual(outline(await ended(await pull(['A33']))), [['A33', 'done', 4, 4]]);
    assert.deepEqual(fetches, []);
  });

  it('tries again what the peer cannot do now', async () => {
    keep(34);
    refusesBeforeSending = 2;
    assert.deepEqual(outline(await ended(await pull(['A34']))), [['A34', 'done', 4, 4]]);
    assert.equal(refusesBeforeSending, 0);
  });

  it('of a study that the peer mends brings the rest when it is retried', async () => {
    const { instances } = keep(35, { unreadable: 2 });
    const created = await pull(['A35', 'NONE']);
    assert.deepEqual(outline(await ended(created))[0], ['A35', 'failed', 4, 2]);
    kept.set('2.25.1.35', { number: 35, accession: 'A35', patient: 'P35', instances, unreadable: new Set() });
    const retried = await pulls.retry(created.pullId, 'ines');
    assert.equal(retried.counts.waiting, 2);
    assert.deepEqual(outline(await ended(created)), [
      ['A35', 'done', 4, 4],
      ['NONE', 'not-found', undefined, undefined],
    ]);
  });

  it('to a peer that does not know us as a destination fails at once, with the reason', async () => {
    keep(36);
    const known = moveDestinations;
    moveDestinations = {};
    const [entry] = await ended(await pull(['A36'], { method: 'move' }));
    moveDestinations = known;
    assert.equal(entry?.state, 'failed');
    assert.match(entry?.reason ?? '', /does not know our title as a destination \(A801H\)/);
  });

  it('goes on where it was after the site ends, and after the peer was away', async () => {
    for (const number of [40, 41, 42, 43]) keep(number);
    const { port } = pacs;
    await pacs.close(0);
    const created = await pull(['A40', 'A41', 'A42', 'A43']);
    await failedOnce(created);
    await node.stop();
    pacs = await startPacs(port);
    await node.restart();
    pulls = node.imaging.pulls;
    assert.deepEqual(
      (await ended(created)).map(({ state }) => state),
      ['done', 'done', 'done', 'done'],
    );
  });

  it('is refused where it could not work, or could fetch what nobody listed', async () => {
    const refused = (field: string) => ({ code: 'input.invalid', field });
    await assert.rejects(pull(['A1'], { peer: 'NOBODY' }), refused('peer'));
    await assert.rejects(pull(['A1'], { peer: 'SCANNER' }), refused('peer'));
    await assert.rejects(pull(['A1'], { aeTitle: 'ANOTHER' }), refused('aeTitle'));
    await assert.rejects(pull(['A1', 'A*']), refused('values/1'));
    await assert.rejects(pull(['A1\\A2']), refused('values/0'));
    await assert.rejects(pull(['1.2.x'], { by: 'study-instance-uid' }), refused('values/0'));
  });

  it('leaves lines in the audit log that name no patient', async () => {
    keep(50);
    const created = await pull(['A50']);
    await ended(created);
    const records = await readAudit(node.database, { after: 0, limit: 1000 });
    const lines = records.filter(
      ({ object, details }) => object.endsWith(created.pullId) || details['pullId'] === created.pullId,
    );
    assert.deepEqual(
      new Set(lines.map(({ action }) => action)),
      new Set(['study-pull.create', 'study-pull.read', 'study-pull.entry-end']),
    );
    assert.ok(!JSON.stringify(records).includes('A50'));
  });
});

async function failedOnce({ pullId }: Pull): Promise<void> {
  const deadlineMs = performance.now() + WAIT_MS;
  for (;;) {
    const { entries } = await pulls.read(pullId, {}, 'ines');
    if (entries.every(({ state, reason }) => state === 'waiting' && reason?.includes('peer.unreachable'))) return;
    assert.ok(performance.now() < deadlineMs, JSON.stringify(entries));
    await new Promise((resolve) => setTimeout(resolve, 20)); // no notification tells when a row changes
  }
}
