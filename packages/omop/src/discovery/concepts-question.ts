/** Which concepts of a domain the records hold, as a plan: one statement over the CDM that gives persons and their concepts. */
import type { Concepts } from '@lantern/contract';
import { type CdmNeeds, neededColumns } from '../cohort/plan-needs.ts';
import { type PrintOptions, printPlan } from '../cohort/sql-printer.ts';
import { column, compare, equal, integer, type Select } from '../cohort/sql-tree.ts';
import { listCost } from '../disclosure/budget.ts';
import { CONCEPT_TABLES } from './characteristic-plan.ts';
import { gatheredRows } from './gathered-rows.ts';

/** From here on ids are a site's own (OHDSI's rule): their names may hold anything, so none leaves and none is searched. */
export const LOCAL_CONCEPT_ID_MIN = 2_000_000_000n;

export type ConceptsQuestionPlan = {
  readonly cost: number;
  readonly needs: CdmNeeds;
  readonly sql: (options: PrintOptions) => string;
};

export function planConceptsQuestion({ domain, search, limit }: Concepts): ConceptsQuestionPlan {
  const { table, concept } = CONCEPT_TABLES[domain];
  const code = column('t', concept);
  const found: Pick<Select, 'joins' | 'where'> = search === undefined ? {} : named(code, search);
  const rows: Select = {
    ...gatheredRows(
      'concept',
      { personId: column('t', 'person_id'), values: { code } },
      {
        from: { table, as: 't' },
        ...found,
        where: [compare(code, '<>', integer(0)), ...(found.where ?? [])],
      },
    ),
    isDistinct: true,
  };
  return {
    cost: listCost(limit),
    needs: neededColumns([rows]),
    sql: (options) => printPlan([], rows, options),
  };
}

function named(code: ReturnType<typeof column>, search: string): Pick<Select, 'joins' | 'where'> {
  const id = column('n', 'concept_id');
  return {
    joins: [{ kind: 'inner', source: { table: 'concept', as: 'n' }, on: [equal(id, code)] }],
    where: [
      compare(id, '<', integer(LOCAL_CONCEPT_ID_MIN)),
      {
        kind: 'matches',
        value: { kind: 'lower-case', of: column('n', 'concept_name') },
        text: search.toLowerCase(),
        where: 'contains',
      },
    ],
  };
}
