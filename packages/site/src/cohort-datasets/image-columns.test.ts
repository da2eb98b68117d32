/** Columns made of images: records and DICOM in, research copies made, a dataset out, and a run on its images. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type AnswerBody,
  type DatasetBuild,
  EVERYTHING,
  type FeatureColumn,
  type FeatureSpecification,
  type ImageSelection,
  type ProjectId,
  type ProjectSpec,
  RESEARCH_IMAGES_API,
  type RunId,
  SITE_API,
  type Step,
} from '@lantern/contract';
import { decodeTensors } from '@lantern/learning';
import { buildGraphBundle } from '@lantern/runner';
import { newId } from '@lantern/service';
import { type CdmPassSite, dicomSettings, startCdmPassSite } from '../../test/cdm-pass-site.ts';
import { GRAPH_MODEL } from '../../test/clinic-runs.ts';
import { projectSpec, roundTask, TRAINING_BOUNDS } from '../../test/documents.ts';
import { type Radiograph, receiveRadiographs } from '../../test/radiographs.ts';
import { circe } from '../../test/records-cdm.ts';

const HOSPITAL = 'urn:hospital:patients';
const BRONCHITIS = 260139;
const DAY_MS = 86_400_000;
const INDEX = '2026-03-01';
const COUNT = 60;
const MR = path.resolve(import.meta.dirname, '../../../../fixtures/dicom/MR_small.dcm');
/** Who has a scan of 2004-08-26. */
const MR_PERSON = 59;
const SETTLED_MS_MAX = 30_000;
/** As a model of the tests takes them. */
const SHAPE = [1, 2, 2];

let one: CdmPassSite;
before(async () => {
  one = await startCdmPassSite('image-columns', {
    dicom: dicomSettings({ quietMs: 100 }),
    etl: { patientNumbers: [{ system: HOSPITAL }] },
  });
  await one.settle();
  await loadRecords();
});
after(() => one?.close());

const engineer = () => one.site.as('data-engineer');
const dayAt = (days: number) =>
  new Date(Date.parse(INDEX) + days * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');

/** Persons with bronchitis on one day, numbered; men are even. */
async function loadRecords(): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'lantern-image-columns-'));
  const lines = Array.from({ length: COUNT }, (_, index) => [
    {
      resourceType: 'Patient',
      id: `p${index}`,
      gender: index % 2 === 0 ? 'male' : 'female',
      birthDate: '1961-02-03',
      identifier: [
        { system: HOSPITAL, value: `H${index}` },
        ...(index === MR_PERSON ? [{ system: HOSPITAL, value: '4MR1' }] : []),
      ],
    },
    {
      resourceType: 'Condition',
      id: `c${index}`,
      subject: { reference: `Patient/p${index}` },
      code: { coding: [{ system: 'http://snomed.info/sct', code: '10509002' }] },
      onsetDateTime: INDEX,
    },
  ]).flat();
  const file = path.join(folder, 'records.ndjson');
  await writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  await one.load(file);
  await rm(folder, { recursive: true, force: true });
}

/** 4 x 6, of which a square in the middle counts; brighter to the right, and in men. */
function pixelsOf(index: number): number[] {
  return Array.from({ length: 24 }, (_, at) => {
    const [row, column] = [Math.floor(at / 6), at % 6];
    return 100 + 37 * row + 53 * column + 7 * (index % 11) + (index % 2 === 0 && column > 2 ? 900 : 0);
  });
}

const radiograph = (index: number, change: Partial<Radiograph> = {}): Radiograph => ({
  study: 1000 + index,
  patientId: `H${index}`,
  day: dayAt(-(index % 7)),
  rows: 4,
  columns: 6,
  pixels: pixelsOf(index),
  ...change,
});

