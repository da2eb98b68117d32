import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type ImageConflict, type PatientDisagreement, SITE_ROLES } from '@lantern/contract';
import { readAudit } from '@lantern/service';
import { type ImageWeb, serveImages } from '../../test/image-web.ts';
import { startTestImaging, type TestImaging, takeIn } from '../../test/imaging-harness.ts';
import { type SyntheticImage, syntheticInstance } from '../../test/synthetic-images.ts';
import { verifyArchive } from '../archive/verify.ts';

let node: TestImaging;
let web: ImageWeb;

before(async () => {
  node = await startTestImaging({ name: 'image-findings' });
  web = await serveImages(node);
});

after(async () => {
  await web?.close();
  await node?.close();
});

const receive = (image: SyntheticImage) => takeIn(node.imaging, syntheticInstance(image));

type Answer = { readonly conflicts: ImageConflict[]; readonly disagreements: PatientDisagreement[] };

async function call(path: string, { role = 'data-engineer', body }: { role?: string; body?: unknown } = {}) {
  const response = await fetch(`${web.url}/api/v1/${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${role}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, answer: (await response.json()) as Answer };
}

const disagreements = async () => (await call('image-patient-disagreements')).answer.disagreements;
const conflicts = async () => (await call('image-conflicts')).answer.conflicts;
const decide = (conflictId: string, decision: string, role?: string) =>
  call(`image-conflicts/${conflictId}/decision`, { body: { decision }, ...(role === undefined ? {} : { role }) });

async function audited(action: string) {
  const records = await readAudit(node.database, { after: 0, limit: 1000 });
  return records.filter((record) => record.action === action);
}

async function onlyConflict(sopInstanceUid: string): Promise<ImageConflict> {
  const found = (await conflicts()).filter((one) => one.sopInstanceUid === sopInstanceUid);
  assert.equal(found.length, 1);
  return found[0] as ImageConflict;
}

/** Each file that a row of the table points to, by UID. */
async function filesOf(table: 'image_instance' | 'image_conflict'): Promise<Map<string, string>> {
  const { rows } = await node.database.pool.query(`select sop_instance_uid, file from ${table}`);
  return new Map(rows.map(({ sop_instance_uid: uid, file }) => [uid, node.imaging.archive.files.pathOf(file)]));
}

describe('an instance that says another patient than its study', () => {
  it('is kept, and noted with what differs, once for each way of differing', async () => {
    await receive({ study: 1, series: 1, number: 1 });
    await receive({ study: 1, series: 1, number: 2, patientName: 'DOE^Jane^1 ' }); // the same name
    await receive({ study: 1, series: 1, number: 3, others: { PatientSex: '', PatientBirthDate: '' } }); // says nothing
    assert.deepEqual(await disagreements(), []);
    for (const number of [4, 5]) {
      const { outcome } = await receive({ study: 1, series: 2, number, patientId: 'Q7', patientName: 'Roe^Richard' });
      assert.equal(outcome, 'stored');
    }
    await receive({ study: 1, series: 2, number: 6, others: { PatientBirthDate: '19700101', PatientSex: 'M' } });
    await receive({ study: 2, series: 1, number: 1, patientId: '' });
    await receive({ study: 2, series: 1, number: 2 });
    const found = await disagreements();
    assert.deepEqual(
      found.map(({ studyInstanceUid, sopInstanceUid, attributes }) => [studyInstanceUid, sopInstanceUid, attributes]),
      [
        ['2.25.1.1', '2.25.1.1.2.4', ['PatientID', 'PatientName']],
        ['2.25.1.1', '2.25.1.1.2.6', ['PatientBirthDate', 'PatientSex']],
        ['2.25.1.2', '2.25.1.2.1.2', ['PatientID']],
      ],
    );
    const files = await filesOf('image_instance');
    assert.equal(files.size, 8);
  });

  it('is in the audit log once, without what it says, also when the process ended in between', async () => {
    assert.equal((await audited('image-study.patient-disagreement')).length, 0);
    await node.stop();
    await web.close();
    await node.restart();
    web = await serveImages(node);
    await node.sweep();
    await node.sweep();
    const records = await audited('image-study.patient-disagreement');
    assert.deepEqual(
      records.map(({ details }) => details['attributes']),
      ['PatientID PatientName', 'PatientBirthDate PatientSex', 'PatientID'],
    );
    assert.ok(!JSON.stringify(records).match(/Q7|Roe|2\.25/));
  });

  it('is counted where the archive is verified, and is no fault of it', async () => {
    const { database, imaging } = node;
    const found = await verifyArchive({ database, files: imaging.archive.files, hashes: true });
    assert.deepEqual([found.disagreeingStudyCount, found.problems], [2, []]);
  });
});

describe('a conflict', () => {
  const image = (number: number): SyntheticImage => ({ study: 3, series: 1, number });

  it('is shown with both that claim the UID', async () => {
    for (const number of [1, 2]) {
      await receive(image(number));
      const { outcome } = await receive({ ...image(number), patientName: 'Other^Content', pixelBytes: 2048 });
      assert.equal(outcome, 'conflict');
    }
    const [first, second] = [await onlyConflict('2.25.1.3.1.1'), await onlyConflict('2.25.1.3.1.2')];
    assert.equal(first.studyInstanceUid, '2.25.1.3');
    assert.ok(first.refused.sizeBytes > first.kept.sizeBytes + 1000);
    assert.notEqual(first.refused.contentDigest, first.kept.contentDigest);
    assert.equal(second.decision, undefined);
    const page = await call(`image-conflicts?after=${first.conflictId}`);
    assert.deepEqual(page.answer.conflicts, [second]);
  });

  it('can be left as it is, which is recorded with who said so', async () => {
    const first = await onlyConflict('2.25.1.3.1.1');
    assert.equal((await decide(first.conflictId, 'leave')).status, 200);
    const left = await onlyConflict('2.25.1.3.1.1');
    assert.deepEqual([left.decision, left.decidedBy], ['leave', 'data-engineer']);
    assert.equal((await audited('image-conflict.leave'))[0]?.object, `image-conflict:${first.conflictId}`);
    assert.equal((await filesOf('image_conflict')).size, 2);
  });

  it('can be resolved by discarding what was refused; what has the UID stays as it was', async () => {
    const uid = '2.25.1.3.1.2';
    const kept = (await filesOf('image_instance')).get(uid) ?? '';
    const refused = (await filesOf('image_conflict')).get(uid) ?? '';
    const content = readFileSync(kept);
    const conflict = await onlyConflict(uid);
    assert.ok(existsSync(refused));
    assert.equal((await decide(conflict.conflictId, 'discard')).status, 200);
    assert.ok(!existsSync(refused));
    assert.deepEqual(readFileSync(kept), content);
    assert.ok(!(await filesOf('image_conflict')).has(uid));
    assert.equal((await audited('image-conflict.discard')).length, 1);
    assert.equal((await decide(conflict.conflictId, 'discard')).status, 404);
    // Whoever sends it again is refused again, and it is kept again.
    const { outcome } = await receive({ ...image(2), patientName: 'Other^Content', pixelBytes: 2048 });
    assert.equal(outcome, 'conflict');
    assert.ok((await filesOf('image_conflict')).has(uid));
  });

  it('that was to be discarded when the process ended is gone after the next sweep', async () => {
    const uid = '2.25.1.3.1.2';
    const refused = (await filesOf('image_conflict')).get(uid) ?? '';
    const set = `update image_conflict set decision = 'discard' where sop_instance_uid = $1`;
    await node.database.pool.query(set, [uid]);
    const { database, imaging } = node;
    const found = await verifyArchive({ database, files: imaging.archive.files, hashes: true });
    assert.deepEqual([found.conflictCount, found.problems], [1, []]);
    assert.deepEqual((await conflicts()).length, 1);
    await node.sweep();
    assert.ok(!existsSync(refused));
    assert.ok(!(await filesOf('image_conflict')).has(uid));
  });

  it('that there is not, or a decision that there is not, is refused', async () => {
    assert.equal((await decide('9999', 'discard')).status, 404);
    const first = await onlyConflict('2.25.1.3.1.1');
    assert.equal((await decide(first.conflictId, 'overwrite')).status, 400);
    assert.equal((await decide('1;', 'leave')).status, 400);
    assert.equal((await conflicts()).length, 1);
  });
});

it('findings are for those who keep the archive, and whoever reads them is in the audit log', async () => {
  const may = ['admin', 'data-engineer'];
  for (const role of SITE_ROLES) {
    const expected = may.includes(role) ? 200 : 403;
    assert.equal((await call('image-conflicts', { role })).status, expected, role);
    assert.equal((await call('image-patient-disagreements', { role })).status, expected, role);
    assert.equal((await decide('9999', 'leave', role)).status, may.includes(role) ? 404 : 403, role);
  }
  const actors = (await audited('image-conflicts.list')).map(({ actor }) => actor);
  assert.ok(actors.includes('user:admin') && !actors.includes('user:clinician'));
});
