/** The durable jobs of pulls: one for each entry, a few at a time. */
import { type AnyTx, enqueue } from '@lantern/service';

export const ENTRY_JOB = 'study-pull.entry';

/** Entries in work at once, of all pulls together: a PACS has clinicians to serve, and the queue other work to do. */
const LANE_COUNT = 2;

/** A PACS that is restarted comes back within the hour and a half that these last (see the queue); what is left can be retried. */
export const PULL_ATTEMPTS_MAX = 100;

export async function enqueueEntries(tx: AnyTx, entryKeys: readonly number[]): Promise<void> {
  for (const entryKey of entryKeys) {
    await enqueue(tx, {
      name: ENTRY_JOB,
      payload: { entryKey },
      key: `${ENTRY_JOB} ${entryKey}`,
      queueName: `${ENTRY_JOB} ${entryKey % LANE_COUNT}`,
      attemptsMax: PULL_ATTEMPTS_MAX,
    });
  }
}
