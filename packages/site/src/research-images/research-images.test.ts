import assert from 'node:assert/strict';
import { readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { type ImageCollection, type ProjectId, pathOf, RESEARCH_IMAGES_API } from '@lantern/contract';
import { memorySource, openPixels, readPart10, tagOfKeyword, textOf } from '@lantern/dicom';
import { assertRouteAuthorisation, createHttpClient, newId, readAudit, systemClock } from '@lantern/service';
import {
  approve,
  approvedCollection,
  createCollection,
  receive,
  startTestResearch,
  type TestResearch,
} from '../../test/research-harness.ts';
import { CAPTURE_DARK, CAPTURE_SIDE, ctSlice, screenCapture, storedValue } from '../../test/synthetic-ct.ts';
import { askForStudy } from './copy-jobs.ts';

type CollectionId = ImageCollection['collectionId'];

const textIn = (bytes: Buffer, keyword: string) =>
  textOf(readPart10(memorySource(bytes)).dataSet, tagOfKeyword(keyword) ?? 0);

const standing = new Map<ProjectId, boolean>();
const DAY_MS = 86_400_000;
const LOCK_WAIT_MS_MAX = 10_000;
const RACE_MS = 1000;
/** Runs in the transaction that ends a study, behind what asks for its copies. */
let beforeStudyEnds: (() => Promise<void>) | undefined;
/** Runs while an image is read for text, once its patient has been judged. */
let beforeTextIsRead: (() => Promise<void>) | undefined;
let node: TestResearch;

before(async () => {
  node = await startTestResearch({
    name: 'research-images',
    research: {
      projectStands: async (projectId) => standing.get(projectId) ?? false,
      readText: async () => {
        await beforeTextIsRead?.();
        return [];
      },
    },
    followers: [async () => beforeStudyEnds?.()],
  });
});

after(async () => {
  await node?.close();
});

/** Most collections list the studies of their test, so that those of others do not come in. */
function listing(...studies: readonly number[]) {
  const studyInstanceUids = studies.map((study) => `2.25.7.${study}`);
  return { studies: { kind: 'listed', studyInstanceUids, accessionNumbers: [] } };
}

const copiesOf = async (collectionId: CollectionId) =>
  (await node.copies()).filter((file) => file.startsWith(`${collectionId}/`));
const readCopy = (file: string) => readFile(path.join(node.copyDir, file));
const collectionNow = (collectionId: CollectionId) =>
  node.as('governance').call(RESEARCH_IMAGES_API.readImageCollection, { params: { collectionId } });
const manifestOf = (collectionId: CollectionId) =>
  node.as('data-engineer').call(RESEARCH_IMAGES_API.readImageManifest, { params: { collectionId } });
const studiesOf = async (collectionId: CollectionId) =>
  (await node.as('governance').call(RESEARCH_IMAGES_API.listResearchStudies, { params: { collectionId } })).studies;
const withdraw = (collectionId: CollectionId) =>
  node.as('governance').call(RESEARCH_IMAGES_API.withdrawImageCollection, {
    params: { collectionId },
    body: { reason: 'the study of chests has ended' },
  });
const heldItems = async (collectionId: CollectionId, state: 'held' | 'refused' | 'released' = 'held') => {
  const { items } = await node.as('governance').call(RESEARCH_IMAGES_API.listQuarantine, { query: { state } });
  return items.filter((item) => item.collectionId === collectionId);
};

async function download(
  operation: (typeof RESEARCH_IMAGES_API)['readResearchVolume' | 'readResearchInstance' | 'renderQuarantined'],
  params: Record<string, string>,
  role: 'data-engineer' | 'governance' = 'data-engineer',
) {
  const http = createHttpClient({ baseUrl: node.url, token: node.tokens[role], clock: systemClock });
  const { body } = await http.download(pathOf(operation, params));
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(Buffer.from(chunk));
  http.close();
  return Buffer.concat(chunks);
}

describe('a study that arrives', () => {
  it('is copied for an approved collection, de-identified and under new names', async () => {
    const { collectionId } = await approvedCollection(node);
    for (const slice of [1, 2, 3]) await receive(node, ctSlice({ study: 1, slice }));
    await node.settle();
    const copies = await copiesOf(collectionId);
    assert.equal(copies.length, 3);
    for (const file of copies) {
      const bytes = await readCopy(file);
      assert.match(textIn(bytes, 'PatientID') ?? '', /^PSN/);
      assert.equal(file.split('/')[1], textIn(bytes, 'PatientID'));
      assert.ok(!bytes.includes('HOSP1') && !bytes.includes('Doe1'));
    }
    const { studies } = await manifestOf(collectionId);
    assert.deepEqual(
      studies.map(({ series }) => series.map(({ instances, volume }) => [instances.length, volume.kind])),
      [[[3, 'volume']]],
    );
    assert.deepEqual(studies[0]?.series[0]?.instances.map(({ file }) => `${collectionId}/${file}`).sort(), copies);
    await withdraw(collectionId);
  });

  it('is copied only as far as it is new when it goes on later, and its copies stay as they are', async () => {
    const { collectionId } = await approvedCollection(node, { name: 'late', ...listing(2) });
    for (const slice of [1, 2]) await receive(node, ctSlice({ study: 2, slice }));
    await node.settle();
    const firstCopies = await copiesOf(collectionId);
    const first = await Promise.all(firstCopies.map(readCopy));
    await receive(node, ctSlice({ study: 2, slice: 3 }));
    await node.settle();
    assert.equal((await copiesOf(collectionId)).length, 3);
    assert.deepEqual(await Promise.all(firstCopies.map(readCopy)), first);
    const [study] = (await manifestOf(collectionId)).studies;
    assert.equal(study?.series[0]?.volume.kind === 'volume' && study.series[0].volume.slices, 3);
  });

  it('is not copied for a draft, for another title, or where no series fits', async () => {
    const draft = await createCollection(node, { name: 'draft' });
    const other = await approvedCollection(node, { name: 'other', studies: { kind: 'arriving', aeTitles: ['OTHER'] } });
    const thick = await approvedCollection(node, {
      name: 'thick',
      series: [{ sliceThicknessMm: { min: 5, max: 10 } }],
      ...listing(3),
    });
    await receive(node, ctSlice({ study: 3, slice: 1 }));
    await node.settle();
    for (const { collectionId } of [draft, other, thick]) assert.deepEqual(await copiesOf(collectionId), []);
    assert.deepEqual(
      (await studiesOf(thick.collectionId)).map(({ state, why }) => [state, why]),
      [['done', 'no-series-fits']],
    );
    await receive(node, { ...ctSlice({ study: 4, slice: 1 }), calledAe: 'OTHER' });
    await node.settle();
    assert.equal((await copiesOf(other.collectionId)).length, 1);
    await withdraw(other.collectionId);
  });

  it('is copied where it was here before the approval: by its UID, its accession number, or its title', async () => {
    for (const study of [5, 6]) await receive(node, { ...ctSlice({ study, slice: 1 }), calledAe: 'OTHER' });
    await node.settle();
    const byUid = await approvedCollection(node, { name: 'by-uid', ...listing(5) });
    const byAccession = await approvedCollection(node, {
      name: 'by-accession',
      studies: { kind: 'listed', studyInstanceUids: [], accessionNumbers: ['ACC6', 'ACC5'] },
    });
    const byTitle = await approvedCollection(node, {
      name: 'by-title',
      studies: { kind: 'arriving', aeTitles: ['OTHER'] },
    });
    await node.settle();
    const counts = await Promise.all(
      [byUid, byAccession, byTitle].map(async ({ collectionId }) => (await copiesOf(collectionId)).length),
    );
    assert.deepEqual(counts, [1, 2, 3]); // study 4 came to the title as well
    await withdraw(byTitle.collectionId);
  });
});

describe('a study that ends beside an approval, neither of which sees the other yet', () => {
  it('is copied all the same, since one waits for the other', async () => {
    await receive(node, ctSlice({ study: 7, slice: 1 }));
    const { collectionId } = await createCollection(node, { name: 'beside', ...listing(7) });
    let approving: Promise<unknown> | undefined;
    beforeStudyEnds = async () => {
      beforeStudyEnds = undefined;
      approving = approve(node, collectionId);
      const deadline = performance.now() + LOCK_WAIT_MS_MAX;
      const waits = async () =>
        (await node.database.pool.query("select 1 from pg_locks where locktype = 'advisory' and not granted")).rowCount;
      while ((await waits()) === 0) assert.ok(performance.now() < deadline, 'the approval did not wait');
    };
    await node.settle();
    await approving;
    await node.settle();
    assert.equal((await copiesOf(collectionId)).length, 1);
  });
});

describe('pseudonyms', () => {
  it('agree between collections of one project, and not between projects', async () => {
    const [one, two] = [newId('ProjectId'), newId('ProjectId')];
    standing.set(one, true).set(two, true);
    await receive(node, ctSlice({ study: 10, slice: 1 }));
    await node.settle();
    const patients = [];
    for (const [name, projectId] of [
      ['one-a', one],
      ['one-b', one],
      ['two', two],
    ] as const) {
      const { collectionId } = await approvedCollection(node, { name, projectId, ...listing(10) });
      await node.settle();
      const [study] = (await manifestOf(collectionId)).studies;
      patients.push([study?.patient, study?.studyInstanceUid]);
    }
    assert.deepEqual(patients[0], patients[1]);
    assert.notEqual(patients[0]?.[0], patients[2]?.[0]);
    assert.notEqual(patients[0]?.[1], patients[2]?.[1]);
  });
});

describe("a project's collection", () => {
  it('is approved, copied and read only while the approval of the project stands', async () => {
    const projectId = newId('ProjectId');
    await receive(node, ctSlice({ study: 11, slice: 1 }));
    await node.settle();
    const { collectionId } = await createCollection(node, { name: 'asked', projectId, ...listing(11, 12) });
    await assert.rejects(approve(node, collectionId), { code: 'policy.not-approved' });
    standing.set(projectId, true);
    await approve(node, collectionId);
    await node.settle();
    assert.equal((await copiesOf(collectionId)).length, 1);
    standing.set(projectId, false);
    await receive(node, ctSlice({ study: 12, slice: 1 }));
    await node.settle();
    assert.equal((await copiesOf(collectionId)).length, 1);
    assert.deepEqual(
      (await studiesOf(collectionId)).map(({ state, why }) => [state, why]),
      [
        ['done', undefined],
        ['waiting', 'project-not-approved'],
      ],
    );
    await assert.rejects(manifestOf(collectionId), { code: 'policy.not-approved' });
    standing.set(projectId, true);
    await node.settle(); // the sweep finds what waited
    assert.equal((await manifestOf(collectionId)).studies.length, 2);
  });
});

describe('a version of a collection', () => {
  it('has copies of its own, and takes the place of the one before', async () => {
    await receive(node, ctSlice({ study: 13, slice: 1 }));
    await node.settle();
    const first = await approvedCollection(node, { name: 'versions', ...listing(13, 14) });
    await node.settle();
    const second = await createCollection(node, {
      name: 'versions',
      profile: { name: 'test', patientCharacteristics: 'retain' },
      ...listing(13, 14),
    });
    assert.deepEqual([first.version, second.version], [1, 2]);
    await approve(node, second.collectionId);
    await receive(node, ctSlice({ study: 14, slice: 1 }));
    await node.settle();
    assert.equal((await collectionNow(first.collectionId)).state, 'superseded');
    const [old] = await copiesOf(first.collectionId);
    const fresh = await copiesOf(second.collectionId);
    assert.equal((await copiesOf(first.collectionId)).length, 1);
    assert.equal(fresh.length, 2);
    assert.equal(textIn(await readCopy(old ?? ''), 'PatientSex') ?? '', '');
    assert.equal(textIn(await readCopy(fresh[0] ?? ''), 'PatientSex'), 'F');
    await askAgain(first.collectionId);
    assert.equal((await manifestOf(first.collectionId)).studies.length, 1);
  });

  it('loses its copies when it is withdrawn, and can never be approved again', async () => {
    await receive(node, ctSlice({ study: 15, slice: 1 }));
    await node.settle();
    const { collectionId } = await approvedCollection(node, { name: 'ended', ...listing(15, 16) });
    await node.settle();
    assert.equal((await copiesOf(collectionId)).length, 1);
    await withdraw(collectionId);
    await receive(node, ctSlice({ study: 16, slice: 1 }));
    await node.settle();
    assert.deepEqual(await copiesOf(collectionId), []);
    assert.ok((await collectionNow(collectionId)).removedAt !== undefined);
    await assert.rejects(manifestOf(collectionId), { code: 'policy.not-approved' });
    await assert.rejects(approve(node, collectionId), { code: 'state.transition-refused' });
  });

  it('is refused with a profile or a project that does not fit', async () => {
    await assert.rejects(createCollection(node, { name: 'wrong', profile: { dates: 'guess' } }), (caught: Error) =>
      /profile: dates must be one of/.test(caught.message),
    );
    await createCollection(node, { name: 'mine' });
    await assert.rejects(createCollection(node, { name: 'mine', projectId: newId('ProjectId') }), { code: 'conflict' });
  });
});

describe('an image that de-identification holds back', () => {
  it('waits with its reason, is shown to governance, and passes with what a person says of its pixels', async () => {
    for (const number of [1, 2, 3]) await receive(node, screenCapture({ study: 20, number }));
    await node.settle();
    const { collectionId } = await approvedCollection(node, { name: 'screens', ...listing(20) });
    await node.settle();
    assert.deepEqual(await copiesOf(collectionId), []);
    const [one, two, three] = await heldItems(collectionId);
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    assert.deepEqual([one.reasons, one.releasable, one.rows], [['secondary-capture'], true, CAPTURE_SIDE]);
    const { quarantineId } = one;
    const governance = node.as('governance');
    const detail = await governance.call(RESEARCH_IMAGES_API.readQuarantined, { params: { quarantineId } });
    assert.ok(detail.planned?.entries.some(({ path: at }) => at === '(0010,0010)'));
    const picture = await download(RESEARCH_IMAGES_API.renderQuarantined, { quarantineId }, 'governance');
    assert.equal(picture.subarray(1, 4).toString(), 'PNG');
    const regions = [{ x: 2, y: 0, width: 3, height: 4 }];
    await governance.call(RESEARCH_IMAGES_API.releaseQuarantined, {
      params: { quarantineId },
      body: { kind: 'regions', regions },
    });
    await governance.call(RESEARCH_IMAGES_API.releaseQuarantined, {
      params: { quarantineId: two.quarantineId },
      body: { kind: 'no-burnt-in-text' },
    });
    await governance.call(RESEARCH_IMAGES_API.refuseQuarantined, { params: { quarantineId: three.quarantineId } });
    await node.settle();
    const copies = await Promise.all((await copiesOf(collectionId)).map(readCopy));
    const dark = copies.map((bytes) => darkPixels(bytes));
    assert.deepEqual(
      dark.sort(),
      [[], regions.flatMap(({ x, y, width, height }) => inside(x, y, width, height))].sort(),
    );
    assert.deepEqual(
      copies.map((bytes) => textIn(bytes, 'BurnedInAnnotation')),
      ['NO', 'NO'],
    );
    const { copies: counts } = await collectionNow(collectionId);
    assert.deepEqual([counts.copiedInstances, counts.heldInstances], [2, 0]);
    await assertAudited('image-quarantine.release', 2);
    await assertAudited('image-quarantine.look', 1);
  });

  it('is not asked for a second time, in whatever collection it turns up', async () => {
    const { collectionId } = await approvedCollection(node, { name: 'screens-again', ...listing(20) });
    await node.settle();
    assert.equal((await copiesOf(collectionId)).length, 2);
    assert.deepEqual(await heldItems(collectionId), []);
    assert.equal((await heldItems(collectionId, 'refused')).length, 1);
  });

  it('loses its copies everywhere when a release is taken back', async () => {
    const [released] = (
      await node.as('governance').call(RESEARCH_IMAGES_API.listQuarantine, { query: { state: 'released' } })
    ).items;
    assert.ok(released !== undefined);
    const count = (await node.copies()).length;
    await node.as('governance').call(RESEARCH_IMAGES_API.refuseQuarantined, {
      params: { quarantineId: released.quarantineId },
    });
    await node.settle();
    assert.equal((await node.copies()).length, count - 2); // in both collections
  });

  it('can only be refused where its reason is no text in its pixels', async () => {
    const shown = { RecognizableVisualFeatures: 'YES' };
    await receive(node, screenCapture({ study: 21, number: 1, texts: shown }));
    await node.settle();
    const { collectionId } = await approvedCollection(node, { name: 'faces', ...listing(21) });
    await node.settle();
    const [item] = await heldItems(collectionId);
    assert.deepEqual([item?.reasons, item?.releasable], [['recognizable-person'], false]);
    const release = node.as('governance').call(RESEARCH_IMAGES_API.releaseQuarantined, {
      params: { quarantineId: item?.quarantineId ?? newId('QuarantineId') },
      body: { kind: 'no-burnt-in-text' },
    });
    await assert.rejects(release, { code: 'policy.refused' });
  });
});

describe('the report of a study', () => {
  it('names every action on every copy by place and rule, once for all that were treated alike', async () => {
    for (const slice of [1, 2, 3]) await receive(node, ctSlice({ study: 30, slice }));
    await node.settle();
    const { collectionId } = await approvedCollection(node, { name: 'reported', ...listing(30) });
    await node.settle();
    const [study] = await studiesOf(collectionId);
    const { reports } = await node.as('governance').call(RESEARCH_IMAGES_API.readStudyReport, {
      params: { collectionId, studyKey: study?.studyKey ?? '0' },
    });
    assert.equal(reports.length, 1);
    assert.equal(reports[0]?.sopInstanceUids.length, 3);
    assert.ok(reports[0]?.report.entries.some(({ path: at, action }) => at === '(0010,0030)' && action !== 'keep'));
  });

  it('can be seen before, for a profile that is only thought of, and no copy is made of it', async () => {
    const before = (await node.copies()).length;
    const preview = (profile: object) =>
      node.as('data-engineer').call(RESEARCH_IMAGES_API.previewDeidentification, {
        body: { studyInstanceUid: '2.25.7.30', profile: { ...profile } },
      });
    const [removing] = (await preview({})).series;
    const [retaining] = (await preview({ patientCharacteristics: 'retain' })).series;
    assert.deepEqual([removing?.instanceCount, removing?.reasons], [3, []]);
    assert.ok(!removing?.kept.includes('PatientSex') && removing?.kept.includes('Rows'));
    assert.ok(retaining?.kept.includes('PatientSex') && !retaining.kept.includes('PatientName'));
    const [capture] = (
      await node.as('governance').call(RESEARCH_IMAGES_API.previewDeidentification, {
        body: { studyInstanceUid: '2.25.7.20', profile: {} },
      })
    ).series;
    assert.deepEqual(capture?.reasons, ['secondary-capture']);
    assert.equal((await node.copies()).length, before);
  });
});

describe('the volume of a series of copies', () => {
  it('is the same as its slices, rescaled and in order, with their place in the patient', async () => {
    for (const slice of [3, 1, 2]) await receive(node, ctSlice({ study: 31, slice }));
    await node.settle();
    const { collectionId } = await approvedCollection(node, { name: 'volumes', ...listing(31) });
    await node.settle();
    const [study] = (await manifestOf(collectionId)).studies;
    const [series] = study?.series ?? [];
    assert.deepEqual(series?.volume.kind === 'volume' && [series.volume.spacingMm, series.volume.affine], [
      [0.25, 0.5, 2],
      [
        [-0.25, 0, 0, -10],
        [0, -0.5, 0, -20],
        [0, 0, 2, 32],
        [0, 0, 0, 1],
      ],
    ]);
    const params = { collectionId, seriesInstanceUid: series?.seriesInstanceUid ?? '' };
    const nifti = gunzipSync(await download(RESEARCH_IMAGES_API.readResearchVolume, params));
    assert.deepEqual(
      [1, 2, 3].map((axis) => nifti.readInt16LE(40 + 2 * axis)),
      [3, 4, 3],
    ); // columns, rows, slices
    const start = nifti.readFloatLE(108);
    const values = Array.from({ length: 36 }, (_, index) => nifti.readInt16LE(start + 2 * index));
    const expected = [1, 2, 3].flatMap((slice) => Array.from({ length: 12 }, (_, at) => storedValue(slice, at) - 1000));
    assert.deepEqual(values, expected);
    const [instance] = series?.instances ?? [];
    const file = await download(RESEARCH_IMAGES_API.readResearchInstance, {
      collectionId,
      sopInstanceUid: instance?.sopInstanceUid ?? '',
    });
    assert.deepEqual(
      [file.byteLength, textIn(file, 'SOPInstanceUID')],
      [instance?.sizeBytes, instance?.sopInstanceUid],
    );
  });

  it('is refused with the reason where the slices make none', async () => {
    await receive(node, ctSlice({ study: 32, slice: 1 }));
    await receive(node, ctSlice({ study: 32, slice: 2, orientation: [0, 1, 0, 0, 0, -1] }));
    await node.settle();
    const { collectionId } = await approvedCollection(node, { name: 'no-volume', ...listing(32) });
    await node.settle();
    const [series] = (await manifestOf(collectionId)).studies[0]?.series ?? [];
    assert.equal(series?.volume.kind, 'none');
    const params = { collectionId, seriesInstanceUid: series?.seriesInstanceUid ?? '' };
    await assert.rejects(download(RESEARCH_IMAGES_API.readResearchVolume, params), (caught: Error) =>
      /different orientation/.test(caught.message),
    );
  });
});

describe('a patient who opted out', () => {
  const load = (list: 'patient-ids' | 'nhs-numbers', entries: string[], ageDays = 0) =>
    node.as('governance').call(RESEARCH_IMAGES_API.loadOptOuts, {
      params: { list },
      body: { asOf: new Date(Date.now() - ageDays * DAY_MS).toISOString(), entries },
    });

  it('is not copied, loses the copies made before, and comes back when the list does without', async () => {
    for (const study of [40, 41]) await receive(node, ctSlice({ study, slice: 1 }));
    await receive(node, ctSlice({ study: 42, slice: 1, otherPatientIds: ['943 476 5919'] }));
    await receive(node, ctSlice({ study: 43, slice: 1, texts: { PatientID: '' } }));
    await node.settle();
    const { collectionId } = await approvedCollection(node, { name: 'opted', ...listing(40, 41, 42, 43) });
    await node.settle();
    const states = async () => (await studiesOf(collectionId)).map(({ state, why }) => why ?? state);
    assert.deepEqual(await states(), ['done', 'done', 'done', 'done']);
    await load('patient-ids', ['hosp 41']);
    await node.settle();
    assert.deepEqual(await states(), ['done', 'opted-out', 'done', 'patient-not-identified']);
    assert.equal((await manifestOf(collectionId)).studies.length, 2);
    assert.equal((await copiesOf(collectionId)).length, 2);
    await load('nhs-numbers', ['9434765919']);
    await node.settle();
    assert.deepEqual(await states(), ['done', 'opted-out', 'opted-out', 'patient-not-identified']);
    const again = await approvedCollection(node, { name: 'opted-again', ...listing(40, 41, 42, 43) });
    await node.settle();
    assert.deepEqual(
      (await studiesOf(again.collectionId)).map(({ state, why }) => why ?? state),
      ['done', 'opted-out', 'opted-out', 'patient-not-identified'],
    );
    await load('patient-ids', []);
    await node.settle();
    assert.deepEqual(await states(), ['done', 'done', 'opted-out', 'patient-not-identified']);
  });

  it('is kept out by closing everything when a list is too old, until a newer one is here', async () => {
    await node.database.pool.query(
      "update opt_out_list set as_of = now() - interval '8 days' where list = 'patient-ids'",
    );
    await receive(node, ctSlice({ study: 44, slice: 1 }));
    await node.settle();
    const { collectionId } = await approvedCollection(node, { name: 'closed', ...listing(44) });
    await node.settle();
    const status = await node.as('data-engineer').call(RESEARCH_IMAGES_API.readOptOuts, {});
    assert.deepEqual([status.open, status.lists.map(({ isStale }) => isStale)], [false, [true, false]]);
    assert.deepEqual(await copiesOf(collectionId), []);
    await assert.rejects(manifestOf(collectionId), { code: 'policy.refused' });
    assert.equal((await studiesOf(collectionId))[0]?.why, 'opt-outs-too-old');
    await load('patient-ids', []);
    await node.settle();
    assert.equal((await copiesOf(collectionId)).length, 1);
    await assert.rejects(load('patient-ids', [], 3), { code: 'conflict' });
    await assert.rejects(load('nhs-numbers', ['943 476 5918']), { code: 'input.invalid' });
  });
});

describe('a patient who opts out while his study is being copied', () => {
  it('has no copy in the end, whichever list the copy was begun under', async () => {
    await receive(node, ctSlice({ study: 45, slice: 1, otherPatientIds: ['HOSP45B'] }));
    await node.settle();
    const { collectionId } = await createCollection(node, {
      name: 'meanwhile',
      profile: { readPixels: 'all' },
      ...listing(45),
    });
    beforeTextIsRead = async () => {
      beforeTextIsRead = undefined;
      await node.as('governance').call(RESEARCH_IMAGES_API.loadOptOuts, {
        params: { list: 'patient-ids' },
        body: { asOf: new Date().toISOString(), entries: ['HOSP45B'] },
      });
      // The job that follows the list either waits for this one, or would be done with it before this one writes.
      const deadline = performance.now() + RACE_MS;
      while (performance.now() < deadline && (await studiesOf(collectionId))[0]?.state !== 'opted-out');
    };
    await approve(node, collectionId);
    await node.settle();
    assert.equal((await studiesOf(collectionId))[0]?.state, 'opted-out');
    assert.deepEqual(await copiesOf(collectionId), []);
  });
});

describe('what fails for good', () => {
  const retry = (collectionId: CollectionId) =>
    node.as('data-engineer').call(RESEARCH_IMAGES_API.retryImageCollection, { params: { collectionId } });
  /** Waits for it; its row stays with the queue, which is no concern of what follows. */
  const awaitFailure = async () => {
    await assert.rejects(node.idle(), /A job failed/);
    await node.database.pool.query('delete from graphile_worker._private_jobs where attempts >= max_attempts');
  };

  it('of a study is its state with the reason, gives nothing meanwhile, and is done when it is tried again', async () => {
    const { collectionId } = await approvedCollection(node, { name: 'faulty', ...listing(70) });
    await receive(node, ctSlice({ study: 70, slice: 1 }));
    await node.settle();
    await receive(node, ctSlice({ study: 70, slice: 2 }));
    const file = node.imaging.archive.files.pathOf(await fileOfSlice(70, 2));
    const elsewhere = path.join(node.dir, 'away');
    await rename(file, elsewhere);
    await node.endStudies();
    await awaitFailure();
    const [study] = await studiesOf(collectionId);
    assert.deepEqual([study?.state, study?.why, study?.copiedInstances], ['failed', 'internal', 1]);
    assert.equal((await collectionNow(collectionId)).copies.failedStudies, 1);
    assert.deepEqual((await manifestOf(collectionId)).studies, []);
    await assertAudited('research-images.fail', 1);

    await rename(elsewhere, file);
    const { copies } = await retry(collectionId);
    assert.deepEqual([copies.failedStudies, copies.pendingStudies], [0, 1]);
    await node.settle();
    assert.equal((await studiesOf(collectionId))[0]?.state, 'done');
    assert.equal((await copiesOf(collectionId)).filter((name) => name.endsWith('.dcm')).length, 2);
    await assertAudited('image-collection.retry', 1);
  });

  it('of a collection is its fault, and is done when it is tried again: filling it, and removing its copies', async () => {
    await receive(node, ctSlice({ study: 71, slice: 1 }));
    await node.settle();
    const { collectionId } = await createCollection(node, { name: 'faulty-whole', ...listing(71) });
    await withoutTable('image_arrival', async () => {
      await approve(node, collectionId);
      await awaitFailure();
    });
    assert.deepEqual((await collectionNow(collectionId)).fault, { step: 'fill', code: 'internal' });
    assert.equal((await retry(collectionId)).fault, undefined);
    await node.settle();
    assert.equal((await copiesOf(collectionId)).length, 1);

    const removals = 'alter table image_collection';
    await node.database.pool.query(`${removals} add constraint no_removal check (removed_at is null) not valid`);
    await withdraw(collectionId);
    await awaitFailure();
    await node.database.pool.query(`${removals} drop constraint no_removal`);
    const { fault, removedAt } = await collectionNow(collectionId);
    assert.deepEqual([fault?.step, removedAt], ['remove', undefined]);
    await retry(collectionId);
    await node.settle();
    assert.deepEqual(await copiesOf(collectionId), []);
    assert.notEqual((await collectionNow(collectionId)).removedAt, undefined);
  });

  it('of a list of opt-outs is asked for again by itself', async () => {
    const body = { asOf: new Date().toISOString(), entries: ['HOSP72'] };
    await withoutTable('research_study', async () => {
      await node.as('governance').call(RESEARCH_IMAGES_API.loadOptOuts, { params: { list: 'patient-ids' }, body });
      await awaitFailure();
    });
    const { rows } = await node.database.pool.query(
      `select run_at > now() + interval '5 minutes' as "isLater" from graphile_worker._private_jobs where attempts < max_attempts`,
    );
    assert.deepEqual(rows, [{ isLater: true }]);
    await node.database.pool.query('update graphile_worker._private_jobs set run_at = now()');
    await node.settle();
  });
});

describe('the operations of research images', () => {
  it('answer each role and nobody else, as they declare', async () => {
    const asked = await assertRouteAuthorisation({
      server: { routes: [...node.imaging.routes] },
      url: node.url,
      tokensByRole: node.tokens,
    });
    assert.ok(asked > 50);
  });
});

async function fileOfSlice(study: number, slice: number): Promise<string> {
  const { rows } = await node.database.pool.query<{ file: string }>(
    `select file from image_instance join image_series using (series_key) join image_study using (study_key)
      where study_instance_uid = $1 and instance_number = $2`,
    [`2.25.7.${study}`, slice],
  );
  return rows[0]?.file ?? '';
}

/** A database that cannot do what is asked. */
async function withoutTable(name: string, work: () => Promise<void>): Promise<void> {
  await node.database.pool.query(`alter table ${name} rename to ${name}_away`);
  try {
    await work();
  } finally {
    await node.database.pool.query(`alter table ${name}_away rename to ${name}`);
  }
}

/** As a decision on an image of a study or a new list does. */
async function askAgain(collectionId: CollectionId): Promise<void> {
  const [study] = await studiesOf(collectionId);
  await node.database.transaction((tx) => askForStudy(tx, { collectionId, studyKey: study?.studyKey ?? '0' }));
  await node.settle();
}

async function assertAudited(action: string, count: number): Promise<void> {
  const records = await readAudit(node.database, { after: 0, limit: 1000 });
  assert.equal(records.filter((record) => record.action === action).length, count, action);
}

/** Places of blacked out pixels in a capture, "x,y". */
function darkPixels(bytes: Buffer): string[] {
  const { values } = openPixels(readPart10(memorySource(bytes))).frame(0);
  return [...values.slice(0, -1)].flatMap((value, index) =>
    value === CAPTURE_DARK ? [`${index % CAPTURE_SIDE},${Math.floor(index / CAPTURE_SIDE)}`] : [],
  );
}

function inside(x: number, y: number, width: number, height: number): string[] {
  return Array.from({ length: height }, (_, row) => row).flatMap((row) =>
    Array.from({ length: width }, (_, column) => `${x + column},${y + row}`),
  );
}
