/** Rows that somebody changed in the site's database: no image is copied or given but by what governance signed last. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type ImageCollection, type ImageCollectionId, PAYLOAD_TYPES, RESEARCH_IMAGES_API } from '@lantern/contract';
import { generateKeyPair, readAudit, signEnvelope } from '@lantern/service';
import {
  approve,
  approvedCollection,
  createCollection,
  receive,
  startTestResearch,
  type TestResearch,
} from '../../test/research-harness.ts';
import { ctSlice, screenCapture } from '../../test/synthetic-ct.ts';
import { askForStudy } from './copy-jobs.ts';

let node: TestResearch;
let lastStudy = 500;

before(async () => {
  node = await startTestResearch({ name: 'research-tampering' });
});

after(async () => {
  await node?.close();
});

type CollectionId = ImageCollection['collectionId'];

const listing = (study: number) => ({
  studies: { kind: 'listed', studyInstanceUids: [`2.25.7.${study}`], accessionNumbers: [] },
});
const run = (statement: string, ...values: unknown[]) => node.database.pool.query(statement, values);
const copiesOf = async (collectionId: CollectionId) =>
  (await node.copies()).filter((file) => file.startsWith(`${collectionId}/`) && file.endsWith('.dcm'));
const withdraw = (collectionId: CollectionId) =>
  node.as('governance').call(RESEARCH_IMAGES_API.withdrawImageCollection, {
    params: { collectionId },
    body: { reason: 'it has ended' },
  });

/** A study that no collection has seen, with as many slices. */
async function newStudy(): Promise<number> {
  lastStudy += 1;
  await receive(node, ctSlice({ study: lastStudy, slice: 1 }));
  await node.settle();
  return lastStudy;
}

/** As what follows a study does: asks for its copy, whatever the collection's row says. */
async function copied(
  collectionId: CollectionId,
  study: number,
): Promise<{ state: string; why: string; files: number }> {
  const { rows } = await run(
    'select study_key::text as key from image_study where study_instance_uid = $1',
    `2.25.7.${study}`,
  );
  await node.database.transaction((tx) => askForStudy(tx, { collectionId, studyKey: rows[0].key }));
  await node.settle();
  const found = await run('select state, why from research_study where collection_id = $1', collectionId);
  return { ...found.rows[0], files: (await copiesOf(collectionId)).length };
}

const NOT_SIGNED = { state: 'waiting', why: 'approval-not-signed', files: 0 };

async function assertRejected(collectionId: CollectionId, study: number, files = 0): Promise<void> {
  for (const attempt of [1, 2])
    assert.deepEqual(await copied(collectionId, study), { ...NOT_SIGNED, files }, `attempt ${attempt}`);
  const reading = node.as('data-engineer').call(RESEARCH_IMAGES_API.readImageManifest, { params: { collectionId } });
  await assert.rejects(reading, { code: 'envelope.rejected' });
  const noted = (await readAudit(node.database, { after: 0, limit: 1000 })).filter(
    ({ action, object }) => action === 'image-collection.reject' && object === collectionId,
  );
  // By the jobs, and by the reader: after a restart these are of two processes.
  assert.ok(noted.length === 1 || noted.length === 2, `${noted.length} lines`);
  assert.ok(noted.every(({ outcome, actor }) => outcome === 'failure' && actor === 'site'));
}

async function draftOf(study: number, name = `draft-${study}`): Promise<ImageCollectionId> {
  return (await createCollection(node, { name, ...listing(study) })).collectionId;
}

describe('an approval', () => {
  it('that nobody changed is acted upon, also after a restart', async () => {
    const study = await newStudy();
    const { collectionId } = await approvedCollection(node, { name: 'whole', ...listing(study) });
    await node.stop();
    await node.restart();
    await node.settle();
    assert.equal((await copiesOf(collectionId)).length, 1);
  });

  it('is none where a draft only says so', async () => {
    const study = await newStudy();
    const collectionId = await draftOf(study);
    await run(`update image_collection set state = 'approved' where collection_id = $1`, collectionId);
    await assertRejected(collectionId, study);
  });

  it('is none where it was signed for another collection, or by another key', async () => {
    const study = await newStudy();
    const { collectionId: approved } = await approvedCollection(node, { name: `signed-${study}`, ...listing(study) });
    await node.settle();
    const { rows } = await run('select approval from image_collection where collection_id = $1', approved);
    const payload = JSON.parse(Buffer.from(rows[0].approval.payload, 'base64').toString());
    for (const forge of [
      () => rows[0].approval,
      (collectionId: string) =>
        signEnvelope({
          payloadType: PAYLOAD_TYPES.imageApproval,
          payload: { ...payload, collectionId },
          keyPair: generateKeyPair(),
        }),
    ]) {
      const collectionId = await draftOf(study);
      await run(
        `update image_collection set state = 'approved', approval = $2 where collection_id = $1`,
        collectionId,
        JSON.stringify(forge(collectionId)),
      );
      await assertRejected(collectionId, study);
    }
  });

  for (const [what, change] of Object.entries({
    profile: `profile = profile || '{"uids": "retain", "dates": "retain"}'`,
    series: `series = '[{}]'`,
    studies: `studies = '{"kind": "arriving", "aeTitles": ["LANTERN"]}'`,
    project: `project_id = 'proj_00000000000000000000000000'`,
    name: `name = 'another'`,
  })) {
    it(`ends with a change of its ${what}`, async () => {
      const study = await newStudy();
      const { collectionId } = await approvedCollection(node, { name: `of-${what}`, ...listing(study) });
      await node.settle();
      await run(`update image_collection set ${change} where collection_id = $1`, collectionId);
      await assertRejected(collectionId, study, 1);
    });
  }

  it('does not come back after it was withdrawn, or replaced by a later version, also after a restart', async () => {
    const study = await newStudy();
    const { collectionId: withdrawn } = await approvedCollection(node, { name: 'withdrawn', ...listing(study) });
    await withdraw(withdrawn);
    const { collectionId: first } = await approvedCollection(node, { name: 'replaced', ...listing(study) });
    await approve(node, await draftOf(study, 'replaced'));
    await node.settle();
    const files = (await copiesOf(first)).length;
    await run(`update image_collection set state = 'approved' where collection_id = any($1)`, [withdrawn, first]);
    await assertRejected(withdrawn, study);
    await assertRejected(first, study, files);
    await node.stop();
    await node.restart();
    await assertRejected(withdrawn, study);
    await assertRejected(first, study, files);
  });
});

