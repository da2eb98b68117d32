/** Rows of image collections, and what the index of the archive says of the studies that they name. */
import type {
  CollectionFault,
  ImageCollectionId,
  ImageCollectionState,
  ProjectId,
  SeriesRule,
  SignedEnvelope,
  StudySelection,
} from '@lantern/contract';
import { type ColumnType, type Kysely, type Selectable, sql } from 'kysely';

/** The mirror of `image_collection` in `migrations/016-research-images.sql` and `020-research-failures-and-signatures.sql`. */
export type CollectionTables = {
  image_collection: {
    collection_id: ImageCollectionId;
    name: string;
    version: number;
    project_id: ProjectId | null;
    profile: ColumnType<Record<string, unknown>, string, never>;
    series: ColumnType<SeriesRule[], string, never>;
    studies: ColumnType<StudySelection, string, never>;
    state: ImageCollectionState;
    created_by: string;
    created_at: ColumnType<Date, Date, never>;
    decided_by: string | null;
    decided_at: ColumnType<Date | null, null, Date>;
    removed_at: ColumnType<Date | null, null, Date>;
    fault: ColumnType<CollectionFault | null, null, string | null>;
    /** What governance signed when it approved; not yet verified. */
    approval: ColumnType<SignedEnvelope | null, null, string | null>;
  };
};
export type CollectionDb = Kysely<CollectionTables>;
export type CollectionRow = Selectable<CollectionTables['image_collection']>;

/**
 * Approvals and the ends of studies, seen by each other: a study that ends beside an approval is found either by the approval, which
 * looks at what is here, or by the end of the study, which looks for approvals. Held until the transaction ends.
 */
export async function lockApprovals(tx: CollectionDb, kind: 'approving' | 'following'): Promise<void> {
  const lock = kind === 'approving' ? sql`pg_advisory_xact_lock` : sql`pg_advisory_xact_lock_shared`;
  await sql`select ${lock}(hashtextextended('image-collection/approvals', 0))`.execute(tx);
}

