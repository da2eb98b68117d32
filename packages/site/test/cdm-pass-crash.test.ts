/**
 * A site that is killed, as by `kill -9`, at every named instant of a pass of the ETL. Whoever asks the CDM finds it as the pass before
 * left it or as this one does, never between; the next start ends the pass, and nothing is mapped twice.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FAULT_POINTS, type FaultPoint, SITE_API } from '@lantern/contract';
import { systemClock } from '@lantern/service';
import { createFhirStore, prepareResource } from '../src/fhir/fhir-store.ts';
import { type CdmPassSite, HOSPITAL, startCdmPassSite } from './cdm-pass-site.ts';
import { apiOf } from './site-harness.ts';

const POINTS = FAULT_POINTS.filter((name) => name.startsWith('cdm.'));
const ROWS = `SELECT condition_occurrence_id, person_id, condition_concept_id, condition_start_date
  FROM condition_occurrence ORDER BY ALL`;

let one: CdmPassSite;
const children = new Set<ChildProcess>();
before(async () => {
  one = await startCdmPassSite('cdm-pass-crash');
  await one.settle();
  await one.load(HOSPITAL);
  await one.pass();
  await one.site.stop(); // its settings and database go on in processes of their own
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await one?.close();
});

async function start(faultPoint?: FaultPoint) {
  const settings = { ...one.site.settings, ...(faultPoint === undefined ? {} : { faultPoint }) };
  const program = path.join(import.meta.dirname, 'site-process.ts');
  const child = spawn(process.execPath, [program, JSON.stringify(settings)], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  const ended = once(child, 'close').then(([, signal]) => String(signal));
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const { url }: { url: string } = JSON.parse(String(line));
  return { child, ended, api: apiOf(url, one.site.tokens()['data-engineer']) };
}

/** A patient with a condition, straight into the store. */
async function addPatient(id: string): Promise<void> {
  const store = createFhirStore({ database: one.site.database, clock: systemClock });
  const patient = { resourceType: 'Patient', gender: 'male', birthDate: '1961-07-08' };
  const condition = {
    resourceType: 'Condition',
    subject: { reference: `Patient/${id}` },
    code: { coding: [{ system: 'http://snomed.info/sct', code: '10509002' }] },
    onsetDateTime: '2015-03-02',
  };
  const put = (type: string, resource: object) =>
    ({ kind: 'put', prepared: prepareResource({ id, ...resource }, { type, id }) }) as const;
  await store.transaction((tx) => store.write(tx, [put('Patient', patient), put('Condition', condition)]));
}

for (const [index, point] of POINTS.entries()) {
  it(`a pass that dies at ${point} leaves one whole CDM and is ended by the next start`, async () => {
    const rows = await one.ask(ROWS);
    await addPatient(`crash-${index}`);
    const dying = await start(point);
    await dying.api.call(SITE_API.askForCdmPass, { body: { isRebuild: false } }).catch(() => undefined);
    assert.equal(await dying.ended, 'SIGKILL');

    const seen = await one.ask(ROWS);
    if (point !== 'cdm.pass.published') assert.deepEqual(seen, rows);
    else assert.equal(seen.length, rows.length + 1);

    const next = await start();
    for (;;) {
      const { passes } = await next.api.call(SITE_API.listCdmPasses, {});
      assert.ok(passes.every(({ state }) => state !== 'failed'));
      if (passes.every(({ state }) => state === 'done')) break;
      await delay(50);
    }
    next.child.kill('SIGTERM');
    await next.ended;
    const ended = await one.ask(ROWS);
    assert.equal(ended.length, rows.length + 1);
    assert.equal(rows.filter((row) => !ended.includes(row)).length, 0, 'what was there is as it was');
    const doubled = await one.ask(
      'SELECT resource_key FROM etl.resource GROUP BY ALL HAVING count(*) > 1 OR count(DISTINCT resource_number) > 1',
    );
    assert.deepEqual(doubled, []);
    assert.deepEqual(await readdir(path.dirname(one.file)), ['cdm.duckdb']);
  });
}