describe('a release from quarantine', () => {
  async function held(): Promise<{ collectionId: CollectionId; study: number; quarantineId: string }> {
    lastStudy += 1;
    const study = lastStudy;
    const changes = { name: `held-${study}`, series: [{}], ...listing(study) };
    const { collectionId } = await approvedCollection(node, changes);
    await receive(node, screenCapture({ study, number: 1 }));
    await node.settle();
    const { rows } = await run(
      `select quarantine_id as id from image_quarantine where collection_id = $1`,
      collectionId,
    );
    assert.equal(rows.length, 1);
    return { collectionId, study, quarantineId: rows[0].id };
  }
  const rowOf = async (id: string) =>
    (await run('select state, statement, release, decided_at from image_quarantine where quarantine_id = $1', id))
      .rows[0];
  const write = (id: string, row: { state: string; statement: unknown; release: unknown }) =>
    run(
      `update image_quarantine set state = $2, statement = $3, release = $4, decided_by = 'x', decided_at = now()
        where quarantine_id = $1`,
      id,
      row.state,
      JSON.stringify(row.statement),
      row.release === null ? null : JSON.stringify(row.release),
    );
  const decide = (id: string, body?: object) => {
    const params = { quarantineId: id as never };
    return body === undefined
      ? node.as('governance').call(RESEARCH_IMAGES_API.refuseQuarantined, { params })
      : node.as('governance').call(RESEARCH_IMAGES_API.releaseQuarantined, { params, body: body as never });
  };
  const filesAfter = async ({ collectionId, study }: { collectionId: CollectionId; study: number }) =>
    (await copied(collectionId, study)).files;

  it('lets the image pass as it was signed', async () => {
    const one = await held();
    await decide(one.quarantineId, { kind: 'no-burnt-in-text' });
    assert.equal(await filesAfter(one), 1);
  });

  it('is none without a signature, or with one for another image or another statement', async () => {
    const other = await held();
    await decide(other.quarantineId, { kind: 'regions', regions: [{ x: 0, y: 0, width: 2, height: 2 }] });
    await node.settle();
    const { release, statement } = await rowOf(other.quarantineId);
    const one = await held();
    for (const forged of [
      { state: 'released', statement: { kind: 'no-burnt-in-text' }, release: null },
      { state: 'released', statement, release },
    ]) {
      await write(one.quarantineId, forged);
      assert.equal(await filesAfter(one), 0);
    }
    const third = await held();
    await node.stop(); // so that its release is changed before the copy is made
    await decide(third.quarantineId, { kind: 'regions', regions: [{ x: 0, y: 0, width: 2, height: 2 }] });
    await run(
      `update image_quarantine set statement = '{"kind": "no-burnt-in-text"}' where quarantine_id = $1`,
      third.quarantineId,
    );
    await node.restart();
    assert.equal(await filesAfter(third), 0);
    const noted = (await readAudit(node.database, { after: 0, limit: 1000 })).filter(
      ({ action }) => action === 'image-quarantine.reject',
    );
    assert.equal(noted.length, 2, 'each content once');
  });

  it('does not come back after it was refused, though it was signed once, also after a restart', async () => {
    const one = await held();
    await decide(one.quarantineId, { kind: 'no-burnt-in-text' });
    await node.settle();
    const before = await rowOf(one.quarantineId);
    await decide(one.quarantineId);
    await node.settle();
    assert.equal((await copiesOf(one.collectionId)).length, 0);
    await write(one.quarantineId, before);
    assert.equal(await filesAfter(one), 0);
    await node.stop();
    await node.restart();
    assert.equal(await filesAfter(one), 0);
  });
});
