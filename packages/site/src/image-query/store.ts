/** Reads the index of images, page by page in a stable order, so that no answer is held whole. */
import type { JsonDataSet } from '@lantern/dicom';
import type { Database } from '@lantern/service';
import { sql } from 'kysely';
import { conditionSql, everyOf, type Sql } from './conditions.ts';
import type { ImageQuery } from './query.ts';
import type { ComputedPart, QueryLevel } from './query-attributes.ts';

/** What the index has of one match; columns of levels below that of the query are absent. */
export type MatchRow = {
  readonly study_key: number;
  readonly study_date: string;
  readonly patient_id: string;
  readonly study_instance_uid: string;
  readonly study_attributes: JsonDataSet;
  readonly series_key?: string;
  readonly series_instance_uid?: string;
  readonly series_attributes?: JsonDataSet;
  readonly instance_key?: string;
  readonly sop_instance_uid?: string;
  readonly sop_class_uid?: string;
  readonly transfer_syntax_uid?: string;
  readonly instance_number?: number | null;
  readonly frame_count?: number | null;
  readonly image_rows?: number | null;
  readonly image_columns?: number | null;
} & { readonly [part in CountedPart]?: number } & { readonly [part in GatheredPart]?: readonly string[] };

type GatheredPart = 'modalities' | 'sopClasses';
type CountedPart = Exclude<ComputedPart, GatheredPart | 'availability' | 'retrieveAe' | 'retrieveUrl'>;

export type Page = { readonly limit: number; readonly offset?: number; readonly after?: MatchRow | undefined };

export async function matchPage(database: Database, query: ImageQuery, page: Page): Promise<MatchRow[]> {
  return database.ask(matchStatement(query, page));
}

/** How many match, counted no further than `countMax`. */
export async function countMatches(database: Database, query: ImageQuery, countMax: number): Promise<number> {
  const key = query.level === 'PATIENT' ? sql`distinct st.patient_id` : sql``;
  const [row] = await database.ask(sql<{ count: number }>`select count(*) as count from (
    select ${key} from ${SOURCES[query.level]} where ${everyOf(restrictions(query))} limit ${countMax}) as matches`);
  return row?.count ?? 0;
}

/** Exported for the tests of query plans. */
export function matchStatement(query: ImageQuery, { limit, offset = 0, after }: Page) {
  const { level } = query;
  const where = [...restrictions(query), ...(after === undefined ? [] : [beyond(level, after)])];
  const computed = query.shown.flatMap(({ source }) => {
    const part = source.kind === 'computed' ? PARTS[source.part] : undefined;
    return source.kind === 'computed' && part !== undefined ? [sql`${part} as ${sql.ref(source.part)}`] : [];
  });
  return sql<MatchRow>`select ${DISTINCT[level]} ${sql.join([COLUMNS[level], ...computed])}
    from ${SOURCES[level]} where ${everyOf(where)} order by ${ORDERS[level]} limit ${limit} offset ${offset}`;
}

/** A patient without an id has no unique key, and is found by its studies alone (PS3.4 C.2.2.1.1). */
function restrictions({ level, conditions }: ImageQuery): Sql[] {
  return [...conditions.map(conditionSql), ...(level === 'PATIENT' ? [sql`st.patient_id <> ''`] : [])];
}

const SERIES_SOURCE = sql`image_series as se join image_study as st using (study_key)`;

const SOURCES: Readonly<Record<QueryLevel, Sql>> = {
  PATIENT: sql`image_study as st`,
  STUDY: sql`image_study as st`,
  SERIES: SERIES_SOURCE,
  IMAGE: sql`image_instance as im join (${SERIES_SOURCE}) using (series_key)`,
};

const STUDY_COLUMNS = sql`st.study_key::text as study_key, st.study_date, st.patient_id, st.study_instance_uid,
  st.attributes as study_attributes`;
const SERIES_COLUMNS = sql`${STUDY_COLUMNS}, se.series_key::text as series_key, se.series_instance_uid,
  se.attributes as series_attributes`;

const COLUMNS: Readonly<Record<QueryLevel, Sql>> = {
  PATIENT: STUDY_COLUMNS,
  STUDY: STUDY_COLUMNS,
  SERIES: SERIES_COLUMNS,
  IMAGE: sql`${SERIES_COLUMNS}, im.instance_key::text as instance_key, im.sop_instance_uid, im.sop_class_uid,
    im.transfer_syntax_uid, im.instance_number, im.frame_count, im.image_rows, im.image_columns`,
};

/** A patient is shown as its newest study among those that match has it. */
const DISTINCT: Readonly<Record<QueryLevel, Sql>> = {
  PATIENT: sql`distinct on (st.patient_id)`,
  STUDY: sql``,
  SERIES: sql``,
  IMAGE: sql``,
};

/** Studies newest first, which is what people look at; the rest as it came. */
const ORDERS: Readonly<Record<QueryLevel, Sql>> = {
  PATIENT: sql`st.patient_id, st.study_date desc, st.study_key desc`,
  STUDY: sql`st.study_date desc, st.study_key desc`,
  SERIES: sql`se.series_key`,
  IMAGE: sql`im.instance_key`,
};

function beyond(level: QueryLevel, row: MatchRow): Sql {
  switch (level) {
    case 'PATIENT':
      return sql`st.patient_id > ${row.patient_id}`;
    case 'STUDY':
      return sql`(st.study_date, st.study_key) < (${row.study_date}, ${row.study_key}::bigint)`;
    case 'SERIES':
      return sql`se.series_key > ${row.series_key}::bigint`;
    case 'IMAGE':
      return sql`im.instance_key > ${row.instance_key}::bigint`;
  }
}

const OF_PATIENT = sql`image_study as own where own.patient_id = st.patient_id`;
const SERIES_OF_PATIENT = sql`image_series as below join image_study as own using (study_key)
  where own.patient_id = st.patient_id`;
const LEAVES_OF_PATIENT = sql`image_instance as leaf join image_series as below using (series_key)
  join image_study as own using (study_key) where own.patient_id = st.patient_id`;
const LEAVES_OF_STUDY = sql`image_series as below join image_instance as leaf using (series_key)
  where below.study_key = st.study_key`;

const PARTS: Readonly<Partial<Record<ComputedPart, Sql>>> = {
  modalities: sql`(select coalesce(array_agg(distinct below.modality order by below.modality), '{}')
    from image_series as below where below.study_key = st.study_key and below.modality <> '')`,
  sopClasses: sql`(select coalesce(array_agg(distinct leaf.sop_class_uid order by leaf.sop_class_uid), '{}')
    from ${LEAVES_OF_STUDY})`,
  studiesOfPatient: sql`(select count(*) from ${OF_PATIENT})`,
  seriesOfPatient: sql`(select count(*) from ${SERIES_OF_PATIENT})`,
  instancesOfPatient: sql`(select count(*) from ${LEAVES_OF_PATIENT})`,
  seriesOfStudy: sql`(select count(*) from image_series as below where below.study_key = st.study_key)`,
  instancesOfStudy: sql`(select count(*) from ${LEAVES_OF_STUDY})`,
  instancesOfSeries: sql`(select count(*) from image_instance as leaf where leaf.series_key = se.series_key)`,
};
