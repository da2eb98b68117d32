/**
 * Concept sets as a table of (concept_set_id, concept_id): the concepts named, with descendants and with what maps to them, less
 * those that are excluded in the same way. All sets are worked out together: the tables of the vocabulary have tens of millions of
 * rows, and each is read once, however many sets there are.
 */
import type { CohortDefinition } from './definition.ts';
import type { PlanSteps } from './plan-steps.ts';
import { CONCEPT_SET_STEP } from './sql-printer.ts';
import { column, type Expression, equal, integer, max, type Select, type Source } from './sql-tree.ts';

/** Of a set's item: the set, and 1 or 0 for whether it is excluded, and whether what maps to it goes with it. */
const ITEM = 'i';
const KEYS = { concept_set_id: column(ITEM, 'concept_set_id'), is_excluded: column(ITEM, 'is_excluded') };
const IS_MAPPED = { with_mapped: column(ITEM, 'with_mapped') };
const NAMES = ['concept_set_id', 'concept_id', 'is_excluded', 'with_mapped'] as const;

type Row = readonly bigint[];

export function addConceptSets(steps: PlanSteps, { conceptSets }: Pick<CohortDefinition, 'conceptSets'>): void {
  const rows = (keep: (item: CohortDefinition['conceptSets'][number]['items'][number]) => boolean): Row[] =>
    conceptSets.flatMap(({ id, items }) =>
      items.filter(keep).map((item) => [BigInt(id), item.conceptId, flag(item.isExcluded), flag(item.withMapped)]),
    );
  const named = rows(() => true);
  if (named.length === 0) {
    steps.add(CONCEPT_SET_STEP, emptySet());
    return;
  }
  const parents = rows(({ withDescendants }) => withDescendants);
  const found = steps.add('named_concepts', {
    unionAll: [namedIn(named), ...(parents.length === 0 ? [] : [below(parents)])],
  });
  const hasMapped = rows(({ withMapped }) => withMapped).length > 0;
  const all = hasMapped ? steps.add('mapped_concepts', { unionAll: [passedOn(found), mappedTo(found)] }) : found;
  const conceptId = column(ITEM, 'concept_id');
  steps.add(CONCEPT_SET_STEP, {
    columns: { concept_set_id: KEYS.concept_set_id, concept_id: conceptId },
    from: { step: all, as: ITEM },
    groupBy: [KEYS.concept_set_id, conceptId],
    having: equal(max(KEYS.is_excluded), integer(0)),
  });
}

function flag(value: boolean): bigint {
  return value ? 1n : 0n;
}

function itemsOf(rows: readonly Row[]): Source {
  return { values: rows, names: NAMES, as: ITEM };
}

function namedIn(rows: readonly Row[]): Select {
  const conceptId = column('n', 'concept_id');
  return {
    columns: { ...KEYS, ...IS_MAPPED, concept_id: conceptId },
    from: itemsOf(rows),
    joins: [
      { kind: 'inner', source: { table: 'concept', as: 'n' }, on: [equal(conceptId, column(ITEM, 'concept_id'))] },
    ],
  };
}

function below(rows: readonly Row[]): Select {
  const conceptId = column('n', 'concept_id');
  return {
    columns: { ...KEYS, ...IS_MAPPED, concept_id: conceptId },
    from: itemsOf(rows),
    joins: [
      {
        kind: 'inner',
        source: { table: 'concept_ancestor', as: 'a' },
        on: [equal(column('a', 'ancestor_concept_id'), column(ITEM, 'concept_id'))],
      },
      {
        kind: 'inner',
        source: { table: 'concept', as: 'n' },
        on: [equal(conceptId, column('a', 'descendant_concept_id'))],
      },
    ],
    where: [isValid('n')],
  };
}

function passedOn(found: string): Select {
  return { columns: { ...KEYS, concept_id: column(ITEM, 'concept_id') }, from: { step: found, as: ITEM } };
}

function mappedTo(found: string): Select {
  return {
    columns: { ...KEYS, concept_id: column('r', 'concept_id_1') },
    from: { step: found, as: ITEM },
    joins: [
      {
        kind: 'inner',
        source: { table: 'concept_relationship', as: 'r' },
        on: [equal(column('r', 'concept_id_2'), column(ITEM, 'concept_id'))],
      },
    ],
    where: [
      equal(column(ITEM, 'with_mapped'), integer(1)),
      equal(column('r', 'relationship_id'), { kind: 'text', value: 'Maps to' }),
      isValid('r'),
    ],
  };
}

/** Empty where the file of the vocabulary had nothing between its commas. */
function isValid(of: string): Expression {
  const reason = column(of, 'invalid_reason');
  return { kind: 'any', of: [{ kind: 'is-null', of: reason }, equal(reason, { kind: 'text', value: '' })] };
}

function emptySet(): Select {
  return {
    columns: { concept_set_id: integer(0), concept_id: column('n', 'concept_id') },
    from: { table: 'concept', as: 'n' },
    where: [{ kind: 'any', of: [] }],
  };
}
