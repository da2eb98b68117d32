/** Series of the archive and of research copies, as datasets of records need them. */
import type { ImageCollectionId } from '@lantern/contract';
import { sql } from 'kysely';
import type { ResearchDb } from './store.ts';

/** Dates as DICOM writes them, '' where there is none. Keys are decimal. */
export type ArchivedStudy = {
  readonly studyKey: string;
  readonly studyInstanceUid: string;
  readonly patientId: string;
  readonly accessionNumber: string;
  readonly studyDate: string;
  readonly series: readonly {
    readonly seriesKey: string;
    readonly seriesInstanceUid: string;
    readonly seriesDate: string;
  }[];
};

export type StudyWanted =
  | { readonly studyInstanceUids: readonly string[] }
  | { readonly accessionNumbers: readonly string[] };

/** Those that are here, by rising key. */
export async function archivedStudies(db: ResearchDb, wanted: StudyWanted): Promise<ArchivedStudy[]> {
  const condition =
    'studyInstanceUids' in wanted
      ? sql`study_instance_uid = any(${wanted.studyInstanceUids}::text[])`
      : sql`accession_number <> '' and accession_number = any(${wanted.accessionNumbers}::text[])`;
  const { rows } = await sql<ArchivedStudy>`
    select study_key::text as "studyKey", study_instance_uid as "studyInstanceUid", patient_id as "patientId",
      accession_number as "accessionNumber", study_date as "studyDate",
      (select coalesce(json_agg(json_build_object(
          'seriesKey', series_key::text, 'seriesInstanceUid', series_instance_uid,
          'seriesDate', coalesce(attributes #>> '{00080021,Value,0}', '')) order by series_key), '[]')
        from image_series as series where series.study_key = study.study_key) as series
    from image_study as study where ${condition} order by study_key`.execute(db);
  return rows;
}

export type CopiedSeries = {
  readonly collectionId: ImageCollectionId;
  /** Of the copy. */
  readonly seriesInstanceUid: string;
  /** SHA-256 over those of the files in the order of the UIDs of their instances, hex. */
  readonly sha256: string;
};

const FINISHED = sql`exists (select from research_study as study where study.collection_id = series.collection_id
    and study.study_key = series.study_key and study.state = 'done')
  and not exists (select from image_quarantine as held where held.collection_id = series.collection_id
    and held.series_key = series.series_key and held.state = 'held')`;

/** Series of a study whose copy is finished and of which nothing is held back, by their keys in the archive. */
export async function finishedSeries(
  db: ResearchDb,
  study: { readonly collectionId: ImageCollectionId; readonly studyKey: string },
): Promise<ReadonlyMap<string, CopiedSeries>> {
  const { rows } = await sql<CopiedSeries & { seriesKey: string }>`
    select series.series_key::text as "seriesKey", series.collection_id as "collectionId",
      series.series_instance_uid as "seriesInstanceUid",
      encode(sha256(string_agg(content_digest, ''::bytea order by sop_instance_uid collate "C")), 'hex') as sha256
    from research_series as series join research_instance using (collection_id, series_key)
    where series.collection_id = ${study.collectionId} and series.study_key = ${study.studyKey}::bigint and ${FINISHED}
    group by series.collection_id, series.series_key`.execute(db);
  return new Map(rows.map(({ seriesKey, ...copy }) => [seriesKey, copy]));
}

/** Of these series of one collection, those whose copy is finished, with their files in the order of the UIDs. */
export async function filesOfSeries(
  db: ResearchDb,
  wanted: { readonly collectionId: ImageCollectionId; readonly seriesInstanceUids: readonly string[] },
): Promise<readonly (CopiedSeries & { readonly files: readonly string[] })[]> {
  const { rows } = await sql<CopiedSeries & { files: string[] }>`
    select series.collection_id as "collectionId", series.series_instance_uid as "seriesInstanceUid",
      encode(sha256(string_agg(content_digest, ''::bytea order by sop_instance_uid collate "C")), 'hex') as sha256,
      array_agg(file order by sop_instance_uid collate "C") as files
    from research_series as series join research_instance using (collection_id, series_key)
    where series.collection_id = ${wanted.collectionId}
      and series.series_instance_uid = any(${wanted.seriesInstanceUids}::text[]) and ${FINISHED}
    group by series.collection_id, series.series_key`.execute(db);
  return rows;
}
