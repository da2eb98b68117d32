/** Rows of research copies: studies, series, instances and reports. */
import type { ImageCollectionId, ManifestStudy, ResearchStudyState, VolumeFacts } from '@lantern/contract';
import type { DeidentificationReport } from '@lantern/dicom';
import { type Kysely, sql } from 'kysely';

/** The mirror of `migrations/016-research-images.sql`, but for collections, keys and opt-outs. */
export type ResearchTables = {
  research_study: {
    collection_id: ImageCollectionId;
    study_key: string;
    state: ResearchStudyState;
    why: string;
    wanted: number;
    is_whole: boolean;
    patient: string | null;
    study_instance_uid: string | null;
    patient_digests: Buffer[];
  };
  research_series: {
    collection_id: ImageCollectionId;
    study_key: string;
    series_key: string;
    volume: VolumeFacts | null;
  };
  research_instance: { collection_id: ImageCollectionId; instance_key: string; series_key: string; file: string };
};
export type ResearchDb = Kysely<ResearchTables>;
export type StudyStateRow = ResearchTables['research_study'];

type OneStudy = { readonly collectionId: ImageCollectionId; readonly studyKey: string };

/** A study of a collection is to be looked at, again if it was before. */
export async function wantStudy(tx: ResearchDb, { collectionId, studyKey }: OneStudy): Promise<void> {
  await sql`insert into research_study (collection_id, study_key, state) values (${collectionId}, ${studyKey}, 'pending')
    on conflict (collection_id, study_key)
    do update set state = 'pending', why = '', wanted = research_study.wanted + 1`.execute(tx);
}

/** Those that were not there before. */
export async function addStudies(
  tx: ResearchDb,
  collectionId: ImageCollectionId,
  studyKeys: readonly string[],
): Promise<string[]> {
  const { rows } = await sql<{ studyKey: string }>`
    insert into research_study (collection_id, study_key, state)
    select ${collectionId}, key, 'pending' from unnest(${studyKeys}::bigint[]) as key
    on conflict do nothing returning study_key::text as "studyKey"`.execute(tx);
  return rows.map(({ studyKey }) => studyKey);
}

export async function findStudy(db: ResearchDb, { collectionId, studyKey }: OneStudy) {
  return db
    .selectFrom('research_study')
    .selectAll()
    .where('collection_id', '=', collectionId)
    .where('study_key', '=', studyKey)
    .executeTakeFirst();
}

/** `wanted`: only if nothing was asked for since. */
export async function setStudyState(
  db: ResearchDb,
  { collectionId, studyKey }: OneStudy,
  change: { state: ResearchStudyState; why: string; wanted: number; isWhole: boolean },
): Promise<void> {
  await db
    .updateTable('research_study')
    .set({ state: change.state, why: change.why, is_whole: change.isWhole })
    .where('collection_id', '=', collectionId)
    .where('study_key', '=', studyKey)
    .where('wanted', '=', change.wanted)
    .execute();
}

/** Its job will not be tried again; not where something was asked for meanwhile that ended it otherwise. */
export async function setStudyFailed(db: ResearchDb, { collectionId, studyKey }: OneStudy, why: string): Promise<void> {
  await db
    .updateTable('research_study')
    .set({ state: 'failed', why })
    .where('collection_id', '=', collectionId)
    .where('study_key', '=', studyKey)
    .where('state', '=', 'pending')
    .execute();
}

export async function failedStudies(db: ResearchDb, collectionId: ImageCollectionId): Promise<OneStudy[]> {
  const { rows } = await sql<OneStudy>`
    select collection_id as "collectionId", study_key::text as "studyKey" from research_study
    where collection_id = ${collectionId} and state = 'failed' order by study_key`.execute(db);
  return rows;
}

/** Collections with studies that wait for something that may come: not those of replaced versions, which get no more. */
export async function collectionsWaiting(db: ResearchDb): Promise<ImageCollectionId[]> {
  const { rows } = await sql<{ collectionId: ImageCollectionId }>`
    select collection_id as "collectionId" from image_collection as collection
    where state in ('approved', 'superseded') and exists (select from research_study as study
      where study.collection_id = collection.collection_id and study.state = 'waiting' and study.why <> 'superseded')
    order by collection_id`.execute(db);
  return rows.map(({ collectionId }) => collectionId);
}