async function collection(name: string, projectId?: ProjectId): Promise<void> {
  const { collectionId } = await engineer().call(RESEARCH_IMAGES_API.createImageCollection, {
    body: {
      name,
      profile: { name: 'test' },
      series: [{ modalities: ['CR'] }],
      studies: { kind: 'arriving', aeTitles: ['LANTERN'] },
      ...(projectId === undefined ? {} : { projectId }),
    },
  });
  await one.site
    .as('governance')
    .call(RESEARCH_IMAGES_API.approveImageCollection, { params: { collectionId }, body: { reason: 'ok' } });
}

/** Waits until every study that was received is complete and copied, and its images are in the CDM. */
async function settled(): Promise<void> {
  const deadline = performance.now() + SETTLED_MS_MAX;
  for (;;) {
    const { rows } = await one.site.database.pool.query(
      `select (select count(*) from image_arrival where state = 'receiving')::int as arrivals,
        (select count(*) from research_study where state = 'pending')::int as studies,
        (select count(*) from graphile_worker._private_jobs where run_at <= now() and attempts < max_attempts)::int as jobs,
        (select max(last_error) from graphile_worker._private_jobs) as error`,
    );
    if ([rows[0].arrivals, rows[0].studies, rows[0].jobs].every((count) => count === 0)) break;
    assert.ok(performance.now() < deadline, JSON.stringify(rows[0]));
    await delay(20);
  }
  await one.pass();
}

const SELECTION: ImageSelection = {
  name: 'chest',
  series: [{ modalities: ['CR', 'DX'], bodyParts: ['CHEST'] }],
  link: 'patient',
  window: { from: -30, to: 30 },
  take: 'last',
};

function image(aggregation: 'exists' | 'count' | 'days' | 'reference', change: object = {}): FeatureColumn {
  const range = { count: { min: 0, max: 2 }, days: { min: -20, max: 30 } };
  return {
    kind: 'image',
    name: `image_${aggregation}`,
    description: 'a radiograph of the chest',
    image: 'chest',
    aggregation,
    missing: 'keep',
    ...(aggregation === 'count' || aggregation === 'days' ? { range: range[aggregation] } : {}),
    ...change,
  };
}

function specification(
  columns: FeatureColumn[],
  selection: Partial<ImageSelection> = {},
  name = 'radiographs',
): FeatureSpecification {
  return {
    schema: 'lantern.feature-specification/1',
    name,
    title: 'Radiographs',
    description: 'Persons with bronchitis and their radiographs.',
    cohort: circe(BRONCHITIS),
    index: 'first-entry',
    columns: [{ kind: 'sex', name: 'sex', description: 'sex', missing: 'keep' }, ...columns],
    images: [{ ...SELECTION, ...selection }],
    testShare: 0.2,
  };
}

async function build(asked: FeatureSpecification): Promise<DatasetBuild> {
  const body = { specification: asked, feasibility: 'approved-projects' as const };
  const { buildId } = await engineer().call(SITE_API.buildDataset, { body });
  for (;;) {
    const now = await engineer().call(SITE_API.readDatasetBuild, { params: { buildId } });
    if (now.state !== 'asked') return now;
    await delay(10);
  }
}

