/** Examples and synthetic patients through the whole server: what goes in comes out, and what is loaded is counted as it should be. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isJsonObject, type JsonObject, parseJson, writeJson } from '@lantern/hl7';
import { systemClock } from '@lantern/service';
import { createFhirStore } from '../src/fhir/fhir-store.ts';
import { loadFiles } from '../src/fhir/loader.ts';
import { startTestFhir, type TestFhir } from './fhir-harness.ts';

const dataDir = process.env['LANTERN_DATA_DIR'];
const EXAMPLES =
  dataDir === undefined
    ? path.resolve(import.meta.dirname, '../../../fixtures/fhir')
    : path.join(dataDir, 'fhir-r4/examples');

/** Without what the server says of it, names of the first level in order; numbers as they were written. */
function content(text: string): string {
  const resource = parseJson(text, { lengthMax: 1e8, depthMax: 64 });
  assert.ok(isJsonObject(resource));
  const { meta, ...rest } = resource;
  const { versionId: _version, lastUpdated: _time, ...own }: JsonObject = isJsonObject(meta) ? meta : {};
  const sorted = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1));
  return writeJson([...sorted, Object.entries(own).sort(([a], [b]) => (a < b ? -1 : 1))]);
}

describe('every example of the standard', () => {
  let fhir: TestFhir;
  before(async () => {
    fhir = await startTestFhir('fhir-examples');
  });
  after(() => fhir?.close());

  it('goes in and comes out with the same text', async () => {
    const files = readdirSync(EXAMPLES).filter((file) => file.endsWith('.json'));
    assert.ok(files.length >= 6);
    for (const file of files) {
      const text = readFileSync(path.join(EXAMPLES, file), 'utf8');
      const { resourceType, id } = JSON.parse(text);
      const put = await fhir.ask('PUT', `/${resourceType}/${id}`, { body: text });
      assert.equal(put.status, 201, `${file}: ${put.text}`);
      const { status, text: again } = await fhir.ask('GET', `/${resourceType}/${id}`);
      assert.equal(status, 200, file);
      assert.equal(content(again), content(text), file);
    }
  });
});

type Expected = {
  readonly resources: Readonly<Record<string, number>>;
  readonly patients: { readonly male: number; readonly female: number };
  readonly deceased: number;
  readonly patients_with_condition: Readonly<Record<string, { readonly patients: number }>>;
};

describe('the synthetic patients', {
  skip: dataDir === undefined && 'LANTERN_DATA_DIR names no folder with fhir-synthea',
}, () => {
  for (const hospital of ['hospital-a', 'hospital-b', 'hospital-c']) {
    it(`of ${hospital} are all there after a load, and a second one changes nothing`, async () => {
      const folder = path.join(dataDir ?? '', 'fhir-synthea');
      const expected: Expected = JSON.parse(readFileSync(path.join(folder, 'expected-counts.json'), 'utf8'))[hospital];
      const fhir = await startTestFhir('fhir-synthea');
      try {
        const store = createFhirStore({ database: fhir.database, clock: systemClock });
        const first = await loadFiles(store, path.join(folder, 'bundles', hospital));
        const read = Object.fromEntries(Object.entries(first.byType).map(([type, account]) => [type, account.read]));
        assert.deepEqual(read, expected.resources);
        assert.deepEqual(first.refusedBy, {});
        const { total } = first;
        assert.equal(total.created + total.updated + total.unchanged + total.refused, total.read);
        const count = async (where: string) =>
          JSON.parse((await fhir.ask('GET', `${where}&_summary=count`)).text).total;
        assert.equal(await count('/Patient?gender=male'), expected.patients.male);
        assert.equal(await count('/Patient?gender=female'), expected.patients.female);
        assert.equal(await count('/Patient?deceased=true'), expected.deceased);
        for (const [key, { patients }] of Object.entries(expected.patients_with_condition).slice(0, 40)) {
          assert.equal(await count(`/Patient?_has:Condition:patient:code=${encodeURIComponent(key)}`), patients, key);
        }
        const second = await loadFiles(store, path.join(folder, 'bundles', hospital));
        assert.equal(second.total.created, 0);
      } finally {
        await fhir.close();
      }
    });
  }
});
