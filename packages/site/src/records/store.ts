/** Which file of patient numbers the history of answers hangs on. */
import { sql } from 'kysely';
import type { SiteDb } from '../tables.ts';

export type Numbering = { readonly fileId: string; readonly patientCount: number };

export async function findNumbering(db: SiteDb, dataset: string): Promise<Numbering | undefined> {
  const row = await db.selectFrom('record_numbering').selectAll().where('dataset', '=', dataset).executeTakeFirst();
  return row === undefined ? undefined : { fileId: row.file_id, patientCount: row.patient_count };
}

/** Together with the answer that is the first to use numbers of the file. */
export async function keepNumbering(tx: SiteDb, dataset: string, { fileId, patientCount }: Numbering): Promise<void> {
  await tx
    .insertInto('record_numbering')
    .values({ dataset, file_id: fileId, patient_count: patientCount })
    .onConflict((conflict) =>
      conflict
        .column('dataset')
        .doUpdateSet({ patient_count: sql`greatest(record_numbering.patient_count, ${patientCount}::integer)` }),
    )
    .execute();
}