/** How many rows of a built table have each combination of the values. */
async function tableOf(made: DatasetBuild, select: string): Promise<string[]> {
  assert.equal(made.state, 'done', JSON.stringify(made.failure));
  const digest = made.contentDigest ?? '';
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create();
  const connection = await instance.connect();
  try {
    const file = path.join(
      one.site.settings.dataDir,
      'blobs',
      'objects',
      digest.slice(0, 2),
      digest.slice(2, 4),
      digest,
    );
    const reader = await connection.runAndReadAll(`SELECT ${select.replace('$', `read_parquet('${file}')`)}`);
    return reader.getRowsJS().map((row) => row.join(' '));
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

describe('columns made of images', () => {
  before(async () => {
    await collection('chest');
    const images = Array.from({ length: 50 }, (_, index) => radiograph(index));
    await receiveRadiographs(one.site, [
      ...images,
      radiograph(50, { day: dayAt(-25) }),
      radiograph(50, { study: 2000, day: dayAt(5) }),
      radiograph(50, { study: 2001, day: dayAt(-2) }),
      radiograph(51, { day: dayAt(-31) }),
      radiograph(52, { texts: { BodyPartExamined: 'HAND' } }),
      radiograph(53, { texts: { Modality: 'OT' } }),
    ]);
    await one.store(await readFile(MR));
    await settled();
  });

  it('are chosen by what the headers of real images say', async () => {
    const dayCount = (Date.parse('2004-08-26') - Date.parse(INDEX)) / DAY_MS;
    const range = { min: -10_000, max: 0 };
    const rule = { modalities: ['MR'], orientation: 'axial' as const, sliceThicknessMm: { min: 0.5, max: 1 } };
    for (const [change, expected] of [
      [{}, [`${dayCount} 1`, ' 59']],
      [{ orientation: 'coronal' as const }, [' 60']],
      [{ sliceThicknessMm: { min: 2, max: 5 } }, [' 60']],
    ] as const) {
      const series = [{ ...rule, ...change }];
      const window = { from: range.min, to: 0 };
      const made = await build(specification([image('days', { range })], { series, window }, 'scans'));
      assert.deepEqual(await tableOf(made, 'image_days, count(*) FROM $ GROUP BY ALL ORDER BY ALL'), expected);
    }
  });

  it('say whether there is one in the window, how many, and of which day, and leave out what does not fit', async () => {
    const columns = [image('exists'), image('count'), image('days')];
    const made = await build(specification(columns));
    assert.deepEqual(await tableOf(made, 'image_exists, image_count, count(*) FROM $ GROUP BY ALL ORDER BY ALL'), [
      '0 0 9',
      '1 1 50',
      '1  1', // three are beyond the range of the count
    ]);
    assert.deepEqual(
      await tableOf(made, 'min(image_days), max(image_days), count(image_days) FROM $ WHERE image_count = 1'),
      ['-6 0 50'],
    );
    assert.deepEqual(await tableOf(made, 'image_days FROM $ WHERE image_count IS NULL'), ['5']);
    assert.deepEqual(made.report?.images, [
      {
        name: 'chest',
        seriesCount: 53,
        withoutCopyCount: 0,
        ambiguousCount: 0,
        otherPatientCount: 0,
        optedOutCount: 0,
      },
    ]);
    const count = made.report?.columns.find(({ name }) => name === 'image_count');
    assert.deepEqual([count?.missingCount, count?.rangeLeftOutCount], [1, 1]);
  });

  it('take the first, the last or the nearest of several, and drop who has none where that is asked for', async () => {
    for (const [take, row] of [
      ['first', ' 1'], // -25 is beyond the range of the days
      ['last', '5 1'],
      ['nearest', '-2 8'],
    ] as const) {
      const columns = [image('days'), image('reference', { missing: 'drop-row' })];
      const made = await build(specification(columns, { take, collection: 'chest' }));
      assert.equal(made.report?.rowCount, 51);
      assert.equal(made.report?.droppedCount, 9);
      const rows = await tableOf(made, 'image_days, count(*) FROM $ GROUP BY ALL ORDER BY ALL');
      assert.ok(rows.includes(row), `${take}: ${rows}`);
    }
  });
});

describe('images linked by accession number', () => {
  const order = (index: number, number: string) => ({
    resourceType: 'ServiceRequest',
    id: `o${index}-${number}`,
    status: 'completed',
    intent: 'order',
    subject: { reference: `Patient/p${index}` },
    identifier: [{ value: number }],
  });

  it('are of the person whose order has the number, unless two have it or the image names another patient', async () => {
    await receiveRadiographs(one.site, [
      radiograph(40, { study: 3000, patientId: 'ELSEWHERE-1', accession: 'ACC-1' }),
      radiograph(41, { study: 3001, patientId: 'ELSEWHERE-2', accession: 'ACC-2' }),
      radiograph(42, { study: 3002, patientId: 'H7', accession: 'ACC-3', pixels: pixelsOf(7) }), // ordered for 42, and of 7
      radiograph(43, { study: 3003, patientId: 'H43', accession: 'ACC-4' }),
      radiograph(44, { study: 3004, patientId: 'ELSEWHERE-5', accession: 'ACC-5', day: dayAt(-31) }),
    ]);
    for (const [index, number] of [
      [40, 'ACC-1'],
      [41, 'ACC-2'],
      [45, 'ACC-2'],
      [42, 'ACC-3'],
      [43, 'ACC-4'],
      [44, 'ACC-5'],
      [46, 'ACC-none'],
    ] as const)
      await one.put(order(index, number));
    await settled();
    const columns = [image('exists'), image('days')];
    const made = await build(specification(columns, { link: 'accession' }));
    assert.deepEqual(await tableOf(made, 'image_exists, image_days, count(*) FROM $ GROUP BY ALL ORDER BY ALL'), [
      '0  58',
      '1 -5 1', // 40
      '1 -1 1', // 43
    ]);
    const [report] = made.report?.images ?? [];
    assert.deepEqual([report?.seriesCount, report?.ambiguousCount, report?.otherPatientCount], [2, 1, 1]);
  });
});

describe('a run on images of a dataset', () => {
  const GRAPH = buildGraphBundle({
    name: 'pixels',
    version: '1.0.0',
    description: 'One dense layer over an image.',
    seed: 3,
    model: { ...GRAPH_MODEL, featureCount: 4, control: false },
  });
  const WEIGHTS = GRAPH.files.get('initial-weights.safetensors') ?? assert.fail();
  const LOCAL = { learningRate: 0.1, work: { kind: 'epochs' as const, count: 2 } };

  function spec(): ProjectSpec {
    const features: ProjectSpec['algorithms'][number]['features'] = {
      dataset: 'radiographs',
      features: [
        { kind: 'image', column: 'image_reference', shape: SHAPE, fit: 'crop', window: { min: 100, max: 1700 } },
      ],
      label: { name: 'man', positiveWhen: { kind: 'in', column: 'sex', values: ['male'] }, columns: ['sex'] },
      // All of them on both sides: what is drawn for the split differs from site to site.
      trainWhere: EVERYTHING,
      testWhere: EVERYTHING,
      missing: 'drop-row',
    };
    const head = { features, roundsMax: 5, training: TRAINING_BOUNDS };
    const algorithms = [{ ...head, name: 'pixels', bundleDigest: GRAPH.bundleDigest }];
    return projectSpec(one.hub.siteId(), { datasets: ['radiographs'], algorithms });
  }
  const trainStep = (): Step => ({
    kind: 'train',
    weights: one.hub.putBlob(WEIGHTS),
    strategy: { kind: 'fedavg' },
    local: LOCAL,
    seed: 7,
  });
  const approved = (): Promise<ProjectId> => one.site.project(one.hub, spec(), { verdict: 'approved', reason: 'ok' });

  async function perform(projectId: ProjectId, runId: RunId, step: Step): Promise<AnswerBody> {
    const { manifest, bundleDigest } = GRAPH;
    const rest = { algorithm: 'pixels', manifest, bundleDigest, runId, round: step.kind === 'prepare' ? 0 : 1, step };
    const task = roundTask(spec(), { siteId: one.hub.siteId(), projectId }, rest);
    one.hub.send(task);
    return (await one.hub.answerTo(task.taskId)).body;
  }

  async function rowsOf(projectId: ProjectId): Promise<number> {
    const body = await perform(projectId, newId('RunId'), { kind: 'prepare' });
    assert.ok(body.kind === 'prepared', JSON.stringify(body));
    assert.equal(body.trainRowCount, body.testRowCount);
    return body.trainRowCount;
  }

  async function loadOptOuts(entries: readonly string[], daysAgo: number): Promise<void> {
    const asOf = new Date(Date.now() - daysAgo * DAY_MS).toISOString();
    const body = { asOf, entries: [...entries] };
    await engineer().call(RESEARCH_IMAGES_API.loadOptOuts, { params: { list: 'patient-ids' }, body });
  }

  /** Waits until the copies of so many studies are gone because of the lists. */
  async function optedOut(count: number): Promise<void> {
    const deadline = performance.now() + SETTLED_MS_MAX;
    for (;;) {
      const { rows } = await one.site.database.pool.query(
        "select count(*)::int as n from research_study where state = 'opted-out'",
      );
      if (rows[0].n === count) return;
      assert.ok(performance.now() < deadline, `${rows[0].n} of ${count}`);
      await delay(20);
    }
  }

  let project: ProjectId;

  before(async () => {
    one.hub.bundles.set(GRAPH.bundleDigest, GRAPH.manifest);
    for (const bytes of GRAPH.files.values()) one.hub.putBlob(bytes);
    const made = await build(specification([image('reference')], { collection: 'chest' }));
    assert.equal(made.report?.rowCount, COUNT);
    project = await approved();
  });

  it('takes of each image the means of its boxes, and trains', async () => {
    const runId = newId('RunId');
    const prepared = await perform(project, runId, { kind: 'prepare' });
    assert.ok(prepared.kind === 'prepared', JSON.stringify(prepared));
    assert.equal(prepared.trainRowCount, 51, 'persons with an image');
    const folder = path.join(one.site.settings.dataDir, 'work', 'runs', runId);
    const rows = decodeTensors(await readFile(path.join(folder, 'train.safetensors')));
    const values = rows.get('x')?.data ?? [];
    const labels = rows.get('y')?.data ?? [];
    // The middle 4 x 4 of 4 x 6 in quarters of 2 x 2; the pixels are made here once more.
    const expected = new Set(
      Array.from({ length: COUNT }, (_, index) => {
        const pixels = pixelsOf(index);
        const quarters = [0, 1, 2, 3].map((part) => {
          const at = Math.floor(part / 2) * 2 * 6 + 1 + (part % 2) * 2;
          const mean = [0, 1, 6, 7].reduce((sum, step) => sum + (pixels[at + step] ?? 0), 0) / 4;
          return Math.fround(Math.min(1, Math.max(0, (mean - 100) / 1600)));
        });
        return [...quarters, index % 2 === 0 ? 1 : 0].join(' ');
      }),
    );
    assert.equal(labels.length, prepared.trainRowCount);
    for (let row = 0; row < labels.length; row += 1) {
      const own = [...Array.from(values.slice(row * 4, row * 4 + 4), Number), Number(labels[row])].join(' ');
      assert.ok(expected.has(own), own);
    }
    const trained = await perform(project, runId, trainStep());
    assert.ok(trained.kind === 'update', JSON.stringify(trained));
    assert.equal(trained.rowCount, prepared.trainRowCount);
    const delta = decodeTensors(Buffer.from(trained.delta.bytes ?? '', 'base64'));
    assert.ok([...delta.values()].every(({ data }) => data.some((value) => Number(value) !== 0)));
    const { rows: lines } = await one.site.database.pool.query(
      "select details from audit_record where action = 'image-collection.read' and details like $1",
      [`%${runId}%`],
    );
    assert.ok(lines.length > 0 && lines.every(({ details }) => !/H\d/.test(details)));
  });

  it('refers by nothing that tells who it is of', async () => {
    const [made] = (await engineer().call(SITE_API.listDatasetBuilds, {})).builds;
    const references = await tableOf(made ?? assert.fail(), 'image_reference FROM $ WHERE image_reference IS NOT NULL');
    assert.equal(new Set(references).size, 51);
    for (const reference of references) {
      assert.match(reference, /^icol_[0-9a-z]+\/2\.25\.\d+\/[0-9a-f]{64}$/);
      assert.doesNotMatch(reference, /2\.25\.9\./);
    }
  });

  it('has no image of a copy that is another one now, nor of one that is gone', async () => {
    await one.site.database.pool.query(
      `update research_instance set content_digest = sha256('other') where instance_key in (select instance_key
        from research_instance join image_instance using (instance_key) where image_instance.sop_instance_uid in ('2.25.9.1003.1.1'))`,
    );
    const changed = await perform(project, newId('RunId'), { kind: 'prepare' });
    // One image less than in the run before: the gate lets no run in that differs in one patient.
    assert.ok(changed.kind === 'refused', JSON.stringify(changed));
    assert.doesNotMatch(JSON.stringify(changed), /H3|1003/);
  });

  it('loses the images of who opts out by the number in the image, with the row', async () => {
    await build(specification([image('reference')], { collection: 'chest' }, 'leaving'));
    await loadOptOuts(
      Array.from({ length: 20 }, (_, index) => `H${index + 20}`),
      1,
    );
    await optedOut(20);
    assert.equal(await rowsOf(await approved()), 30); // 51, the changed one and twenty less
    const made = await build(specification([image('reference')], { collection: 'chest' }, 'remaining'));
    assert.equal(made.report?.optedOutCount, 20);
    assert.equal(made.report?.rowCount, 40);
    await loadOptOuts([], 0);
  });

  it('loses who is on a list by a number that only the image has', async () => {
    const asked = specification([image('reference')], { link: 'accession', collection: 'chest' });
    const made = await build(asked);
    assert.equal(made.report?.images?.[0]?.seriesCount, 2);
    const later = await approved();
    await loadOptOuts(['ELSEWHERE-1', ...Array.from({ length: 10 }, (_, index) => `H${index}`)], 0);
    await perform(later, newId('RunId'), { kind: 'prepare' }); // too few images for a run; who left is known all the same
    const { rows } = await one.site.database.pool.query(
      'select count(*)::int as n from dataset_leaver where content_digest = $1',
      [made.contentDigest],
    );
    assert.equal(rows[0].n, 11);
    const again = await build(asked);
    assert.equal(again.report?.images?.[0]?.optedOutCount, 1);
    assert.equal(again.report?.images?.[0]?.seriesCount, 1);
    await loadOptOuts([], 0);
    await settled();
  });

  it('is refused once governance withdraws the collection, and for images of another project', async () => {
    const other = await approved();
    await collection('of-another', other);
    await settled();
    await build(specification([image('reference')], { collection: 'of-another' }));
    const mine = await approved();
    const foreign = await perform(mine, newId('RunId'), { kind: 'prepare' });
    assert.ok(foreign.kind === 'failed' && foreign.code === 'policy.refused', JSON.stringify(foreign));
    await build(specification([image('reference')], { collection: 'chest' }));
    const before = await approved();
    const running = newId('RunId');
    assert.equal((await perform(before, running, { kind: 'prepare' })).kind, 'prepared');
    const { collections } = await engineer().call(RESEARCH_IMAGES_API.listImageCollections, {});
    const { collectionId } = collections.find(({ name }) => name === 'chest') ?? assert.fail();
    const body = { reason: 'over' };
    await one.site
      .as('governance')
      .call(RESEARCH_IMAGES_API.withdrawImageCollection, { params: { collectionId }, body });
    const refused = await perform(before, newId('RunId'), { kind: 'prepare' });
    assert.ok(refused.kind === 'failed' && refused.code === 'policy.not-approved', JSON.stringify(refused));
    const later = await perform(before, running, trainStep());
    assert.ok(later.kind === 'failed' && later.code === 'policy.not-approved', JSON.stringify(later));
    const failed = await build(specification([image('reference')], { collection: 'chest' }));
    assert.deepEqual([failed.state, failed.failure?.code], ['failed', 'policy.not-approved']);
  });
});
