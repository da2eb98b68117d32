/** A site that builds datasets out of its records, and what runs of approved projects see of them. */
import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import {
  type AnswerBody,
  type DatasetBuild,
  type FeatureSpecification,
  type ProjectId,
  type ProjectSpec,
  RESEARCH_IMAGES_API,
  SITE_API,
} from '@lantern/contract';
import { newId } from '@lantern/service';
import { makeCdm } from '../../test/cdm-engines.ts';
import { MOMENTS, projectSpec, roundTask } from '../../test/documents.ts';
import { CONCEPTS, circe, hospitalNumberOf, recordsStatements } from '../../test/records-cdm.ts';
import { RecordsSite, TOKEN } from '../../test/records-site.ts';

const DAY_MS = 86_400_000;
const SPECIFICATION: FeatureSpecification = {
  schema: 'lantern.feature-specification/1',
  name: 'diabetes',
  title: 'Diabetes',
  description: 'Persons with diabetes.',
  cohort: circe(CONCEPTS.diabetes),
  index: 'first-entry',
  columns: [
    { kind: 'age', name: 'age', description: 'age', range: { min: 0, max: 120 }, missing: 'keep' },
    {
      kind: 'drug',
      name: 'metformin',
      description: 'metformin within half a year',
      concepts: [String(CONCEPTS.metformin)],
      withDescendants: false,
      window: { from: 0, to: 180 },
      aggregation: 'exists',
    },
  ],
  testShare: 0.25,
};

let asker: RecordsSite;
const first = new Set(Array.from({ length: 100 }, (_, index) => 300 + index));

before(async () => {
  asker = await RecordsSite.start('duckdb', 'site-cohort-datasets', {
    statements: recordsStatements({ token: TOKEN, without: first }),
  });
  asker.hub.bundles.set(MOMENTS.bundleDigest, MOMENTS.manifest);
});
after(() => asker?.close());

const engineer = () => asker.site.as('data-engineer');

