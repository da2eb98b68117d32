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
import { uploadedFilesOf } from '../exchange/uploaded-files.ts';
import type { HubContext } from '../hub-context.ts';
import type { HubDb, HubTx } from '../tables.ts';

type SweepDeps = Pick<HubContext, 'db' | 'transaction'> & { readonly blobs: BlobStore };

/** Removes what round `round` of a run, once closed, has made superfluous. May run twice. */
export async function sweepRound(deps: SweepDeps, of: { runId: RunId; round: number }): Promise<void> {
  const candidates = await listCandidates(deps.db, of);
  if (candidates.length === 0) return;
  await deps.transaction(async (tx: HubTx) => {
    await sql`select pg_advisory_xact_lock(hashtextextended(digest, 0))
      from unnest(${sql.val(candidates)}::text[]) as digest`.execute(tx);
    for (const digest of await listSuperfluous(tx, candidates, of)) await deps.blobs.remove(digest);
  });
}

/** Keeps the files of an answer until the transaction ends. Throws `conflict` when one is not here (any more). */
export async function holdFiles(deps: { readonly blobs: BlobStore }, tx: HubTx, body: AnswerBody): Promise<void> {
  for (const digest of uploadedFilesOf(body).sort()) {
    await sql`select pg_advisory_xact_lock_shared(hashtextextended(${digest}, 0))`.execute(tx);
    if (!(await deps.blobs.has(digest))) {
      throw new AppError('conflict', 'The update is not here; upload it, then answer.');
    }
  }
}

/** In ascending order, so that two sweeps lock them alike. */
async function listCandidates(db: HubDb, { runId, round }: { runId: RunId; round: number }): Promise<Digest[]> {
  const { rows } = await sql<{ digest: Digest }>`
    with candidate as (
      select ref->>'digest' as digest from task, unnest(array[answer->'delta', answer->'controlDelta']) as ref
      where run_id = ${runId} and round = ${round} and not ref ? 'bytes'
      union
      select state.value->>'digest' from round, jsonb_each(result->'serverState') as state
      where run_id = ${runId} and number < ${round})
    select digest from candidate
    where exists (select from round where run_id = ${runId} and number = ${round} and state = 'closed')
    order by digest`.execute(db);
  return rows.map((row) => row.digest);
}

/** Those that no bundle, model, task still to be done, update still to be folded or later round names. */
async function listSuperfluous(
  tx: HubTx,
  candidates: readonly Digest[],
  of: { runId: RunId; round: number },
): Promise<Digest[]> {
  const { rows } = await sql<{ digest: Digest }>`
    select digest from unnest(${sql.val([...candidates])}::text[]) as candidate(digest)
    where not exists (select from bundle_file where bundle_file.digest = candidate.digest)
      and not exists (select from round where weights_digest = candidate.digest)
      and not exists (
        select from task_blob join task using (task_id)
        where task_blob.digest = candidate.digest and task.state in ('queued', 'delivered'))
      and not exists (
        select from task join round on round.run_id = task.run_id and round.number = task.round
        where round.state in ('open', 'folding')
          and candidate.digest in (answer->'delta'->>'digest', answer->'controlDelta'->>'digest'))
      and not exists (
        select from round, jsonb_each(result->'serverState') as state
        where run_id = ${of.runId} and number >= ${of.round} and state.value->>'digest' = candidate.digest)`.execute(
    tx,
  );
  return rows.map((row) => row.digest);
}
