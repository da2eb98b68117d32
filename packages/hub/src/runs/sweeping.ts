/**
 * What a closed round leaves behind and nobody needs: the updates of its sites and the server state that it replaced. Without
 * this a run would fill the disk with sites x rounds x model. Global weights stay: they are what a run is for.
 *
 * A blob is named by its content, so two runs may have been sent the same bytes. Invariant: a file that a counted answer names
 * is there until its round is closed. Hence a lock per digest: an answer takes it to see that its files are still there, the
 * sweep to see that no answer needs them. Should a site have uploaded such bytes in that very moment, its answer is refused with
 * `conflict` and it sends them again. Server state carries run and round inside, so that it is never another run's.
 */
import { type AnswerBody, AppError, type Digest, type RunId } from '@lantern/contract';
import type { BlobStore } from '@lantern/service';
import { sql } from 'kysely';
import type { HubContext } from '../hub-context.ts';
import type { HubDb, HubTx } from '../tables.ts';

type SweepDeps = Pick<HubContext, 'db' | 'transaction'> & { readonly blobs: BlobStore };

/** Removes what round `round` of a run, once closed, has made superfluous. May run twice. */
export async function sweepRound(deps: SweepDeps, of: { runId: RunId; round: number }): Promise<void> {
  for (const digest of await listCandidates(deps.db, of)) {
    await deps.transaction(async (tx: HubTx) => {
      await sql`select pg_advisory_xact_lock(hashtextextended(${digest}, 0))`.execute(tx);
      if (!(await isNeeded(tx, digest, of))) await deps.blobs.remove(digest);
    });
  }
}

/** Keeps the files of an answer until the transaction ends. Throws `conflict` when one is not here (any more). */
export async function holdFiles(deps: { readonly blobs: BlobStore }, tx: HubTx, body: AnswerBody): Promise<void> {
  if (body.kind !== 'update') return;
  const digests = [body.delta.digest, ...(body.controlDelta === undefined ? [] : [body.controlDelta.digest])].sort();
  for (const digest of digests) {
    await sql`select pg_advisory_xact_lock_shared(hashtextextended(${digest}, 0))`.execute(tx);
    if (!(await deps.blobs.has(digest))) {
      throw new AppError('conflict', 'The update is not here; upload it, then answer.');
    }
  }
}

async function listCandidates(db: HubDb, { runId, round }: { runId: RunId; round: number }): Promise<Digest[]> {
  const { rows } = await sql<{ digest: Digest }>`
    with candidate as (
      select unnest(array[answer->'delta'->>'digest', answer->'controlDelta'->>'digest']) as digest
      from task where run_id = ${runId} and round = ${round}
      union
      select state.value->>'digest' from round, jsonb_each(result->'serverState') as state
      where run_id = ${runId} and number < ${round})
    select digest from candidate
    where digest is not null
      and exists (select from round where run_id = ${runId} and number = ${round} and state = 'closed')
    order by digest`.execute(db);
  return rows.map((row) => row.digest);
}

/** Whether a bundle, a model, a task still to be done, an update still to be folded or a later round names the blob. */
async function isNeeded(tx: HubTx, digest: Digest, of: { runId: RunId; round: number }): Promise<boolean> {
  const { rows } = await sql<{ needed: boolean }>`
    select exists (select from bundle_file where digest = ${digest})
      or exists (select from round where weights_digest = ${digest})
      or exists (
        select from task_blob join task using (task_id)
        where task_blob.digest = ${digest} and task.state in ('queued', 'delivered'))
      or exists (
        select from task join round on round.run_id = task.run_id and round.number = task.round
        where round.state in ('open', 'folding')
          and (answer->'delta'->>'digest' = ${digest} or answer->'controlDelta'->>'digest' = ${digest}))
      or exists (
        select from round, jsonb_each(result->'serverState') as state
        where run_id = ${of.runId} and number >= ${of.round} and state.value->>'digest' = ${digest})
      as needed`.execute(tx);
  return rows[0]?.needed ?? true;
}
