import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { SITE_API } from '@lantern/contract';
import { createLogger, systemClock } from '@lantern/service';
import { type CdmPassSite, dicomSettings, startCdmPassSite } from '../../test/cdm-pass-site.ts';
import { takeIn } from '../../test/imaging-harness.ts';
import { type SyntheticImage, syntheticInstance } from '../../test/synthetic-images.ts';
import { createArchive } from '../archive/archive.ts';

const MR = path.resolve(import.meta.dirname, '../../../../fixtures/dicom/MR_small.dcm');
const MR_STUDY = '1.3.6.1.4.1.5962.1.2.4.20040826185059.5457';
const HOSPITAL = 'urn:hospital:patients';
const CLINIC = 'urn:clinic:patients';
const ROWS = `SELECT p.person_source_value, i.image_study_uid, i.image_series_uid, i.modality_source_value, i.image_occurrence_date
  FROM image_occurrence i JOIN person p USING (person_id) ORDER BY ALL`;

let one: CdmPassSite;
before(async () => {
  one = await startCdmPassSite('cdm-images', {
    dicom: dicomSettings(),
    etl: { patientNumbers: [{ system: HOSPITAL }, { issuer: 'CLINIC', system: CLINIC }] },
  });
  await one.settle();
});
after(() => one?.close());

/** A patient with a number of an authority. */
const patient = (id: string, system: string, value: string) => ({
  resourceType: 'Patient',
  id,
  gender: 'female',
  birthDate: '1961-02-03',
  identifier: [{ system, value }],
});

async function receive(image: SyntheticImage): Promise<void> {
  const dir = path.join(one.site.settings.dataDir, 'images');
  const log = createLogger({ name: 'test', level: 'silent' });
  const archive = createArchive({ database: one.site.database, clock: systemClock, log, dir, freeBytesMin: 0 });
  await takeIn({ archive }, syntheticInstance(image));
  await archive.close();
}

async function studiesByRule(): Promise<Record<string, string>> {
  const { findings } = await one.site.as('data-engineer').call(SITE_API.readCdmAccount, { query: {} });
  return Object.fromEntries(
    findings.filter(({ resourceType }) => resourceType === 'DicomStudy').map(({ rule, count }) => [rule, count]),
  );
}

it('a study that was received is an image of the one patient who has its number, and what matches nobody says so', async () => {
  await one.store(await readFile(MR));
  await receive({ study: 2, series: 1, number: 1, patientId: 'TWO' });
  await receive({ study: 3, series: 1, number: 1, patientId: 'C-3', others: { IssuerOfPatientID: 'CLINIC' } });
  await receive({ study: 4, series: 1, number: 1, patientId: 'C-3', others: { IssuerOfPatientID: 'ELSEWHERE' } });
  await receive({ study: 5, series: 1, number: 1, patientId: '' });
  await one.put(patient('mr', HOSPITAL, '4MR1'));
  await one.put(patient('two-a', HOSPITAL, 'TWO'));
  await one.put(patient('two-b', HOSPITAL, 'TWO'));
  await one.put(patient('clinic', CLINIC, 'C-3'));
  await one.put(patient('decoy', CLINIC, '4MR1')); // the same number of another authority
  await one.pass();
  const series = '1.3.6.1.4.1.5962.1.3.4.1.20040826185059.5457';
  assert.deepEqual(await one.ask(ROWS), [
    'Patient/clinic 2.25.1.3 2.25.1.3.1 CT 2026-04-15',
    `Patient/mr ${MR_STUDY} ${series} MR 2004-08-26`,
  ]);
  const rules = await studiesByRule();
  assert.deepEqual(
    [rules['patient.ambiguous'], rules['patient.authority'], rules['patient.identifier-missing']],
    ['1', '1', '1'],
  );
  const { byType } = await one.site.as('data-engineer').call(SITE_API.readCdmAccount, { query: {} });
  const studies = byType.filter(({ resourceType }) => resourceType === 'DicomStudy');
  assert.equal(
    studies.reduce((sum, { count }) => sum + Number(count), 0),
    5,
  );
  assert.equal(studies.find(({ outcome }) => outcome === 'unmapped')?.count, '3');
  const [uri] = await one.ask(`SELECT wadors_uri FROM image_occurrence WHERE image_study_uid = '${MR_STUDY}'`);
  assert.equal(uri, `/dicom-web/studies/${MR_STUDY}/series/${series}`);
});

