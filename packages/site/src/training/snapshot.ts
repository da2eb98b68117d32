/**
 * What a run works on at this site: the complete rows of a dataset's content, as numbers, and the counts by which the gate
 * judges every statistic made from them.
 *
 * Invariant: a run sees one content of the dataset from its first to its last round, named by digest; a dataset registered
 * again meanwhile does not change it. The files can be made again from that content at any time and come out equal.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  AppError,
  type DatasetSchema,
  type Digest,
  type FeatureSpec,
  type MomentsMessage,
  parse,
} from '@lantern/contract';
import { featureNames, localMoments, mergeMoments } from '@lantern/learning';
import {
  createReleasedRowsBuilder,
  type EvaluationFacts,
  type FeaturePlan,
  type ImageTables,
  PATIENT_COLUMN,
  planFeatures,
  type ReleasedRows,
  ROW_COLUMN,
  type RowSet,
  type RunFacts,
  type SqlQuery,
} from '@lantern/omop';
import { Type } from 'typebox';
import type { TableEngine, TableSession } from '../datasets/table-engine.ts';
import { evenOutRareNumbers } from './rare-numbers.ts';
import { createRowFile, type RowBlock, rowBlocks } from './row-file.ts';
import { type ImageNumbers, type OpenImages, openImages, type RunImages, referredImages } from './run-images.ts';

/** Every label under one name that no column has: two labels over the same rows that differ in one patient are near. */
const LABEL_NAME = '(label)';

/** What the gate judges; the number of parameters joins when an algorithm is known. */
export type SnapshotFacts = {
  readonly train: Omit<RunFacts, 'parameterCount'>;
  /** `isHeld`: the test rows were held against those of earlier runs, since the gate let an evaluation of them leave. */
  readonly test: EvaluationFacts & { readonly isHeld?: boolean };
};

export type SnapshotSource = {
  readonly schema: DatasetSchema;
  readonly contentDigest: Digest;
  readonly features: FeatureSpec;
  /** Newton statistics hold the tables of two columns, which are counted for the gate then. */
  readonly holdsPairs: boolean;
  /** `undefined`: features that are images are refused. */
  readonly images?: RunImages | undefined;
};

export type Snapshot = {
  readonly facts: SnapshotFacts;
  /** Who and what stands in the rows, to be held against the rows of earlier runs. */
  readonly held: Readonly<Record<RowSet, ReleasedRows>>;
  /** Of the training rows. */
  readonly moments: MomentsMessage;
  readonly trainRowCount: number;
  readonly testRowCount: number;
};

/** Counts without making the rows. Throws `dataset.schema-mismatch` when the dataset does not have what the features need. */
export async function readFacts(
  engine: TableEngine,
  source: SnapshotSource,
  signal: AbortSignal,
): Promise<SnapshotFacts> {
  const table = await engine.tableOf(source.contentDigest);
  return engine.session(signal, async (session) => {
    const plans = plansOf(source, table, await referredImages(session, source, table));
    return {
      train: await trainFactsOf(session, plans.train, source),
      test: await evaluationFactsOf(session, plans.test),
    };
  });
}

/** Makes the rows of both sets in `dir`, with their facts and moments. */
export async function makeSnapshot(
  engine: TableEngine,
  source: SnapshotSource,
  into: { dir: string; signal: AbortSignal },
): Promise<Snapshot> {
  const table = await engine.tableOf(source.contentDigest);
  return engine.session(into.signal, async (session) => {
    const images = await openImages(session, source, { table, ...into });
    try {
      const plans = plansOf(source, table, images.tables);
      const layout = layoutOf(source.features, images);
      const train = await writeRows(session, plans.train, { file: rowsFileOf(into.dir, 'train'), layout });
      const test = await writeRows(session, plans.test, { file: rowsFileOf(into.dir, 'test'), layout });
      await evenOut(rowsFileOf(into.dir, 'train'), source, layout);
      const facts = {
        train: await trainFactsOf(session, plans.train, source),
        test: await evaluationFactsOf(session, plans.test),
      };
      const moments = await momentsOf(rowsFileOf(into.dir, 'train'), widthOf(layout));
      const held = { train: train.held, test: test.held };
      return { facts, held, moments, trainRowCount: train.rowCount, testRowCount: test.rowCount };
    } finally {
      await images.close();
    }
  });
}

