/** Rows of datasets. */
import type { DatasetSchema, Digest, FeasibilityPolicy } from '@lantern/contract';
import type { Selectable } from 'kysely';
import type { SiteDb, SiteTables } from '../tables.ts';

export type DatasetRow = Selectable<SiteTables['dataset']>;

export async function insertDataset(
  tx: SiteDb,
  dataset: {
    schema: DatasetSchema;
    schemaDigest: Digest;
    contentDigest: Digest;
    feasibility: FeasibilityPolicy;
    rowCount: number;
    patientCount: number;
    nextPatientNumber: number;
    registeredBy: string;
    at: Date;
  },
): Promise<void> {
  await tx
    .insertInto('dataset')
    .values({
      name: dataset.schema.name,
      schema: JSON.stringify(dataset.schema),
      schema_digest: dataset.schemaDigest,
      content_digest: dataset.contentDigest,
      feasibility: dataset.feasibility,
      row_count: dataset.rowCount,
      patient_count: dataset.patientCount,
      next_patient_number: dataset.nextPatientNumber,
      registered_by: dataset.registeredBy,
      registered_at: dataset.at,
    })
    .execute();
}

/** Ends the offer of a dataset; false when it is not offered. */
export async function removeDataset(tx: SiteDb, name: string, at: Date): Promise<boolean> {
  const removed = await tx
    .updateTable('dataset')
    .set({ removed_at: at })
    .where('name', '=', name)
    .where('removed_at', 'is', null)
    .returning('dataset_id')
    .executeTakeFirst();
  return removed !== undefined;
}

export async function findOffered(db: SiteDb, name: string): Promise<DatasetRow | undefined> {
  return db
    .selectFrom('dataset')
    .selectAll()
    .where('name', '=', name)
    .where('removed_at', 'is', null)
    .executeTakeFirst();
}

/** Every version, offered or not, the newest first. */
export async function listVersions(db: SiteDb, name: string): Promise<DatasetRow[]> {
  return db.selectFrom('dataset').selectAll().where('name', '=', name).orderBy('dataset_id', 'desc').execute();
}

/** The newest version, offered or not. */
export async function findNewest(db: SiteDb, name: string): Promise<DatasetRow | undefined> {
  return db
    .selectFrom('dataset')
    .selectAll()
    .where('name', '=', name)
    .orderBy('dataset_id', 'desc')
    .limit(1)
    .executeTakeFirst();
}

export async function listOffered(db: SiteDb): Promise<DatasetRow[]> {
  return db.selectFrom('dataset').selectAll().where('removed_at', 'is', null).orderBy('name').execute();
}
