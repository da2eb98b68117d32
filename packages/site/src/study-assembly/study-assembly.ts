/**
 * When a study is complete. DICOM does not say which instance is the last, so a study counts as complete for an AE title of ours
 * when nothing has come for its quiet time, when all expected series are there, or when it has taken too long. All of it lies in
 * the database: a restart neither forgets an arrival nor ends it twice.
 *
 *   receiving ──quiet | expected | deadline──► complete ──late instance──► (the next revision) receiving
 */
import type { AnyTx, Clock, Database, Logger, Tx } from '@lantern/service';
import type { OwnAe } from '../dimse/dicom-settings.ts';
import { type AssemblyTables, type CompletedArrival, completeArrivals } from './store.ts';

/** What follows a complete study: has to write its jobs in `tx`, which also ends the arrival, so that they follow exactly once. */
export type OnStudyComplete = (tx: AnyTx, arrival: CompletedArrival) => Promise<void>;

type AssemblyDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly aeTitles: readonly OwnAe[];
  readonly followers: readonly OnStudyComplete[];
};

/** Of titles that are no longer ours, whose arrivals have to end as well. */
const QUIET_MS_DEFAULT = 30_000;
const LONGEST_MS_DEFAULT = 3_600_000;
/** Instances of the last expected series may still be on their way. */
const SETTLE_MS = 1000;

export type StudyAssembly = {
  /** Ends what is complete now. */
  sweep(): Promise<void>;
};

export function createStudyAssembly({ database, clock, log, aeTitles, followers }: AssemblyDeps): StudyAssembly {
  const exceptAes = aeTitles.map(({ aeTitle }) => aeTitle);
  const rules = [
    ...aeTitles.map(({ aeTitle, quietMs, longestMs, expectedSeriesCount }) => ({
      calledAe: aeTitle,
      quietMs,
      longestMs,
      expectedSeriesCount,
    })),
    { calledAe: undefined, quietMs: QUIET_MS_DEFAULT, longestMs: LONGEST_MS_DEFAULT, expectedSeriesCount: undefined },
  ];
  return {
    async sweep() {
      const completed = await database.transaction(async (tx: Tx<AssemblyTables>) => {
        const all: CompletedArrival[] = [];
        const now = clock.now();
        for (const rule of rules) {
          all.push(...(await completeArrivals(tx, { ...rule, exceptAes, now, settleMs: SETTLE_MS })));
        }
        for (const arrival of all) for (const follow of followers) await follow(tx, arrival);
        return all;
      });
      for (const { arrivalId, calledAe, revision, completedBy } of completed) {
        log.info({ arrivalId, calledAe, revision, completedBy }, 'a study is complete');
      }
    },
  };
}
