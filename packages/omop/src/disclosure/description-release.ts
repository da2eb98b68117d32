/**
 * How the patients of a question are described where a patient may stand in several sets: a fixed row of sets, or a list of the
 * largest of many.
 *
 * Which sets a list names is decided by the noisy counts that are kept with each set, never by true ones, among sets of at least the
 * threshold of patients; none is named whose count is not released. So a list is made from released counts alone, and from the
 * order among them. It does say more than the counts it shows: of each set that it does not name, that its count is not released
 * or not above the last one named. That is one bit about one noisy count; a fact about a patient (whether he has this condition)
 * changes one of the sets, whether it is named or not, and `listCost` charges it. Every candidate was asked, named or not, and
 * goes into the history: were those left out that are not named, a list of nearly the same patients would draw them anew, and a
 * name that comes or goes would show a patient whom `snapping.ts` hides.
 *
 * Candidates are at most LIST_CANDIDATE_COUNT_MAX, those of most patients; that choice alone reads true counts. It could show only
 * by a set that noise lifts over all but a few of ten times as many larger ones.
 */
import type { CountPolicy, ReleasedCount, ReleasedTable } from '@lantern/contract';
import { releaseSet, SUPPRESSED } from './count-release.ts';
import type { AnsweredSet } from './snapping.ts';
import type { KeyedHash } from './sticky-noise.ts';
import type { PatientTable } from './table-release.ts';

/** Ten times as many as a list of a cohort names; each may be kept, 0.6 MB at five million patients. */
export const LIST_CANDIDATE_COUNT_MAX = 200;

type Releasing = {
  readonly table: PatientTable;
  readonly policy: CountPolicy;
  readonly history: readonly AnsweredSet[];
  readonly keyedHash: KeyedHash;
};

type Cells = { readonly cells: ReleasedTable['cells']; readonly answered: readonly AnsweredSet[] };

/** Each set by itself: nothing can be found by subtracting them from each other that could not be by asking for each. */
export function releaseEach({ table, policy, history, keyedHash }: Releasing): Cells {
  const known = [...history];
  const answered: AnsweredSet[] = [];
  const cells = table.cells.map(({ label, patients }) => {
    const release = releaseSet({ patients, policy, history: known, keyedHash });
    if (release.answered !== undefined) {
      known.push(release.answered);
      answered.push(release.answered);
    }
    return { label, count: release.count };
  });
  return { cells, answered };
}

/** The `limit` largest by released count, equal ones by label; sets are asked in the order of their labels, which says nothing. */
export function releaseLargest({ limit, table, ...releasing }: Releasing & { readonly limit: number }): Cells {
  const inOrder = table.cells.toSorted((a, b) => byLabel(a.label, b.label));
  const { cells, answered } = releaseEach({ ...releasing, table: { ...table, cells: inOrder } });
  const named = cells
    .filter(({ count }) => count.kind === 'released')
    .toSorted((a, b) => shownValue(b.count) - shownValue(a.count) || byLabel(a.label, b.label))
    .slice(0, limit);
  return { cells: named, answered };
}

/** When the whole is hidden, its parts stay hidden too. */
export function hiddenCells({ cells }: PatientTable): ReleasedTable['cells'] {
  return cells.map(({ label }) => ({ label, count: SUPPRESSED }));
}

function shownValue(count: ReleasedCount): number {
  return count.kind === 'released' ? count.value : 0;
}

/** Ids of concepts in their order as numbers, which may be greater than 2^53. */
function byLabel(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
