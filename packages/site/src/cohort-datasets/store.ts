/** Rows of builds, and of the patients of what was built. */
import type {
  DatasetBuildId,
  DatasetBuildReport,
  DatasetBuildState,
  Digest,
  FeasibilityPolicy,
  FeatureSpecification,
} from '@lantern/contract';
import { type ColumnType, type Generated, type Kysely, type Selectable, sql } from 'kysely';

type Json<T> = ColumnType<T, string, string>;
type JsonOrNull<T> = ColumnType<T | null, string | null | undefined, string | null>;

/** The mirror of `migrations/026-dataset-builds.sql`. */
export type DatasetBuildTables = {
  dataset_build: {
    build_id: DatasetBuildId;
    ordinal: Generated<string>;
    dataset: string;
    specification: Json<FeatureSpecification>;
    specification_digest: Digest;
    feasibility: FeasibilityPolicy;
    state: Generated<DatasetBuildState>;
    requested_by: string;
    requested_at: Date;
    ended_at: Date | null;
    content_digest: Digest | null;
    cdm_version: string | null;
    report: JsonOrNull<DatasetBuildReport>;
    failure: JsonOrNull<{ code: string; message: string }>;
  };
  dataset_patient: { content_digest: Digest; patient: string; digest: Buffer | null };
  dataset_leaver: { content_digest: Digest; patient: string; left_at: Date };
  dataset_remainder: { content_digest: Digest; opt_out_state: string; remaining_digest: Digest };
};
type BuildDb = Kysely<DatasetBuildTables>;
export type BuildRow = Selectable<DatasetBuildTables['dataset_build']>;

const LISTED_COUNT_MAX = 200;