async function ended(build: DatasetBuild): Promise<DatasetBuild> {
  for (;;) {
    const now = await engineer().call(SITE_API.readDatasetBuild, { params: { buildId: build.buildId } });
    if (now.state !== 'asked') return now;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function build(specification = SPECIFICATION): Promise<DatasetBuild> {
  const body = { specification, feasibility: 'approved-projects' as const };
  return ended(await engineer().call(SITE_API.buildDataset, { body }));
}

function load(numbers: readonly number[], daysAgo: number) {
  const entries = numbers.map((number) => hospitalNumberOf(number, TOKEN));
  const asOf = new Date(Date.now() - daysAgo * DAY_MS).toISOString();
  return engineer().call(RESEARCH_IMAGES_API.loadOptOuts, { params: { list: 'patient-ids' }, body: { asOf, entries } });
}

function spec(): ProjectSpec {
  const features: ProjectSpec['algorithms'][number]['features'] = {
    dataset: 'diabetes',
    features: [{ kind: 'numeric', column: 'age' }],
    label: {
      name: 'treated',
      positiveWhen: { kind: 'in', column: 'metformin', values: ['1'] },
      columns: ['metformin'],
    },
    trainWhere: { kind: 'in', column: 'split', values: ['train'] },
    testWhere: { kind: 'in', column: 'split', values: ['test'] },
    missing: 'drop-row',
  };
  const algorithms = [{ name: 'moments', bundleDigest: MOMENTS.bundleDigest, features, roundsMax: 1 }];
  return projectSpec(asker.hub.siteId(), { datasets: ['diabetes'], algorithms });
}

async function approved(): Promise<ProjectId> {
  return asker.site.project(asker.hub, spec(), { verdict: 'approved', reason: 'ok' });
}

async function prepare(projectId: ProjectId): Promise<AnswerBody> {
  const rest = {
    algorithm: 'moments',
    manifest: MOMENTS.manifest,
    bundleDigest: MOMENTS.bundleDigest,
    runId: newId('RunId'),
    round: 0,
    step: { kind: 'prepare' as const },
  };
  return asker.send(roundTask(spec(), { siteId: asker.hub.siteId(), projectId }, rest));
}

async function rowsOf(projectId: ProjectId): Promise<number> {
  const body = await prepare(projectId);
  assert.ok(body.kind === 'prepared', JSON.stringify(body));
  return body.trainRowCount + body.testRowCount;
}

let project: ProjectId;

describe('a dataset out of a cohort', () => {
  it('is built by a job, registered as any other, and its report stays at the site', async () => {
    const early = await approved();
    const made = await build();
    assert.equal(made.state, 'done', JSON.stringify(made.failure));
    assert.deepEqual(made.report, {
      cohortPatientCount: 300,
      optedOutCount: 0,
      droppedCount: 0,
      rowCount: 300,
      testRowCount: made.report?.testRowCount,
      columns: ['age', 'metformin'].map((name) => ({
        name,
        missingCount: 0,
        unitLeftOutCount: 0,
        rangeLeftOutCount: 0,
      })),
    });
    assert.ok((made.report?.testRowCount ?? 0) > 45 && (made.report?.testRowCount ?? 0) < 105);
    const { datasets } = await engineer().call(SITE_API.listDatasets, {});
    const [registered] = datasets;
    assert.equal(registered?.contentDigest, made.contentDigest);
    assert.equal(registered?.patientCount, 300);
    // A decision that was made before the dataset was there is about none.
    const body = await prepare(early);
    assert.ok(body.kind === 'refused' && body.code === 'policy.refused', JSON.stringify(body));
    project = await approved();
    assert.equal(await rowsOf(project), 300);
  });

  it('has the same content when nothing changed, and no number by which a person is known', async () => {
    const again = await build();
    const { builds } = await engineer().call(SITE_API.listDatasetBuilds, {});
    assert.equal(builds.length, 2);
    assert.equal(again.contentDigest, builds[1]?.contentDigest);
    const { rows } = await asker.site.database.pool.query('select patient, digest from dataset_patient');
    assert.equal(rows.length, 300);
    for (const { patient } of rows) assert.match(patient, /^[0-9a-f]{32}$/);
    assert.equal(new Set(rows.map(({ patient }) => patient)).size, 300);
  });

  it('asked for twice at once is one build', async () => {
    const body = { specification: SPECIFICATION, feasibility: 'approved-projects' as const };
    const [one, other] = await Promise.all([
      engineer().call(SITE_API.buildDataset, { body }),
      engineer().call(SITE_API.buildDataset, { body }),
    ]);
    assert.equal(one.buildId, other.buildId);
    await ended(one);
  });

  it('that is built anew is not seen by a project that was approved before, until this site decides anew', async () => {
    const larger = await makeCdm('duckdb', recordsStatements({ token: TOKEN }), { isStrict: false });
    await copyFile(larger.where, asker.cdm.where);
    await larger.close();
    const made = await build();
    assert.equal(made.report?.rowCount, 400);
    assert.equal(await rowsOf(project), 300);
    await asker.site.decide(project, { verdict: 'approved', reason: 'the newer one' });
    assert.equal(await rowsOf(project), 400);
  });

  it('loses who opts out after the approval, gets nobody back, and is not used while a list is too old', async () => {
    const leaving = Array.from({ length: 120 }, (_, index) => index);
    await load(leaving, 2);
    assert.equal(await rowsOf(project), 280);
    await load(leaving.slice(60), 1);
    assert.equal(await rowsOf(project), 280);
    const { rows } = await asker.site.database.pool.query('select count(*)::int as count from dataset_leaver');
    assert.equal(rows[0].count, 120);
    const made = await build();
    assert.equal(made.report?.optedOutCount, 60);
    assert.equal(made.report?.rowCount, 340);
    await asker.site.database.pool.query("update opt_out_list set as_of = now() - interval '30 days'");
    const body = await prepare(project);
    assert.ok(body.kind === 'refused' && /opted out/.test(body.message), JSON.stringify(body));
    const failed = await build();
    assert.equal(failed.state, 'failed');
    assert.equal(failed.failure?.code, 'policy.refused');
  });

  it('takes columns from views over the FHIR resources of the site', async () => {
    await load([], 0);
    const url = `${asker.site.url()}/fhir`;
    const headers = {
      authorization: `Bearer ${asker.site.tokens()['data-engineer']}`,
      'content-type': 'application/fhir+json',
    };
    for (const [index, value] of [71, 64, 90].entries()) {
      const resource = {
        resourceType: 'Observation',
        id: `o${index}`,
        status: 'final',
        code: { coding: [{ system: 'http://loinc.org', code: '8867-4' }] },
        subject: { reference: `Patient/${hospitalNumberOf(200 + (index % 2), TOKEN)}` },
        valueQuantity: { value },
      };
      const answer = await fetch(`${url}/Observation/o${index}`, {
        method: 'PUT',
        headers,
        body: JSON.stringify(resource),
      });
      assert.ok(answer.ok, await answer.text());
    }
    const column = [
      { name: 'who', path: 'subject.getReferenceKey(Patient)' },
      { name: 'rate', path: 'value.ofType(Quantity).value' },
    ];
    const made = await build({
      ...SPECIFICATION,
      name: 'rates',
      views: [{ name: 'rates', patient: 'who', definition: { resource: 'Observation', select: [{ column }] } }],
      columns: [
        {
          kind: 'view',
          name: 'rate',
          description: 'highest heart rate',
          view: 'rates',
          column: 'rate',
          unit: '/min',
          aggregation: 'max',
          range: { min: 20, max: 80 },
          missing: 'drop-row',
        },
      ],
    });
    assert.equal(made.state, 'done', JSON.stringify(made.failure));
    assert.equal(made.report?.rowCount, 2);
    assert.equal(made.report?.columns[0]?.rangeLeftOutCount, 1);
  });

  it('is refused to who asks for it by the place of what is wrong', async () => {
    const broken = { ...SPECIFICATION, cohort: { Nonsense: 1 } };
    await assert.rejects(build(broken), { code: 'input.invalid', field: '/cohort' });
    const twice = { ...SPECIFICATION, columns: [...SPECIFICATION.columns, ...SPECIFICATION.columns] };
    await assert.rejects(build(twice), { code: 'input.invalid', field: '/columns/2/name' });
  });
});
