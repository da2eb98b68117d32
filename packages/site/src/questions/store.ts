/** Rows of answered sets and charged questions. */
import type { ProjectId } from '@lantern/contract';
import { type AnsweredSet, type CountRange, type Keep, patientSetBytes, patientSetFromBytes } from '@lantern/omop';
import { sql } from 'kysely';
import type { SiteDb, SiteTx } from '../tables.ts';

const SETS_READ_AT_ONCE = 8;

/** Lets one question on a dataset be answered at a time, until the transaction ends. */
export async function lockDataset(tx: SiteTx, dataset: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`lantern.questions:${dataset}`}, 0))`.execute(tx);
}

/**
 * The history of a dataset, oldest first, as far as its sets have as many patients as one of the ranges says. A few sets are
 * in memory at a time: one of five million patients is 0.6 MB, and twice that on its way out of PostgreSQL.
 */
export async function* streamAnswered(
  tx: SiteDb,
  dataset: string,
  ranges: readonly CountRange[],
): AsyncGenerator<AnsweredSet, void, undefined> {
  for (let afterOrdinal = 0; ; ) {
    const rows = await tx
      .selectFrom('answered_set')
      .selectAll()
      .where('dataset', '=', dataset)
      .where('ordinal', '>', afterOrdinal)
      .where((is) =>
        is.or(
          ranges.map(({ least, most }) => is.and([is('patient_count', '>=', least), is('patient_count', '<=', most)])),
        ),
      )
      .orderBy('ordinal')
      .limit(SETS_READ_AT_ONCE)
      .execute();
    for (const row of rows) {
      yield {
        patients: patientSetFromBytes(row.patients),
        fingerprint: row.fingerprint,
        noiseStdDev: row.noise_std_dev,
        noisyCount: row.noisy_count,
      };
      afterOrdinal = row.ordinal;
    }
    if (rows.length < SETS_READ_AT_ONCE) return;
  }
}

/** What a project was charged; with or without what the budget paid that undecided projects share. */
export async function readCharges(
  tx: SiteDb,
  asked: { projectId: ProjectId; dataset: string; withShared: boolean },
): Promise<Map<string, number>> {
  const rows = await tx
    .selectFrom('question_charge')
    .select(['question_key', 'cost'])
    .where('project_id', '=', asked.projectId)
    .where('dataset', '=', asked.dataset)
    .$if(!asked.withShared, (query) => query.where('is_shared', '=', false))
    .execute();
  return new Map(rows.map((row) => [row.question_key, row.cost]));
}

/** What the budget paid that undecided projects share. */
export async function readSharedCharges(tx: SiteDb, dataset: string): Promise<Map<string, number>> {
  const rows = await tx
    .selectFrom('question_charge')
    .select(['question_key', 'cost'])
    .where('dataset', '=', dataset)
    .where('is_shared', '=', true)
    .execute();
  return new Map(rows.map((row) => [row.question_key, row.cost]));
}

/** Keeps what the gate said must be kept, before the answer leaves. */
export async function insertKept(
  tx: SiteDb,
  asked: { projectId: ProjectId; dataset: string; at: Date },
  keep: Keep,
): Promise<void> {
  for (const { patients, fingerprint, noiseStdDev, noisyCount } of keep.answered) {
    await tx
      .insertInto('answered_set')
      .values({
        dataset: asked.dataset,
        patients: Buffer.from(patientSetBytes(patients)),
        patient_count: patients.count,
        fingerprint: Buffer.from(fingerprint),
        noise_std_dev: noiseStdDev,
        noisy_count: noisyCount,
        answered_at: asked.at,
      })
      .execute();
  }
  if (keep.charge === undefined) return;
  await tx
    .insertInto('question_charge')
    .values({
      project_id: asked.projectId,
      dataset: asked.dataset,
      question_key: keep.charge.key,
      cost: keep.charge.cost,
      is_shared: keep.charge.isShared,
      charged_at: asked.at,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}
