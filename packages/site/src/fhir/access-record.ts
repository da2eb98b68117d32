/** Every interaction leaves a line in the audit log: who, what, which type, by which parameters; never a value, never an id. */
import { appendAudit, type Clock, type Database, type UserCaller } from '@lantern/service';
import type { FhirAnswer } from './answer.ts';

/** What a detail of the audit log holds. */
const PARAMETERS_LENGTH_MAX = 200;

type Access = {
  readonly caller: UserCaller;
  readonly action: string;
  readonly type: string;
  readonly parameters: readonly string[];
};

/** Refusals are recorded too. */
export async function recordAccess(
  { database, clock }: { readonly database: Database; readonly clock: Clock },
  access: Access,
  work: () => Promise<FhirAnswer>,
): Promise<FhirAnswer> {
  const record = (outcome: 'success' | 'refused', status: number): Promise<void> =>
    database.transaction(async (tx) => {
      const names = access.parameters.filter((name) => /^[A-Za-z_][A-Za-z0-9_.:-]{0,60}$/.test(name));
      await appendAudit(tx, {
        at: clock.now(),
        actor: `user:${access.caller.name}`,
        action: `records.${access.action}`,
        object: 'records',
        outcome,
        details: { type: access.type, parameters: names.join(' ').slice(0, PARAMETERS_LENGTH_MAX), status },
      });
    });
  try {
    const answer = await work();
    await record('success', answer.status);
    return answer;
  } catch (caught) {
    const status =
      caught instanceof Error && 'status' in caught && typeof caught.status === 'number' ? caught.status : 500;
    await record('refused', status);
    throw caught;
  }
}
