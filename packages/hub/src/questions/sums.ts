/**
 * Sums over sites of what they released about their records. A sum says how many sites stand behind it and how many withheld their
 * number: it never pretends to be all patients.
 *
 * A site that does not name a concept withheld it, like one that suppressed a cell: whether it has none or few, nobody can tell.
 */
import type { AnswerBody, DiscoverySums, ReleasedCount, ReleasedSum, SummedTable } from '@lantern/contract';

type CohortAnswer = Extract<AnswerBody, { kind: 'cohort' }>;
type ConceptsAnswer = Extract<AnswerBody, { kind: 'concepts' }>;

/** `bodies`: one for each site, absent where there is no answer yet. Absent for questions about tables. */
export function sumsOf(bodies: readonly (AnswerBody | undefined)[]): DiscoverySums | undefined {
  const cohorts = bodies.filter((body): body is CohortAnswer => body?.kind === 'cohort');
  const concepts = bodies.filter((body): body is ConceptsAnswer => body?.kind === 'concepts');
  if (cohorts.length > 0) return { ...sitesOf(bodies, cohorts), ...cohortSums(cohorts) };
  if (concepts.length > 0) {
    return { ...sitesOf(bodies, concepts), attrition: [], tables: [tableSum('concepts', concepts.map(cellsOf))] };
  }
  return undefined;
}

function sitesOf(all: readonly unknown[], answered: readonly unknown[]) {
  return { answeredSites: answered.length, otherSites: all.length - answered.length };
}

function cohortSums(answers: readonly CohortAnswer[]): Pick<DiscoverySums, 'total' | 'attrition' | 'tables'> {
  const [first] = answers;
  return {
    total: sumOf(answers.map(({ total }) => total)),
    attrition: (first?.attrition ?? []).map(({ rule }, index) => ({
      rule,
      sum: sumOf(answers.map(({ attrition }) => attrition[index]?.count)),
    })),
    tables: (first?.tables ?? []).map(({ column }, index) =>
      tableSum(
        column,
        answers.map(({ tables }) => tables[index]?.cells ?? []),
      ),
    ),
  };
}

type Cell = { readonly label: string; readonly meaning?: string | undefined; readonly count: ReleasedCount };

function cellsOf({ concepts }: ConceptsAnswer): Cell[] {
  return concepts.map(({ conceptId, name, count }) => ({
    label: conceptId,
    count,
    ...(name === undefined ? {} : { meaning: name }),
  }));
}

/** Cells in the order of the first site that has them. */
function tableSum(column: string, sites: readonly (readonly Cell[])[]): SummedTable {
  const labels = [...new Set(sites.flatMap((cells) => cells.map(({ label }) => label)))];
  const cells = labels.map((label) => {
    const own = sites.map((cells) => cells.find((cell) => cell.label === label));
    const meaning = own.find((cell) => cell?.meaning !== undefined)?.meaning;
    const sum = sumOf(own.map((cell) => cell?.count));
    return { label, sum, ...(meaning === undefined ? {} : { meaning }) };
  });
  return { column, cells };
}

function sumOf(counts: readonly (ReleasedCount | undefined)[]): ReleasedSum {
  const released = counts.flatMap((count) => (count?.kind === 'released' ? [count.value] : []));
  return {
    value: released.reduce((sum, value) => sum + value, 0),
    releasedSites: released.length,
    withheldSites: counts.length - released.length,
  };
}
