/**
 * Whoever works with research copies reads their files, names, manifest, volumes, and what logs and errors say; governance reads
 * reports and reasons besides. None of it may name a patient: unique tokens are planted wherever a person stands in a study, the
 * studies are sent by C-STORE, and everything that could be read is searched for each token.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { pathOf, RESEARCH_IMAGES_API } from '@lantern/contract';
import { openAssociation, storingContexts } from '@lantern/dicom';
import { createHttpClient, createLogger, readAudit, systemClock } from '@lantern/service';
import { OWN_AE, PEER_AE } from './imaging-harness.ts';
import { type PlantedStudy, plantedStudy } from './planted-studies.ts';
import { approvedCollection, startTestResearch, type TestResearch } from './research-harness.ts';
import { encodings } from './token-encodings.ts';

const STUDY_COUNT = 36;
const SEED = Number(process.env['LANTERN_SEED'] ?? Date.now() % 1_000_000);
const PLACE_COUNT_MIN = 50;
const PROFILES = {
  least: {},
  most: {
    patientCharacteristics: 'retain',
    safePrivate: 'retain',
    descriptors: 'clean',
    structuredContent: 'clean',
    graphics: 'clean',
  },
};

type CollectionId = Awaited<ReturnType<typeof approvedCollection>>['collectionId'];

const lines: string[] = [];
let node: TestResearch;
let studies: PlantedStudy[];
const collections: CollectionId[] = [];
/** What could be read, by where. */
const read = new Map<string, Buffer>();

before(async () => {
  const log = createLogger({
    name: 'planted',
    level: 'trace',
    destination: { write: (line) => void lines.push(line) },
  });
  node = await startTestResearch({ name: 'planted-images', log });
  studies = Array.from({ length: STUDY_COUNT }, (_, index) => plantedStudy(SEED, index));
  for (const [name, profile] of Object.entries(PROFILES)) {
    const series = [{ modalities: ['CT'] }];
    collections.push((await approvedCollection(node, { name, profile: { name, ...profile }, series })).collectionId);
  }
  const instances = studies.flatMap((study) => study.instances);
  const to = { host: '127.0.0.1', port: node.port, calledAe: OWN_AE, callingAe: PEER_AE };
  const sender = await openAssociation({ ...to, contexts: storingContexts(instances) });
  for (const instance of instances) assert.equal((await sender.store(instance)).status, 0);
  await sender.release();
  await node.settle();
  await decideOnHalf();
  await readEverything();
});

after(async () => {
  await node?.close();
});

/** Half of what was held is released, a part of it by regions; the rest stays, some of it refused. */
async function decideOnHalf(): Promise<void> {
  const governance = node.as('governance');
  const { items } = await governance.call(RESEARCH_IMAGES_API.listQuarantine, { query: { state: 'held' } });
  assert.equal(items.length, STUDY_COUNT * collections.length);
  const ofFirst = items.filter(({ collectionId }) => collectionId === collections[0]); // two lists come in any mixture
  for (const [index, { quarantineId }] of ofFirst.entries()) {
    const params = { quarantineId };
    if (index % 4 === 0)
      await governance.call(RESEARCH_IMAGES_API.releaseQuarantined, { params, body: { kind: 'no-burnt-in-text' } });
    else if (index % 4 === 1)
      await governance.call(RESEARCH_IMAGES_API.releaseQuarantined, {
        params,
        body: { kind: 'regions', regions: [{ x: 0, y: 0, width: 4, height: 4 }] },
      });
    else if (index % 4 === 2) await governance.call(RESEARCH_IMAGES_API.refuseQuarantined, { params });
  }
  await node.settle();
}