export async function waitingStudies(
  db: ResearchDb,
  collectionId: ImageCollectionId,
  limit: number,
): Promise<OneStudy[]> {
  const { rows } = await sql<OneStudy>`
    select collection_id as "collectionId", study_key::text as "studyKey" from research_study
    where collection_id = ${collectionId} and state = 'waiting' and why <> 'superseded' order by study_key limit ${limit}`.execute(
    db,
  );
  return rows;
}

/**
 * Studies that a new list of opt-outs may change: copied ones of who is on it or cannot be told, excluded ones, and those that are
 * being copied or could not be, whose patients may have been judged by the list before.
 */
export async function studiesToJudgeAgain(
  db: ResearchDb,
  after: { readonly collectionId: string; readonly studyKey: string },
  limit: number,
): Promise<OneStudy[]> {
  const { rows } = await sql<OneStudy>`
    select collection_id as "collectionId", study_key::text as "studyKey" from research_study as study
    where (collection_id, study_key) > (${after.collectionId}, ${after.studyKey}::bigint) and (
      state in ('opted-out', 'waiting', 'pending', 'failed') or patient_digests = '{}'
      or exists (select from opt_out_entry where digest = any(study.patient_digests)))
    order by collection_id, study_key limit ${limit}`.execute(db);
  return rows;
}

export type Copy = { readonly instanceKey: string; readonly seriesKey: string; readonly file: string };

export async function copiesOf(db: ResearchDb, { collectionId, studyKey }: OneStudy): Promise<Copy[]> {
  const { rows } = await sql<Copy>`
    select instance_key::text as "instanceKey", series_key::text as "seriesKey", file
    from research_instance join research_series using (collection_id, series_key)
    where collection_id = ${collectionId} and study_key = ${studyKey}::bigint order by instance_key`.execute(db);
  return rows;
}

export type NewCopy = OneStudy & {
  readonly instanceKey: string;
  readonly seriesKey: string;
  readonly modality: string;
  readonly patient: string;
  readonly patientDigests: readonly Buffer[];
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
  readonly sopInstanceUid: string;
  readonly sopClassUid: string;
  readonly file: string;
  readonly sizeBytes: number;
  readonly contentDigest: Buffer;
  readonly reportDigest: Buffer;
  readonly copiedAt: Date;
};

/** The same instance twice changes nothing. */
export async function insertCopy(tx: ResearchDb, copy: NewCopy): Promise<void> {
  const { collectionId, studyKey } = copy;
  const digests = copy.patientDigests.map((digest) => digest.toString('hex'));
  await sql`update research_study set
      patient = coalesce(patient, ${copy.patient}), study_instance_uid = coalesce(study_instance_uid, ${copy.studyInstanceUid}),
      patient_digests = array(
        select unnest(patient_digests) union select decode(hex, 'hex') from unnest(${digests}::text[]) as hex)
    where collection_id = ${collectionId} and study_key = ${studyKey}::bigint`.execute(tx);
  await sql`insert into research_series (collection_id, study_key, series_key, series_instance_uid, modality)
    values (${collectionId}, ${studyKey}, ${copy.seriesKey}, ${copy.seriesInstanceUid}, ${copy.modality})
    on conflict (collection_id, series_key) do update set volume = null`.execute(tx);
  await sql`insert into research_instance (
      collection_id, instance_key, series_key, sop_instance_uid, sop_class_uid, file, size_bytes, content_digest, report_digest, copied_at)
    values (
      ${collectionId}, ${copy.instanceKey}, ${copy.seriesKey}, ${copy.sopInstanceUid}, ${copy.sopClassUid}, ${copy.file},
      ${copy.sizeBytes}, ${copy.contentDigest}, ${copy.reportDigest}, ${copy.copiedAt})
    on conflict do nothing`.execute(tx);
}

