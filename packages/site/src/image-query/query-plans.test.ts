import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sql } from 'kysely';
import { fillIndex } from '../../test/filled-index.ts';
import { startTestImaging, type TestImaging } from '../../test/imaging-harness.ts';
import { imageQuery, type QueryKey } from './query.ts';
import { type QueryLevel, queryAttributes } from './query-attributes.ts';
import { matchStatement } from './store.ts';

const STUDY_COUNT = 4000;
let node: TestImaging;

before(async () => {
  node = await startTestImaging({ name: 'query-plans' });
  const filled = await fillIndex(node.database, STUDY_COUNT);
  assert.equal(filled.instanceCount, 100_000);
});

after(async () => {
  await node?.close();
});

function queryOf(level: QueryLevel, keys: Readonly<Record<string, string>>) {
  const byKeyword = new Map([...queryAttributes().values()].map(({ keyword, tag }) => [keyword, tag]));
  const given = Object.entries(keys).map(
    ([keyword, value]): QueryKey => ({
      tag: byKeyword.get(keyword) ?? '',
      values: value.split('\\'),
    }),
  );
  const counts = ['ModalitiesInStudy', 'NumberOfStudyRelatedSeries', 'NumberOfStudyRelatedInstances'];
  return imageQuery({
    level,
    keys: given,
    shown: new Set(counts.map((keyword) => byKeyword.get(keyword) ?? '')),
    combinesDateTime: true,
  });
}

/** Tables that are read from end to end, and the rows that the statement gives. */
async function planOf(level: QueryLevel, keys: Readonly<Record<string, string>>) {
  const statement = matchStatement(queryOf(level, keys), { limit: 101 });
  const lines = await node.database.ask(sql<{ 'QUERY PLAN': string }>`explain (analyze, timing off) ${statement}`);
  const plan = lines.map((line) => line['QUERY PLAN']).join('\n');
  const scanned = [...plan.matchAll(/Seq Scan on (image_\w+)/g)].map(([, table]) => table);
  return { plan, scanned, rowCount: Number(/rows=(\d+)(?:\.\d+)? loops=1\)/.exec(plan)?.[1]) };
}

describe('with a hundred thousand instances, a query reads no table from end to end', () => {
  // The last column says in other words how many there are.
  const ofStudy = 'image_study st';
  const ofSeries = `image_series se join ${ofStudy} using (study_key)`;
  const cases: [title: string, level: QueryLevel, keys: Record<string, string>, truth: string][] = [
    ['by patient id', 'STUDY', { PatientID: 'P0000700' }, `${ofStudy} where patient_id in ('P0000700')`],
    [
      'by the beginning of a patient id',
      'STUDY',
      { PatientID: 'P000070*' },
      `${ofStudy} where left(patient_id, 7) = 'P000070'`,
    ],
    ['by accession number', 'STUDY', { AccessionNumber: 'ACC0001234' }, `${ofStudy} where study_id = '1234'`],
    ['by a name', 'STUDY', { PatientName: 'SMITH^OLIVIA^0' }, `${ofStudy} where patient_name = 'Smith^Olivia^0'`],
    [
      'by the beginning of a name',
      'STUDY',
      { PatientName: 'smith^olivia^8*' },
      `${ofStudy} where patient_name ~ '^Smith.Olivia.8'`,
    ],
    [
      'by a name beyond ASCII',
      'STUDY',
      { PatientName: 'MÜLLER^Muh*^4*' },
      `${ofStudy} where patient_name ~ '^M.ller.Muhammad.4'`,
    ],
    ['by date', 'STUDY', { StudyDate: '20180501' }, `${ofStudy} where study_date = '20180501'`],
    [
      'by a range of dates and modality',
      'STUDY',
      { StudyDate: '20180501-20180507', ModalitiesInStudy: 'MR' },
      `${ofStudy} where study_date::date between '2018-05-01' and '2018-05-07'
        and 'MR' in (select modality from image_series where study_key = st.study_key)`,
    ],
    [
      'by date and time',
      'STUDY',
      { StudyDate: '20180501-20180507', StudyTime: '110000-0900' },
      `${ofStudy} where study_date || study_time between '20180501110000' and '20180507090059'`,
    ],
    ['by study UID', 'STUDY', { StudyInstanceUID: '2.25.7.77' }, `${ofStudy} where study_id = '77'`],
    ['the newest of all', 'STUDY', {}, 'generate_series(1, 101)'],
    ['the series of a study', 'SERIES', { StudyInstanceUID: '2.25.7.77' }, `${ofSeries} where study_id = '77'`],
    ['a series', 'SERIES', { SeriesInstanceUID: '2.25.7.77.2' }, 'generate_series(1, 1)'],
    ['the series of a patient', 'SERIES', { PatientID: 'P0000700' }, `${ofSeries} where patient_id in ('P0000700')`],
    [
      'the images of a series',
      'IMAGE',
      { StudyInstanceUID: '2.25.7.77', SeriesInstanceUID: '2.25.7.77.2' },
      'generate_series(1, 13)',
    ],
    ['the images of a study', 'IMAGE', { StudyInstanceUID: '2.25.7.77' }, 'generate_series(1, 25)'],
    ['an image', 'IMAGE', { SOPInstanceUID: '2.25.7.77.2.3' }, 'generate_series(1, 1)'],
    ['a patient', 'PATIENT', { PatientID: 'P0000700' }, 'generate_series(1, 1)'],
    [
      'patients by name',
      'PATIENT',
      { PatientName: 'smith^olivia^8*' },
      `(select distinct patient_id from ${ofStudy} where patient_name ~ '^Smith.Olivia.8') as patients`,
    ],
  ];
  for (const [title, level, keys, truth] of cases) {
    it(title, async () => {
      const found = await planOf(level, keys);
      const [expected] = await node.database.ask(
        sql<{ count: number }>`select count(*) as count from ${sql.raw(truth)}`,
      );
      assert.deepEqual(found.scanned, [], found.plan);
      assert.ok(found.rowCount > 0, 'the case finds nothing');
      assert.equal(found.rowCount, expected?.count, found.plan);
    });
  }
});
