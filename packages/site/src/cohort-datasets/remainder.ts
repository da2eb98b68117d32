/**
 * What is left of a built table under the lists of opt-outs that are in force: the same rows, less those of patients who opted out since.
 *
 * Invariants: rows leave and none comes back, whatever later lists say, until the table is built and decided on anew; while a list is
 * missing or too old nothing of the table is used; what is left is a content with a digest of its own, the same from the same lists.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Digest } from '@lantern/contract';
import { patientKeyOf, quoteIdentifier, ROW_COLUMN } from '@lantern/omop';
import type { BlobStore, Tx } from '@lantern/service';
import type { Dataset } from '../datasets/datasets.ts';
import { sqlText, type TableEngine } from '../datasets/table-engine.ts';
import type { OptOutEvidence, OptOuts } from '../opt-outs/opt-outs.ts';
import type { SiteContext } from '../site-context.ts';
import * as store from './store.ts';

/** Some megabytes, and short enough between two turns of the event loop. */
const PATIENTS_AT_ONCE = 5_000;

export const LISTS_STALE =
  'The list of patients who opted out of research is missing or too old at this site: nothing of this dataset is used until a newer one is loaded.';

export type RemainderDeps = Pick<SiteContext, 'database' | 'clock'> & {
  readonly engine: TableEngine;
  readonly blobs: BlobStore;
  readonly optOuts: Pick<OptOuts, 'evidence' | 'verdictsOnDigests'>;
};

/** The dataset with the content that may be used now. One that was not built out of the records stays as it is. */
export async function withoutLeavers(
  deps: RemainderDeps,
  dataset: Dataset,
  signal: AbortSignal,
): Promise<Dataset | 'lists-stale'> {
  const db = deps.database.kysely<store.DatasetBuildTables>();
  const { contentDigest } = dataset;
  if (!(await store.isBuilt(db, contentDigest))) return dataset;
  const evidence = await deps.optOuts.evidence();
  if (!evidence.open) return 'lists-stale';
  const known = await store.findRemainder(db, contentDigest, evidence.state);
  if (known !== undefined) return { ...dataset, contentDigest: known };
  await letLeave(deps, contentDigest, signal);
  const remainingDigest = await writeRemainder(deps, dataset, signal);
  await keepRemainder(deps, contentDigest, { evidence, remainingDigest });
  return { ...dataset, contentDigest: remainingDigest };
}

/** Not where a newer list came meanwhile: the next one who asks looks again. */
async function keepRemainder(
  { database, optOuts }: RemainderDeps,
  contentDigest: Digest,
  { evidence, remainingDigest }: { evidence: OptOutEvidence; remainingDigest: Digest },
): Promise<void> {
  if ((await optOuts.evidence()).state !== evidence.state) return;
  const db = database.kysely<store.DatasetBuildTables>();
  await store.putRemainder(db, contentDigest, { optOutState: evidence.state, remainingDigest });
}

async function letLeave(
  { database, clock, optOuts }: RemainderDeps,
  contentDigest: Digest,
  signal: AbortSignal,
): Promise<void> {
  const db = database.kysely<store.DatasetBuildTables>();
  for (let after = ''; ; ) {
    signal.throwIfAborted();
    const page = await store.patientsAfter(db, contentDigest, { after, limit: PATIENTS_AT_ONCE });
    const last = page.at(-1);
    if (last === undefined) return;
    const verdicts = await optOuts.verdictsOnDigests(page.map(({ digests }) => digests));
    const patients = page.flatMap(({ patient }, index) => (verdicts[index] === 'may-be-used' ? [] : [patient]));
    if (patients.length > 0) {
      await database.transaction((tx: Tx<store.DatasetBuildTables>) =>
        store.addLeavers(tx, contentDigest, { patients, at: clock.now() }),
      );
    }
    after = last.patient;
  }
}

async function writeRemainder(
  { database, engine, blobs }: RemainderDeps,
  { schema, contentDigest }: Dataset,
  signal: AbortSignal,
): Promise<Digest> {
  const leavers = await store.listLeavers(database.kysely<store.DatasetBuildTables>(), contentDigest);
  const key = patientKeyOf(schema);
  if (leavers.length === 0 || key === undefined) return contentDigest;
  const table = await engine.tableOf(contentDigest);
  const file = path.join(engine.scratchDir, `remainder-${randomUUID()}.parquet`);
  try {
    await engine.session(signal, async (session) => {
      await session.run('CREATE TEMP TABLE leaver (patient VARCHAR)');
      for (let from = 0; from < leavers.length; from += PATIENTS_AT_ONCE) {
        const some = leavers.slice(from, from + PATIENTS_AT_ONCE).map((patient) => `(${sqlText(patient)})`);
        await session.run(`INSERT INTO leaver VALUES ${some.join(', ')}`);
      }
      const rows = `SELECT * FROM ${quoteIdentifier(table)} WHERE ${quoteIdentifier(key)} NOT IN (SELECT patient FROM leaver)`;
      await session.run(`COPY (${rows} ORDER BY ${ROW_COLUMN}) TO ${sqlText(file)} (FORMAT parquet, COMPRESSION zstd)`);
    });
    return (await blobs.put(createReadStream(file))).digest;
  } finally {
    await rm(file, { force: true });
  }
}