export async function deleteCopies(db: ResearchDb, { collectionId }: OneStudy, copies: readonly Copy[]): Promise<void> {
  const instanceKeys = copies.map(({ instanceKey }) => instanceKey);
  await sql`delete from research_instance
    where collection_id = ${collectionId} and instance_key = any(${instanceKeys}::bigint[])`.execute(db);
}

export async function seriesWithoutVolume(db: ResearchDb, { collectionId, studyKey }: OneStudy): Promise<string[]> {
  const rows = await db
    .selectFrom('research_series')
    .select('series_key')
    .where('collection_id', '=', collectionId)
    .where('study_key', '=', studyKey)
    .where('volume', 'is', null)
    .execute();
  return rows.map(({ series_key: seriesKey }) => String(seriesKey));
}

export async function setVolume(
  db: ResearchDb,
  series: { readonly collectionId: ImageCollectionId; readonly seriesKey: string },
  volume: VolumeFacts,
): Promise<void> {
  await sql`update research_series set volume = ${JSON.stringify(volume)}::jsonb
    where collection_id = ${series.collectionId} and series_key = ${series.seriesKey}::bigint`.execute(db);
}

export async function insertReport(
  tx: ResearchDb,
  { digest, report }: { readonly digest: Buffer; readonly report: string },
): Promise<void> {
  await sql`insert into deidentification_report (report_digest, report) values (${digest}, ${report}::jsonb)
    on conflict do nothing`.execute(tx);
}

export async function findReport(db: ResearchDb, digest: Buffer): Promise<DeidentificationReport | undefined> {
  const { rows } = await sql<{ report: DeidentificationReport }>`
    select report from deidentification_report where report_digest = ${digest}`.execute(db);
  return rows[0]?.report;
}

export async function reportsOf(
  db: ResearchDb,
  { collectionId, studyKey }: OneStudy,
): Promise<{ readonly sopInstanceUids: string[]; readonly report: DeidentificationReport }[]> {
  const { rows } = await sql<{ sopInstanceUids: string[]; report: DeidentificationReport }>`
    select grouped.uids as "sopInstanceUids", report from deidentification_report join (
      select report_digest, array_agg(sop_instance_uid order by sop_instance_uid) as uids
      from research_instance join research_series using (collection_id, series_key)
      where collection_id = ${collectionId} and study_key = ${studyKey}::bigint
      group by report_digest) as grouped using (report_digest)
    order by uids`.execute(db);
  return rows;
}

export type CopyCounts = {
  readonly collectionId: ImageCollectionId;
  readonly pendingStudies: number;
  readonly waitingStudies: number;
  readonly doneStudies: number;
  readonly optedOutStudies: number;
  readonly failedStudies: number;
  readonly copiedInstances: number;
  readonly heldInstances: number;
};

export async function countCopies(
  db: ResearchDb,
  collectionIds: readonly ImageCollectionId[],
): Promise<readonly CopyCounts[]> {
  const { rows } = await sql<CopyCounts>`
    select id as "collectionId",
      (select count(*)::int from research_study where collection_id = id and state = 'pending') as "pendingStudies",
      (select count(*)::int from research_study where collection_id = id and state = 'waiting') as "waitingStudies",
      (select count(*)::int from research_study where collection_id = id and state = 'done') as "doneStudies",
      (select count(*)::int from research_study where collection_id = id and state = 'opted-out') as "optedOutStudies",
      (select count(*)::int from research_study where collection_id = id and state = 'failed') as "failedStudies",
      (select count(*)::int from research_instance where collection_id = id) as "copiedInstances",
      (select count(*)::int from image_quarantine where collection_id = id and state = 'held') as "heldInstances"
    from unnest(${collectionIds}::text[]) as id`.execute(db);
  return rows;
}

export type ListedStudy = {
  readonly studyKey: string;
  readonly state: ResearchStudyState;
  readonly why: string;
  readonly patient: string | null;
  readonly studyInstanceUid: string | null;
  readonly copiedInstances: number;
  readonly heldInstances: number;
  readonly refusedInstances: number;
};