async function readEverything(): Promise<void> {
  const copies = await node.copies();
  read.set('names of files', Buffer.from(copies.join('\n')));
  for (const file of copies) read.set(`copy ${read.size}`, await readFile(path.join(node.copyDir, file)));
  for (const collectionId of collections) await readCollection(collectionId);
  const { items } = await node.as('governance').call(RESEARCH_IMAGES_API.listQuarantine, {});
  keep('quarantine', items);
  for (const { quarantineId } of items)
    keep(
      `quarantine ${read.size}`,
      await node.as('governance').call(RESEARCH_IMAGES_API.readQuarantined, { params: { quarantineId } }),
    );
  const studyInstanceUid = `1.2.826.0.1.${studies[0]?.tokens.get('StudyInstanceUID')}`;
  keep(
    'preview',
    await node
      .as('governance')
      .call(RESEARCH_IMAGES_API.previewDeidentification, { body: { studyInstanceUid, profile: {} } }),
  );
  keep('audit', await readAudit(node.database, { after: 0, limit: 10_000 }));
  const { rows } = await node.database.pool.query(
    'select last_error from graphile_worker._private_jobs where last_error is not null',
  );
  keep('errors of jobs', rows);
  read.set('logs', Buffer.from(lines.join('')));
}

function keep(place: string, value: unknown): void {
  read.set(place, Buffer.from(JSON.stringify(value)));
}

async function readCollection(collectionId: CollectionId): Promise<void> {
  const [engineer, governance] = [node.as('data-engineer'), node.as('governance')];
  keep(
    `collection ${collectionId}`,
    await engineer.call(RESEARCH_IMAGES_API.readImageCollection, { params: { collectionId } }),
  );
  const manifest = await engineer.call(RESEARCH_IMAGES_API.readImageManifest, { params: { collectionId } });
  keep(`manifest ${collectionId}`, manifest);
  assert.equal(manifest.studies.length, STUDY_COUNT);
  const listed = await governance.call(RESEARCH_IMAGES_API.listResearchStudies, { params: { collectionId } });
  keep(`studies ${collectionId}`, listed);
  for (const { studyKey } of listed.studies)
    keep(
      `report ${collectionId} ${studyKey}`,
      await governance.call(RESEARCH_IMAGES_API.readStudyReport, { params: { collectionId, studyKey } }),
    );
  const http = createHttpClient({ baseUrl: node.url, token: node.tokens['data-engineer'], clock: systemClock });
  for (const { series } of manifest.studies.slice(0, 2))
    for (const { seriesInstanceUid } of series) {
      const answer = await http
        .download(pathOf(RESEARCH_IMAGES_API.readResearchVolume, { collectionId, seriesInstanceUid }))
        .then(async ({ body }) => gunzipSync(Buffer.concat(await body.toArray())))
        .catch((caught: Error) => Buffer.from(`${caught.name} ${caught.message}`));
      read.set(`volume ${seriesInstanceUid}`, answer);
    }
  http.close();
}

describe(`patients who are planted in studies with LANTERN_SEED=${SEED}`, () => {
  it('are in nothing that a researcher could read, and in no report, reason, log, error or line of the audit', () => {
    const leaks = new Set<string>();
    for (const { tokens } of studies)
      for (const [place, token] of tokens) {
        const forms = encodings(token);
        for (const [where, bytes] of read)
          if (forms.some((form) => bytes.includes(form))) leaks.add(`${place} in ${where}`);
      }
    assert.deepEqual([...leaks], []);
  });

  it('stand in many places of each study, and are found there before', async () => {
    for (const { tokens, instances } of studies) {
      assert.ok(tokens.size >= PLACE_COUNT_MIN, `${tokens.size} places`);
      const sent: Buffer[] = [];
      for (const instance of instances) for await (const piece of instance.open()) sent.push(Buffer.from(piece));
      const all = Buffer.concat(sent);
      for (const [place, token] of tokens)
        assert.ok(
          encodings(token).some((form) => all.includes(form)),
          place,
        );
    }
  });

  it('leave what is needed: copies of nearly all, with their pixels', async () => {
    const files = (await node.copies()).filter((file) => file.endsWith('.dcm'));
    const slices = 3 * STUDY_COUNT * collections.length; // two and a report
    const released = collections.length * Math.floor(STUDY_COUNT / 2);
    assert.ok(files.length >= slices, `${files.length} files`);
    assert.ok(files.length <= slices + released + collections.length, `${files.length} files`);
    assert.ok(lines.length > STUDY_COUNT);
  });
});