/** What stands at each place of a planned row: a number, or an image that becomes as many as it has. */
type Layout = readonly (ImageNumbers | 'number')[];

function layoutOf({ features }: FeatureSpec, { numbers }: OpenImages): Layout {
  return features.flatMap((feature): Layout => {
    const image = numbers.get(feature);
    if (image !== undefined) return [image];
    return featureNames({ features: [feature] }).map(() => 'number' as const);
  });
}

function sizeOf(place: Layout[number]): number {
  return place === 'number' ? 1 : place.size;
}

function widthOf(layout: Layout): number {
  return layout.reduce((sum, place) => sum + sizeOf(place), 0);
}

/** Of the training rows, which what is sent is made of. */
async function evenOut(file: string, { images }: Pick<SnapshotSource, 'images'>, layout: Layout): Promise<void> {
  let first = 0;
  const places: { first: number; count: number }[] = [];
  for (const place of layout) {
    if (place !== 'number') places.push({ first, count: place.size });
    first += sizeOf(place);
  }
  if (images === undefined || places.length === 0) return;
  await evenOutRareNumbers(file, { images: places, patientCountMin: images.patientCountMin });
}

/** Makes the rows again when the folder lost them. Throws `dataset.invalid` where images that stood in them are gone since. */
export async function ensureRows(
  engine: TableEngine,
  source: Omit<SnapshotSource, 'holdsPairs'> & Pick<Snapshot, 'trainRowCount' | 'testRowCount'>,
  into: { dir: string; signal: AbortSignal },
): Promise<void> {
  const present = (['train', 'test'] as const).every((rowSet) => existsSync(rowsFileOf(into.dir, rowSet)));
  if (present) return;
  const { trainRowCount, testRowCount } = await makeSnapshot(engine, { ...source, holdsPairs: false }, into);
  if (trainRowCount === source.trainRowCount && testRowCount === source.testRowCount) return;
  for (const rowSet of ['train', 'test'] as const) await rm(rowsFileOf(into.dir, rowSet), { force: true });
  throw new AppError('dataset.invalid', 'Images of this run are not there any more; begin another run.');
}

export function rowsFileOf(dir: string, rowSet: RowSet): string {
  return path.join(dir, `${rowSet}.safetensors`);
}

function plansOf(
  source: Omit<SnapshotSource, 'holdsPairs'>,
  table: string,
  images: ImageTables,
): Record<RowSet, FeaturePlan> {
  const { schema, features: spec } = source;
  try {
    return {
      train: planFeatures({ schema, table, spec, rowSet: 'train', images }),
      test: planFeatures({ schema, table, spec, rowSet: 'test', images }),
    };
  } catch (caught) {
    if (!(caught instanceof AppError) || caught.code !== 'input.invalid') throw caught;
    throw new AppError('dataset.schema-mismatch', `Dataset "${schema.name}" of this site: ${caught.message}`);
  }
}

async function trainFactsOf(
  session: TableSession,
  plan: FeaturePlan,
  { holdsPairs }: SnapshotSource,
): Promise<SnapshotFacts['train']> {
  const [row] = await session.rows(plan.facts);
  const { facts, twoValued } = plan.readFacts(row);
  return holdsPairs ? { ...facts, pairs: await pairsOf(session, plan, twoValued) } : facts;
}

async function pairsOf(
  session: TableSession,
  { pairs }: FeaturePlan,
  twoValued: ReadonlySet<string>,
): Promise<RunFacts['pairs']> {
  if (pairs === undefined) return 'too-many';
  const counter = pairs.openCounter();
  await session.numbers(pairs.query, (chunk) => counter.add(chunk));
  return counter.sizes(twoValued);
}

