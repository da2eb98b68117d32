/** The last step of a question about records: sets through the disclosure gate, in the words of the contract. */
import type { AnswerBody, CohortTask, ConceptsTask, ReleasedTable } from '@lantern/contract';
import { answerDescription, answerList, type PatientSet, type PatientTable, type QuestionPrice } from '@lantern/omop';
import type { Performed } from '../exchange/performer.ts';
import type { QuestionPermission } from '../governance/policy.ts';
import type { OptOutEvidence } from '../opt-outs/opt-outs.ts';
import { askGate, budgetSpent, decisionOf, type GateDeps } from '../questions/gated-release.ts';
import { audit } from '../site-context.ts';
import type { SiteTx } from '../tables.ts';
import type { CohortSets } from './record-sets.ts';
import { keepNumbering, type Numbering } from './store.ts';

const RULE_LENGTH_MAX = 500; // of the contract

/** Names of concepts by their ids, of a public vocabulary. */
type Names = ReadonlyMap<string, string>;

export type CountedCohort = {
  readonly price: QuestionPrice;
  readonly sets: CohortSets;
  readonly rules: readonly string[];
  readonly names: Names;
  readonly numbering: Numbering;
};

export type CountedConcepts = {
  readonly price: QuestionPrice;
  readonly table: PatientTable;
  readonly limit: number;
  readonly names: Names;
  readonly numbering: Numbering;
};

type Releasing<Task, Counted> = {
  readonly task: Task;
  readonly permission: QuestionPermission;
  readonly evidence: OptOutEvidence;
  readonly counted: Counted;
};

export async function releaseCohort(
  deps: GateDeps,
  tx: SiteTx,
  { task, permission, evidence, counted }: Releasing<CohortTask, CountedCohort>,
): Promise<Performed> {
  const { price, sets, rules, names } = counted;
  const answer = await askGate(deps, tx, {
    task,
    permission,
    sets: [sets.total, ...sets.stages, ...sets.tables.flatMap(({ table }) => setsOf(table))],
    ask: (gate) => answerDescription(gate, { price, ...sets }),
  });
  if (answer.kind === 'budget-spent') return budgetSpent(permission, price.cost, answer);
  await keepNumbering(tx, task.dataset, counted.numbering);
  const attrition = answer.stages.map((count, index) => ({
    rule: (rules[index] ?? '').slice(0, RULE_LENGTH_MAX),
    count,
  }));
  const tables = answer.tables.map((table, index) =>
    sets.tables[index]?.kind === 'largest' ? withMeanings(table, names) : { ...table, cells: [...table.cells] },
  );
  const { total, questionsLeft } = answer;
  return answered(deps, { task, permission, evidence }, { kind: 'cohort', total, attrition, tables, questionsLeft });
}

export async function releaseConcepts(
  deps: GateDeps,
  tx: SiteTx,
  { task, permission, evidence, counted }: Releasing<ConceptsTask, CountedConcepts>,
): Promise<Performed> {
  const { price, table, limit, names } = counted;
  const answer = await askGate(deps, tx, {
    task,
    permission,
    sets: setsOf(table),
    ask: (gate) => answerList(gate, { price, table, limit }),
  });
  if (answer.kind === 'budget-spent') return budgetSpent(permission, price.cost, answer);
  await keepNumbering(tx, task.dataset, counted.numbering);
  const concepts = answer.cells.map(({ label, count }) => {
    const name = names.get(label);
    return { conceptId: label, count, ...(name === undefined ? {} : { name }) };
  });
  const { questionsLeft } = answer;
  return answered(deps, { task, permission, evidence }, { kind: 'concepts', concepts, questionsLeft });
}

function setsOf({ cells }: PatientTable): PatientSet[] {
  return cells.map(({ patients }) => patients);
}

function withMeanings(table: ReleasedTable, names: Names): ReleasedTable {
  const cells = table.cells.map((cell) => {
    const meaning = names.get(cell.label);
    return meaning === undefined ? cell : { ...cell, meaning };
  });
  return { ...table, cells };
}

/** With the evidence that opt-outs were left out, written when the answer is stored. */
function answered(
  deps: GateDeps,
  asked: Omit<Releasing<CohortTask | ConceptsTask, unknown>, 'counted'>,
  body: AnswerBody,
): Performed {
  const { task, permission, evidence } = asked;
  const lists = evidence.lists.map(({ list, asOf }) => `${list} of ${asOf}`).join(', ');
  const details = {
    projectId: task.projectId,
    dataset: task.dataset,
    optOutLists: lists === '' ? 'none loaded, none required' : lists,
    optOutsLeftOut: evidence.lists.length > 0,
  };
  return {
    body,
    ...decisionOf(permission),
    onStored: (tx) => audit(deps, tx, { actor: 'site', action: 'records.count', object: task.taskId, details }),
  };
}
