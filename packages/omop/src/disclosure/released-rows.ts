/**
 * Exact statistics of two runs differ by exactly the patients in which their rows differ. So a site remembers the rows of every
 * run whose statistics may have left, for a dataset over all its versions, and refuses rows that are nearly those of an earlier
 * run: by at least one patient and by fewer than the policy asks for behind a statistic. The very same rows pass: another
 * algorithm on them subtracts to nothing.
 *
 * Rows are nearly the same when
 *   their patients differ by at least 1 and fewer than the least number: somebody came, left, or lost a needed value; or
 *   their patients are the same, and some column both have differs in that few of them: a value was corrected, or one visit of
 *   a patient is in the one and not in the other.
 *
 * The values of a column are remembered as sums of hashes over groups of patients. Where the sum of a group differs, at least one
 * of its patients does, so the number of such groups is never more than the number of such patients. It is less when two of them
 * share a group, which refuses a little too much: of ten patients in 1,024 groups, once in twenty-three.
 *
 * Not covered: three runs or more that are each far apart can be added and subtracted to a few patients (Denning 1979, "The
 * tracker"). Their conditions on rows stand in the signed project, where a person can see them.
 */
import type { DisclosureFinding, RunStatisticsPolicy } from '@lantern/contract';
import { createPatientSetBuilder, type PatientSet, separation } from './patient-set.ts';

const GROUP_COUNT = 1024; // 4 kB a column; patient number p is in group p % 1024

/** `columns`: for each column by name, a sum of hashes of (patient, value) modulo 2^32 for each group of patients. */
export type ReleasedRows = { readonly patients: PatientSet; readonly columns: ReadonlyMap<string, Uint32Array> };

/** Takes rows chunk by chunk: patient numbers, and the values of the columns in the order of their names. */
export function createReleasedRowsBuilder(columnNames: readonly string[]) {
  const patientSet = createPatientSetBuilder();
  const sums = columnNames.map(() => new Uint32Array(GROUP_COUNT));
  return {
    add(patients: Float64Array, values: readonly Float64Array[]): void {
      for (const patient of patients) patientSet.add(patient);
      for (const [column, sum] of sums.entries()) addColumn(sum, patients, values[column] ?? new Float64Array());
    },
    finish: (): ReleasedRows => ({
      patients: patientSet.finish(),
      columns: new Map(columnNames.map((name, column) => [name, sums[column] ?? new Uint32Array()])),
    }),
  };
}

function addColumn(sum: Uint32Array, patients: Float64Array, values: Float64Array): void {
  const bits = new Uint32Array(values.slice().buffer);
  for (let row = 0; row < patients.length; row += 1) {
    const patient = patients[row] ?? 0;
    const group = patient % GROUP_COUNT;
    const low = bits[2 * row] ?? 0;
    const high = bits[2 * row + 1] ?? 0;
    sum[group] = (sum[group] ?? 0) + mixed(patient, low, high); // modulo 2^32, which addition survives in any order
  }
}

/** 32 bits that follow from three words: rounds of MurmurHash3's finaliser (Appleby 2011). Never leaves the site. */
function mixed(a: number, b: number, c: number): number {
  let hash = 0x9e3779b9;
  for (const word of [a, b, c]) {
    hash = Math.imul(hash ^ word, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return hash >>> 0;
}

/**
 * near     nearly the same rows: exact statistics of both would give a few patients away
 * covered  the same rows, and every column of `now` is among those remembered
 * apart    so different, or so alike, that nobody shows; to be remembered as well
 */
export function compareRows(
  now: ReleasedRows,
  earlier: ReleasedRows,
  patientCountMin: number,
): 'near' | 'covered' | 'apart' {
  const apart = separation(now.patients, earlier.patients, patientCountMin);
  if (apart > 0) return apart < patientCountMin ? 'near' : 'apart';
  let isCovered = true;
  for (const [name, sum] of now.columns) {
    const differing = differingGroups(sum, earlier.columns.get(name));
    if (differing > 0 && differing < patientCountMin) return 'near';
    if (differing !== 0) isCovered = false;
  }
  return isCovered ? 'covered' : 'apart';
}

/** `Infinity` for a column that the other does not have. */
function differingGroups(a: Uint32Array, b: Uint32Array | undefined): number {
  if (b === undefined) return Number.POSITIVE_INFINITY;
  let differing = 0;
  for (const [group, sum] of a.entries()) if (sum !== b[group]) differing += 1;
  return differing;
}

/** Why rows that are nearly those of an earlier run are refused. */
export function nearRowsFinding(rowSet: 'train' | 'test', policy: RunStatisticsPolicy): DisclosureFinding {
  const limit = policy.patientCountMin;
  const rows = rowSet === 'train' ? 'training rows' : 'test rows';
  const message = `The ${rows} differ from rows of an earlier run in fewer than ${limit} patients; exact statistics of both would give these away.`;
  return { rule: 'near-duplicate-rows', subject: rows, limit, message };
}