async function evaluationFactsOf(session: TableSession, plan: FeaturePlan): Promise<EvaluationFacts> {
  const [row] = await session.rows(plan.facts);
  const { patientCount, labelStrata } = plan.readFacts(row).facts;
  return { patientCount, labelStrata };
}

const RowCountSchema = Type.Array(Type.Object({ count: Type.Number() }));

async function countRows(session: TableSession, query: SqlQuery): Promise<number> {
  const rows = await session.rows({ ...query, sql: `SELECT CAST(count(*) AS DOUBLE) AS count FROM (${query.sql})` });
  return parse(RowCountSchema, rows, { what: 'Count of rows' })[0]?.count ?? 0;
}

/** The file appears under its name only when it is whole. */
async function writeRows(
  session: TableSession,
  plan: FeaturePlan,
  { file, layout }: { file: string; layout: Layout },
): Promise<{ rowCount: number; held: ReleasedRows }> {
  const columnCount = plan.featureNames.length;
  const rowCount = await countRows(session, plan.rows);
  const names = [...plan.featureNames.keys()].map((index) => `f${index}`);
  const columns = [...names, 'label', PATIENT_COLUMN].join(', ');
  const select = `SELECT ${columns} FROM (${plan.rows.sql}) ORDER BY ${ROW_COLUMN}`;
  const held = createReleasedRowsBuilder([...plan.featureNames, LABEL_NAME]);
  const temporary = `${file}.${randomUUID()}.new`;
  const writer = await createRowFile(temporary, { rowCount, featureCount: widthOf(layout) }, 'F64');
  try {
    await session.numbers({ ...plan.rows, sql: select }, async (chunk) => {
      held.add(chunk[columnCount + 1] ?? new Float64Array(), marked(chunk, layout));
      await writer.append(await rowMajor(chunk, layout));
    });
    await writer.finish();
  } catch (caught) {
    await writer.abandon().catch(() => undefined); // closed already; the first error tells more
    await rm(temporary, { force: true });
    throw caught;
  }
  await rename(temporary, file);
  return { rowCount, held: held.finish() };
}

/** With what names the content of each image, where there was its number. */
function marked(columns: readonly Float64Array[], layout: Layout): readonly Float64Array[] {
  return columns.map((column, index) => {
    const place = layout[index] ?? 'number';
    return place === 'number' ? column : column.map((number) => place.marks[number] ?? Number.NaN);
  });
}

async function rowMajor(columns: readonly Float64Array[], layout: Layout): Promise<RowBlock> {
  const featureCount = widthOf(layout);
  const labels = columns[layout.length] ?? new Float64Array();
  const values = new Float64Array(labels.length * featureCount);
  let first = 0;
  for (const [index, place] of layout.entries()) {
    const column = columns[index] ?? new Float64Array();
    for (let row = 0; row < labels.length; row += 1) {
      const at = row * featureCount + first;
      if (place === 'number') values[at] = column[row] ?? Number.NaN;
      else values.set(await place.read(column[row] ?? 0), at);
    }
    first += sizeOf(place);
  }
  return { rowCount: labels.length, featureCount, values, labels };
}

async function momentsOf(file: string, featureCount: number): Promise<MomentsMessage> {
  const parts: MomentsMessage[] = [];
  for await (const block of rowBlocks(file)) parts.push(localMoments(columnsOf(block)));
  const none = {
    rowCount: 0,
    mean: new Array<number>(featureCount).fill(0),
    m2: new Array<number>(featureCount).fill(0),
  };
  return mergeMoments([none, ...parts]);
}

function columnsOf({ values, rowCount, featureCount }: RowBlock): Float64Array[] {
  return Array.from({ length: featureCount }, (_, feature) =>
    Float64Array.from({ length: rowCount }, (_row, row) => values[row * featureCount + feature] ?? Number.NaN),
  );
}