/** Locks the versions of a name, so that their numbers follow one another. */
export async function newestVersion(tx: CollectionDb, name: string): Promise<CollectionRow | undefined> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`image-collection/${name}`}, 0))`.execute(tx);
  return tx
    .selectFrom('image_collection')
    .selectAll()
    .where('name', '=', name)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
}

export async function insertCollection(
  tx: CollectionDb,
  row: Omit<CollectionRow, 'state' | 'decided_by' | 'decided_at' | 'removed_at' | 'fault' | 'approval'>,
): Promise<CollectionRow> {
  return tx
    .insertInto('image_collection')
    .values({
      ...row,
      profile: JSON.stringify(row.profile),
      series: JSON.stringify(row.series),
      studies: JSON.stringify(row.studies),
      state: 'draft',
      decided_by: null,
      decided_at: null,
      removed_at: null,
      fault: null,
      approval: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function listCollections(db: CollectionDb): Promise<CollectionRow[]> {
  return db.selectFrom('image_collection').selectAll().orderBy('name').orderBy('version').execute();
}

export async function findCollection(
  db: CollectionDb,
  collectionId: ImageCollectionId,
): Promise<CollectionRow | undefined> {
  return db.selectFrom('image_collection').selectAll().where('collection_id', '=', collectionId).executeTakeFirst();
}

export async function lockCollection(
  tx: CollectionDb,
  collectionId: ImageCollectionId,
): Promise<CollectionRow | undefined> {
  return tx
    .selectFrom('image_collection')
    .selectAll()
    .where('collection_id', '=', collectionId)
    .forUpdate()
    .executeTakeFirst();
}

/** Its state, which stays so until `tx` ends. */
export async function holdState(
  tx: CollectionDb,
  collectionId: ImageCollectionId,
): Promise<ImageCollectionState | undefined> {
  const row = await tx
    .selectFrom('image_collection')
    .select('state')
    .where('collection_id', '=', collectionId)
    .forShare()
    .executeTakeFirst();
  return row?.state;
}

/** The approved version of a name, locked. */
export async function lockApproved(tx: CollectionDb, name: string): Promise<CollectionRow | undefined> {
  return tx
    .selectFrom('image_collection')
    .selectAll()
    .where('name', '=', name)
    .where('state', '=', 'approved')
    .forUpdate()
    .executeTakeFirst();
}

export async function setState(
  tx: CollectionDb,
  collectionId: ImageCollectionId,
  change: { state: ImageCollectionState; by: string; at: Date; approval?: SignedEnvelope | undefined },
): Promise<CollectionRow> {
  const { state, by, at, approval } = change;
  return tx
    .updateTable('image_collection')
    .set({
      ...{ state, decided_by: by, decided_at: at },
      ...(approval === undefined ? {} : { approval: JSON.stringify(approval) }),
    })
    .where('collection_id', '=', collectionId)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export type AuditedDecision = {
  readonly action: 'image-collection.approve' | 'image-collection.withdraw';
  readonly collectionId: ImageCollectionId;
  readonly name: string;
  readonly version: number;
};

/** Every approval and withdrawal that the audit chain knows. Reads the whole chain: once per process. */
export async function readAuditedDecisions(db: CollectionDb): Promise<AuditedDecision[]> {
  const { rows } = await sql<AuditedDecision>`
    select action, object as "collectionId", details::json ->> 'name' as name,
      (details::json ->> 'version')::integer as version
    from audit_record where action in ('image-collection.approve', 'image-collection.withdraw')`.execute(db);
  return rows;
}

/** `null`: it was done, or is tried again. */
export async function setFault(
  db: CollectionDb,
  collectionId: ImageCollectionId,
  fault: CollectionFault | null,
): Promise<void> {
  await db
    .updateTable('image_collection')
    .set({ fault: fault === null ? null : JSON.stringify(fault) })
    .where('collection_id', '=', collectionId)
    .execute();
}

export async function setRemoved(db: CollectionDb, collectionId: ImageCollectionId, at: Date): Promise<void> {
  await db
    .updateTable('image_collection')
    .set({ removed_at: at })
    .where('collection_id', '=', collectionId)
    .where('state', '=', 'withdrawn')
    .execute();
}

/** Approved collections that take a study which has just come to an AE title, with the key of the study. */
export async function collectionsTaking(
  tx: CollectionDb,
  arrival: { readonly calledAe: string; readonly studyInstanceUid: string },
): Promise<{ readonly collectionId: ImageCollectionId; readonly studyKey: string }[]> {
  const { rows } = await sql<{ collectionId: ImageCollectionId; studyKey: string }>`
    select collection_id as "collectionId", study_key::text as "studyKey"
    from image_collection, image_study
    where study_instance_uid = ${arrival.studyInstanceUid} and state = 'approved' and (
      studies @> jsonb_build_object('kind', 'arriving', 'aeTitles', jsonb_build_array(${arrival.calledAe}::text))
      or studies @> jsonb_build_object('studyInstanceUids', jsonb_build_array(study_instance_uid))
      or (accession_number <> '' and studies @> jsonb_build_object('accessionNumbers', jsonb_build_array(accession_number))))
    order by collection_id`.execute(tx);
  return rows;
}

/** Studies that a collection takes and that are complete here, by rising key. */
export async function studiesHere(
  db: CollectionDb,
  collectionId: ImageCollectionId,
  page: { readonly after: string; readonly limit: number },
): Promise<string[]> {
  const { rows } = await sql<{ studyKey: string }>`
    with wanted as materialized (
      select study_key from image_arrival, image_collection
      where collection_id = ${collectionId} and image_arrival.state = 'complete'
        and called_ae in (select jsonb_array_elements_text(studies -> 'aeTitles'))
      union
      select study_key from image_study, image_collection
      where collection_id = ${collectionId} and (
        study_instance_uid in (select jsonb_array_elements_text(studies -> 'studyInstanceUids'))
        or accession_number in (select jsonb_array_elements_text(studies -> 'accessionNumbers')))
        and exists (select from image_arrival as ended where ended.study_key = image_study.study_key and ended.state = 'complete'))
    select study_key::text as "studyKey" from wanted where study_key > ${page.after}::bigint
    order by study_key limit ${page.limit}`.execute(db);
  return rows.map(({ studyKey }) => studyKey);
}

export type StudyRow = {
  readonly studyKey: string;
  readonly studyInstanceUid: string;
  readonly patientId: string;
  readonly patientName: string;
  readonly accessionNumber: string;
};

export async function findStudy(
  db: CollectionDb,
  where: { readonly studyKey: string } | { readonly studyInstanceUid: string },
): Promise<StudyRow | undefined> {
  const condition =
    'studyKey' in where
      ? sql`study_key = ${where.studyKey}::bigint`
      : sql`study_instance_uid = ${where.studyInstanceUid}`;
  const { rows } = await sql<StudyRow>`
    select study_key::text as "studyKey", study_instance_uid as "studyInstanceUid", patient_id as "patientId",
      patient_name as "patientName", accession_number as "accessionNumber"
    from image_study where ${condition}`.execute(db);
  return rows[0];
}

export type InstanceRow = {
  readonly instanceKey: string;
  readonly seriesKey: string;
  readonly seriesInstanceUid: string;
  readonly seriesNumber: number | null;
  readonly seriesDescription: string;
  readonly bodyPartExamined: string;
  readonly modality: string;
  readonly sopClassUid: string;
  readonly frameCount: number | null;
  readonly rows: number | null;
  readonly columns: number | null;
  readonly file: string;
  /** SHA-256 of the data set, hex. */
  readonly contentDigest: string;
};

const INSTANCE_COLUMNS = sql`
  instance_key::text as "instanceKey", series_key::text as "seriesKey", series_instance_uid as "seriesInstanceUid",
  series_number as "seriesNumber", series_description as "seriesDescription", body_part_examined as "bodyPartExamined", modality,
  sop_class_uid as "sopClassUid", frame_count as "frameCount", image_rows as "rows", image_columns as "columns",
  file, encode(content_digest, 'hex') as "contentDigest"`;

/** Instances of a study, series by series and by their numbers. */
export async function instancesOf(db: CollectionDb, studyKey: string): Promise<InstanceRow[]> {
  const { rows } = await sql<InstanceRow>`
    select ${INSTANCE_COLUMNS} from image_instance join image_series using (series_key)
    where study_key = ${studyKey}::bigint
    order by series_key, instance_number nulls last, instance_key`.execute(db);
  return rows;
}

export async function findInstance(db: CollectionDb, instanceKey: string): Promise<InstanceRow | undefined> {
  const { rows } = await sql<InstanceRow>`
    select ${INSTANCE_COLUMNS} from image_instance join image_series using (series_key)
    where instance_key = ${instanceKey}::bigint`.execute(db);
  return rows[0];
}
