import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '@lantern/service';
import { startTestFhir, type TestFhir } from '../../test/fhir-harness.ts';
import { createFhirStore } from './fhir-store.ts';
import { loadFiles } from './loader.ts';

const PATIENT = '00000000-0000-4000-8000-00000000000a';
let fhir: TestFhir;
let folder: string;
before(async () => {
  fhir = await startTestFhir('fhir-loader');
  folder = await mkdtemp(path.join(tmpdir(), 'lantern-loader-'));
});
after(async () => {
  await fhir?.close();
  await rm(folder, { recursive: true, force: true });
});

const observation = (id: string, subject: string) => ({
  resourceType: 'Observation',
  id,
  status: 'final',
  code: { coding: [{ system: 'http://loinc.org', code: '8302-2' }] },
  subject: { reference: subject },
  effectiveDateTime: '9999-12-31',
});

it('loads bundles and lines, plain and compressed, and says of each resource what became of it', async () => {
  const bundle = {
    resourceType: 'Bundle',
    type: 'collection',
    entry: [
      { fullUrl: `urn:uuid:${PATIENT}`, resource: { resourceType: 'Patient', name: [{ family: 'Grüße "{,}\\' }] } },
      { fullUrl: 'urn:uuid:x', resource: observation('o1', `urn:uuid:${PATIENT}`) },
      { resource: { resourceType: 'Patient', id: 'no-sex', gender: 'secret' } },
    ],
  };
  const lines = [observation('o2', `Patient/${PATIENT}`), observation('o1', `Patient/${PATIENT}`)];
  const nul = { resourceType: 'Patient', id: 'nul', name: [{ family: 'a\0b' }] };
  await writeFile(path.join(folder, '1-bundle.json.gz'), gzipSync(JSON.stringify(bundle)));
  await writeFile(
    path.join(folder, '2-lines.ndjson'),
    `${lines.map((line) => JSON.stringify(line)).join('\n')}\n\n{"x`,
  );
  await writeFile(path.join(folder, '3-one.json'), JSON.stringify(nul));
  const store = createFhirStore({ database: fhir.database, clock: systemClock });
  const { files, total, refusedBy } = await loadFiles(store, folder);
  assert.equal(files, 3);
  assert.deepEqual(total, { read: 7, created: 3, updated: 0, unchanged: 1, refused: 3 });
  assert.deepEqual(refusedBy, {
    'code-invalid Patient.gender': 1,
    'structure: not JSON': 1,
    'value Patient.name.family': 1,
  });
  const { text } = await fhir.ask('GET', `/Observation?patient=${PATIENT}&_sort=-date`);
  assert.deepEqual(
    JSON.parse(text)
      .entry.map(({ resource }: { resource: { id: string } }) => resource.id)
      .sort(),
    ['o1', 'o2'],
  );
  const found = await fhir.ask('GET', `/Patient?name=${encodeURIComponent('grusse "{')}`);
  assert.equal(JSON.parse(found.text).entry?.length ?? 0, 0); // ß is no s with an accent
  const exact = await fhir.ask('GET', `/Patient?family:exact=${encodeURIComponent('Grüße "{\\,}\\\\')}`);
  assert.equal(JSON.parse(exact.text).entry?.[0]?.resource.id, PATIENT, exact.text);
  assert.deepEqual((await loadFiles(store, folder)).total, {
    read: 7,
    created: 0,
    updated: 0,
    unchanged: 4,
    refused: 3,
  });
});

it('refuses a file that unpacks to more than a bundle may have, and goes on', async () => {
  const here = path.join(folder, 'large');
  await mkdir(here);
  await writeFile(path.join(here, '1-large.json.gz'), gzipSync(Buffer.alloc(200 * 1024 * 1024, ' '), { level: 1 }));
  await writeFile(path.join(here, '2-one.json'), JSON.stringify({ resourceType: 'Patient', id: 'after' }));
  const store = createFhirStore({ database: fhir.database, clock: systemClock });
  const { total, refusedBy } = await loadFiles(store, here);
  assert.deepEqual(total, { read: 2, created: 1, updated: 0, unchanged: 0, refused: 1 });
  assert.deepEqual(refusedBy, { 'too large or too deep': 1 });
});
