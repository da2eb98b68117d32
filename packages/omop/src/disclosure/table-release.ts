/**
 * A table: one partition of the patients, each cell a set that passes the gate like any other, then secondary suppression.
 *
 * A single suppressed cell could be guessed from a total asked elsewhere minus its neighbours, so when exactly one cell is
 * suppressed the smallest shown cell is hidden with it. That choice reads only numbers that may leave anyway, so it tells
 * nothing new. The total is the sum of the cells that are shown: subtracting them from it gives zero, never a hidden cell.
 */
import type { CountPolicy, ReleasedCount, ReleasedTable } from '@lantern/contract';
import { releaseSet, SUPPRESSED } from './count-release.ts';
import type { PatientSet } from './patient-set.ts';
import type { AnsweredSet } from './snapping.ts';
import type { KeyedHash } from './sticky-noise.ts';

export type PatientTable = {
  readonly column: string;
  readonly cells: readonly { readonly label: string; readonly patients: PatientSet }[];
};

export function releasePatientTable(options: {
  table: PatientTable;
  policy: CountPolicy;
  history: readonly AnsweredSet[];
  keyedHash: KeyedHash;
}): { readonly table: ReleasedTable; readonly answered: readonly AnsweredSet[] } {
  const { table, policy, keyedHash } = options;
  const history = [...options.history];
  const answered: AnsweredSet[] = [];
  const counts = table.cells.map((cell) => {
    const release = releaseSet({ patients: cell.patients, policy, history, keyedHash });
    if (release.answered !== undefined) {
      history.push(release.answered);
      answered.push(release.answered);
    }
    return release.count;
  });
  const shown = suppressSecond(counts);
  const cells = table.cells.map((cell, index) => ({ label: cell.label, count: shown[index] ?? SUPPRESSED }));
  return { table: { column: table.column, cells, total: totalOf(shown) }, answered };
}

/** Hides the smallest shown cell (the first of equals) when exactly one cell is suppressed. */
export function suppressSecond(counts: readonly ReleasedCount[]): readonly ReleasedCount[] {
  if (counts.filter((count) => count.kind === 'suppressed').length !== 1) return counts;
  let smallest: { index: number; value: number } | undefined;
  for (const [index, count] of counts.entries()) {
    if (count.kind === 'released' && (smallest === undefined || count.value < smallest.value)) {
      smallest = { index, value: count.value };
    }
  }
  return counts.map((count, index) => (index === smallest?.index ? SUPPRESSED : count));
}

function totalOf(counts: readonly ReleasedCount[]): ReleasedCount {
  let value = 0;
  let shown = 0;
  for (const count of counts) {
    if (count.kind === 'suppressed') continue;
    value += count.value;
    shown += 1;
  }
  return shown === 0 ? SUPPRESSED : { kind: 'released', value };
}