/** The build, or the one that is open already for the same. */
export async function insertBuild(
  tx: BuildDb,
  build: {
    buildId: DatasetBuildId;
    specification: FeatureSpecification;
    specificationDigest: Digest;
    feasibility: FeasibilityPolicy;
    by: string;
    at: Date;
  },
): Promise<{ buildId: DatasetBuildId; isNew: boolean }> {
  const { specification, specificationDigest, feasibility } = build;
  const added = await tx
    .insertInto('dataset_build')
    .values({
      build_id: build.buildId,
      dataset: specification.name,
      specification: JSON.stringify(specification),
      specification_digest: specificationDigest,
      feasibility,
      requested_by: build.by,
      requested_at: build.at,
    })
    .onConflict((conflict) =>
      // Not a parameter: with one, PostgreSQL no longer knows the partial index once it plans for any value.
      conflict.columns(['specification_digest', 'feasibility']).where('state', '=', sql.lit('asked')).doNothing(),
    )
    .returning('build_id')
    .executeTakeFirst();
  if (added !== undefined) return { buildId: added.build_id, isNew: true };
  const open = await tx
    .selectFrom('dataset_build')
    .select('build_id')
    .where('specification_digest', '=', specificationDigest)
    .where('feasibility', '=', feasibility)
    .orderBy('ordinal', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
  return { buildId: open.build_id, isNew: false };
}

export async function findBuild(db: BuildDb, buildId: DatasetBuildId): Promise<BuildRow | undefined> {
  return db.selectFrom('dataset_build').selectAll().where('build_id', '=', buildId).executeTakeFirst();
}

export async function listBuilds(db: BuildDb): Promise<BuildRow[]> {
  return db.selectFrom('dataset_build').selectAll().orderBy('ordinal', 'desc').limit(LISTED_COUNT_MAX).execute();
}

/** The row while it is open, which stays so until `tx` ends. */
export async function lockOpenBuild(tx: BuildDb, buildId: DatasetBuildId): Promise<BuildRow | undefined> {
  return tx
    .selectFrom('dataset_build')
    .selectAll()
    .where('build_id', '=', buildId)
    .where('state', '=', 'asked')
    .forUpdate()
    .executeTakeFirst();
}

export async function finishBuild(
  tx: BuildDb,
  buildId: DatasetBuildId,
  ended: { state: DatasetBuildState; at: Date; contentDigest: Digest; cdmVersion: string; report: DatasetBuildReport },
): Promise<void> {
  await tx
    .updateTable('dataset_build')
    .set({
      state: ended.state,
      ended_at: ended.at,
      content_digest: ended.contentDigest,
      cdm_version: ended.cdmVersion,
      report: JSON.stringify(ended.report),
    })
    .where('build_id', '=', buildId)
    .execute();
}

export async function failBuild(
  tx: BuildDb,
  buildId: DatasetBuildId,
  ended: { state: DatasetBuildState; at: Date; failure: { code: string; message: string } },
): Promise<void> {
  await tx
    .updateTable('dataset_build')
    .set({ state: ended.state, ended_at: ended.at, failure: JSON.stringify(ended.failure) })
    .where('build_id', '=', buildId)
    .execute();
}

export type PatientDigests = { readonly patient: string; readonly digests: readonly Buffer[] };

/** The same content built again has the same patients; their identifiers may be others. */
export async function deletePatients(tx: BuildDb, contentDigest: Digest): Promise<void> {
  await tx.deleteFrom('dataset_patient').where('content_digest', '=', contentDigest).execute();
}

export async function insertPatients(
  tx: BuildDb,
  contentDigest: Digest,
  patients: readonly PatientDigests[],
): Promise<void> {
  const rows = patients.flatMap(({ patient, digests }): { patient: string; hex: string | null }[] =>
    digests.length === 0
      ? [{ patient, hex: null }]
      : digests.map((digest) => ({ patient, hex: digest.toString('hex') })),
  );
  await sql`insert into dataset_patient (content_digest, patient, digest)
    select ${contentDigest}, patient, decode(hex, 'hex') from unnest(
      ${rows.map((row) => row.patient)}::text[], ${rows.map((row) => row.hex)}::text[]) as given (patient, hex)`.execute(
    tx,
  );
}

export async function isBuilt(db: BuildDb, contentDigest: Digest): Promise<boolean> {
  const row = await db
    .selectFrom('dataset_build')
    .select('build_id')
    .where('content_digest', '=', contentDigest)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Patients of a content by rising keys, with the digests of each; those that left already are not among them. */
export async function patientsAfter(
  db: BuildDb,
  contentDigest: Digest,
  page: { after: string; limit: number },
): Promise<PatientDigests[]> {
  const { rows } = await sql<{ patient: string; digests: string[] }>`
    select patient, array_remove(array_agg(encode(digest, 'hex')), null) as digests from dataset_patient as one
    where content_digest = ${contentDigest} and patient > ${page.after} and not exists (
      select from dataset_leaver as gone where gone.content_digest = one.content_digest and gone.patient = one.patient)
    group by patient order by patient limit ${page.limit}`.execute(db);
  return rows.map(({ patient, digests }) => ({ patient, digests: digests.map((hex) => Buffer.from(hex, 'hex')) }));
}

export async function addLeavers(
  tx: BuildDb,
  contentDigest: Digest,
  { patients, at }: { patients: readonly string[]; at: Date },
): Promise<void> {
  await sql`insert into dataset_leaver (content_digest, patient, left_at)
    select ${contentDigest}, patient, ${at} from unnest(${patients}::text[]) as patient on conflict do nothing`.execute(
    tx,
  );
}

export async function listLeavers(db: BuildDb, contentDigest: Digest): Promise<string[]> {
  const rows = await db
    .selectFrom('dataset_leaver')
    .select('patient')
    .where('content_digest', '=', contentDigest)
    .orderBy('patient')
    .execute();
  return rows.map(({ patient }) => patient);
}

export async function findRemainder(
  db: BuildDb,
  contentDigest: Digest,
  optOutState: string,
): Promise<Digest | undefined> {
  const row = await db
    .selectFrom('dataset_remainder')
    .select('remaining_digest')
    .where('content_digest', '=', contentDigest)
    .where('opt_out_state', '=', optOutState)
    .executeTakeFirst();
  return row?.remaining_digest;
}

export async function putRemainder(
  db: BuildDb,
  contentDigest: Digest,
  { optOutState, remainingDigest }: { optOutState: string; remainingDigest: Digest },
): Promise<void> {
  const kept = { opt_out_state: optOutState, remaining_digest: remainingDigest };
  await db
    .insertInto('dataset_remainder')
    .values({ content_digest: contentDigest, ...kept })
    .onConflict((conflict) => conflict.column('content_digest').doUpdateSet(kept))
    .execute();
}