export async function listStudies(
  db: ResearchDb,
  collectionId: ImageCollectionId,
  page: { readonly after: string; readonly limit: number },
): Promise<ListedStudy[]> {
  const { rows } = await sql<ListedStudy>`
    select study_key::text as "studyKey", state, why, patient, study_instance_uid as "studyInstanceUid",
      (select count(*)::int from research_instance join research_series as series using (collection_id, series_key)
        where collection_id = study.collection_id and series.study_key = study.study_key) as "copiedInstances",
      (select count(*)::int from image_quarantine as held where held.collection_id = study.collection_id
        and held.study_key = study.study_key and held.state = 'held') as "heldInstances",
      (select count(*)::int from image_quarantine as held where held.collection_id = study.collection_id
        and held.study_key = study.study_key and held.state = 'refused') as "refusedInstances"
    from research_study as study
    where collection_id = ${collectionId} and study_key > ${page.after}::bigint
    order by study_key limit ${page.limit}`.execute(db);
  return rows;
}

/** Studies that are done and have copies, in the form of the manifest, by rising key. */
export async function manifestStudies(
  db: ResearchDb,
  collectionId: ImageCollectionId,
  page: { readonly after: string; readonly limit: number },
): Promise<{ readonly studyKey: string; readonly study: ManifestStudy }[]> {
  const { rows } = await sql<{ studyKey: string; study: ManifestStudy }>`
    select study_key::text as "studyKey", jsonb_build_object(
      'patient', patient, 'studyInstanceUid', study_instance_uid, 'series', (
        select jsonb_agg(jsonb_build_object(
          'seriesInstanceUid', series_instance_uid, 'modality', modality,
          'volume', coalesce(volume, '{"kind":"none","problems":[]}'), 'instances', instances) order by series_key)
        from research_series as series cross join lateral (
          select jsonb_agg(jsonb_build_object(
            'sopInstanceUid', sop_instance_uid, 'sopClassUid', sop_class_uid, 'file', file, 'sizeBytes', size_bytes,
            'sha256', encode(content_digest, 'hex')) order by instance_key) as instances
          from research_instance where collection_id = series.collection_id and series_key = series.series_key) as files
        where series.collection_id = study.collection_id and series.study_key = study.study_key and instances is not null)
      ) as study
    from research_study as study
    where collection_id = ${collectionId} and state = 'done' and study_key > ${page.after}::bigint
      and exists (select from research_instance join research_series as series using (collection_id, series_key)
        where collection_id = study.collection_id and series.study_key = study.study_key)
    order by study_key limit ${page.limit}`.execute(db);
  return rows;
}

export type CopyFile = { readonly file: string; readonly sizeBytes: number; readonly sha256: string };

const DONE = sql`exists (select from research_study as study where study.collection_id = series.collection_id
  and study.study_key = series.study_key and study.state = 'done')`;

export async function findCopyFile(
  db: ResearchDb,
  copy: { readonly collectionId: ImageCollectionId; readonly sopInstanceUid: string },
): Promise<CopyFile | undefined> {
  const { rows } = await sql<CopyFile>`
    select file, size_bytes::int8::float8 as "sizeBytes", encode(content_digest, 'hex') as "sha256"
    from research_instance join research_series as series using (collection_id, series_key)
    where collection_id = ${copy.collectionId} and sop_instance_uid = ${copy.sopInstanceUid} and ${DONE}`.execute(db);
  return rows[0];
}

/** Files of a series, in no order that says anything. */
export async function seriesFiles(
  db: ResearchDb,
  series: { readonly collectionId: ImageCollectionId; readonly seriesInstanceUid: string },
): Promise<CopyFile[]> {
  const { rows } = await sql<CopyFile>`
    select file, size_bytes::int8::float8 as "sizeBytes", encode(content_digest, 'hex') as "sha256"
    from research_instance join research_series as series using (collection_id, series_key)
    where collection_id = ${series.collectionId} and series_instance_uid = ${series.seriesInstanceUid} and ${DONE}
    order by instance_key`.execute(db);
  return rows;
}
