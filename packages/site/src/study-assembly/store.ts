/** Rows of arrivals. They are opened and carried on by the function `note_arrival` of the archive; here they end. */
import type { ArrivalState } from '@lantern/contract';
import { type Kysely, sql } from 'kysely';

/** The mirror of `image_arrival` in `migrations/012-archive.sql`. */
export type AssemblyTables = {
  image_arrival: {
    arrival_id: number;
    called_ae: string;
    study_key: number;
    revision: number;
    state: ArrivalState;
    first_at: Date;
    last_at: Date;
    completed_at: Date | null;
    completed_by: string | null;
    instance_count: number;
  };
};
export type AssemblyDb = Kysely<AssemblyTables>;

export type CompletedArrival = {
  readonly arrivalId: number;
  readonly calledAe: string;
  readonly studyInstanceUid: string;
  readonly revision: number;
  readonly completedBy: 'quiet' | 'expected' | 'deadline';
};

export type CompletionRule = {
  /** `undefined`: of every title that is not in `exceptAes`. */
  readonly calledAe: string | undefined;
  readonly exceptAes: readonly string[];
  readonly now: Date;
  readonly quietMs: number;
  readonly longestMs: number;
  readonly expectedSeriesCount: number | undefined;
  /** How long nothing may have come where all expected series are there. */
  readonly settleMs: number;
};

/** Ends the arrivals to which the rule applies, and tells which. One that goes on meanwhile is looked at again by the database. */
export async function completeArrivals(tx: AssemblyDb, rule: CompletionRule): Promise<CompletedArrival[]> {
  const before = (ms: number) => new Date(rule.now.getTime() - ms);
  const ofAe =
    rule.calledAe === undefined ? sql`called_ae <> all(${rule.exceptAes}::text[])` : sql`called_ae = ${rule.calledAe}`;
  const expected = rule.expectedSeriesCount ?? null;
  const { rows } = await sql<CompletedArrival>`
    with ended as (
      update image_arrival as arrival set
        state = 'complete', completed_at = ${rule.now},
        completed_by = case
          when last_at <= ${before(rule.quietMs)} then 'quiet'
          when first_at <= ${before(rule.longestMs)} then 'deadline'
          else 'expected' end
      where state = 'receiving' and ${ofAe} and (
        last_at <= ${before(rule.quietMs)}
        or first_at <= ${before(rule.longestMs)}
        or (last_at <= ${before(rule.settleMs)} and ${expected}::integer <= (
          select count(*) from image_series where study_key = arrival.study_key)))
      returning arrival_id, called_ae, study_key, revision, completed_by)
    select arrival_id as "arrivalId", called_ae as "calledAe", study_instance_uid as "studyInstanceUid", revision,
      completed_by as "completedBy"
    from ended join image_study using (study_key) order by arrival_id`.execute(tx);
  return rows;
}