it('a study follows its patient: who is doubled loses it, who comes late gets it', async () => {
  await one.remove('Patient', 'two-b');
  await one.put(patient('mr-again', HOSPITAL, '4MR1'));
  const pass = await one.pass();
  assert.equal(pass.readCount, 2, 'no study is read again for it');
  assert.deepEqual(await one.ask(ROWS), [
    'Patient/clinic 2.25.1.3 2.25.1.3.1 CT 2026-04-15',
    'Patient/two-a 2.25.1.2 2.25.1.2.1 CT 2026-03-15',
  ]);
  assert.equal((await studiesByRule())['patient.ambiguous'], '1');
  await one.remove('Patient', 'mr-again');
  await one.pass();
  assert.equal((await one.ask(ROWS)).filter((row) => row.startsWith('Patient/mr ')).length, 1);
  assert.equal((await studiesByRule())['patient.ambiguous'], undefined);
});

it('a series that a record speaks of as well is one row, with its encounter, its procedure and a day that tells', async () => {
  const subject = { reference: 'Patient/clinic' };
  const visit = (id: string) => ({
    resourceType: 'Encounter',
    id,
    status: 'finished',
    subject,
    class: { system: 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code: id === 'stay' ? 'IMP' : 'AMB' },
    period: { start: '2026-04-14T08:00:00Z', end: '2026-04-16T08:00:00Z' },
  });
  await one.put(visit('stay'));
  await one.put({
    resourceType: 'Procedure',
    id: 'scan',
    status: 'completed',
    subject,
    code: { coding: [{ system: 'http://snomed.info/sct', code: '77477000' }] },
    performedDateTime: '2026-04-15',
    identifier: [{ value: 'A1003' }],
  });
  await one.pass();
  const linked = `SELECT v.visit_concept_id, p.procedure_source_value, count(*) FROM image_occurrence i
    LEFT JOIN visit_occurrence v USING (visit_occurrence_id) LEFT JOIN procedure_occurrence p USING (procedure_occurrence_id)
    WHERE i.image_study_uid = '2.25.1.3' GROUP BY ALL ORDER BY ALL`;
  assert.deepEqual(await one.ask(linked), ['9201 77477000 1']);
  await one.put(visit('other')); // two of that day: which one it was, nothing says
  await one.pass();
  assert.deepEqual(await one.ask(linked), [' 77477000 1']);
  const study = (person: string) => ({
    resourceType: 'ImagingStudy',
    id: 'study',
    status: 'available',
    subject: { reference: `Patient/${person}` },
    encounter: { reference: 'Encounter/stay' },
    started: '2026-04-15',
    identifier: [{ system: 'urn:dicom:uid', value: 'urn:oid:2.25.1.3' }],
    series: [
      { uid: '2.25.1.3.1', modality: { system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'CT' } },
      { uid: '2.25.1.3.9', modality: { system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'CT' } },
    ],
  });
  await one.put(study('clinic'));
  await one.pass();
  const series = `SELECT image_series_uid, wadors_uri IS NOT NULL, visit_occurrence_id IS NOT NULL FROM image_occurrence
    WHERE image_study_uid = '2.25.1.3' ORDER BY 1`;
  assert.deepEqual(await one.ask(series), ['2.25.1.3.1 true true', '2.25.1.3.9 false true']);
  await one.put(study('mr')); // the record says another patient than the image
  await one.pass();
  assert.equal((await studiesByRule())['patient.differs'], '1');
  assert.ok((await one.ask(ROWS)).every((row) => !row.startsWith('Patient/clinic ')));
});

it('an instance that comes late is read with its study alone', async () => {
  await receive({ study: 2, series: 2, number: 1, patientId: 'TWO', others: { BodyPartExamined: 'NOWHERE' } });
  const pass = await one.pass();
  assert.deepEqual([pass.readCount, pass.changedCount, pass.patientCount], [1, 1, 1]);
  assert.equal((await one.ask(ROWS)).filter((row) => row.startsWith('Patient/two-a ')).length, 2);
});
