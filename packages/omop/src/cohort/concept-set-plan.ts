/**
 * Concept sets as a table of (concept_set_id, concept_id): the concepts named, with descendants and with what maps to them, less
 * those that are excluded in the same way.
 */
import type { CohortDefinition, ConceptSet, ConceptSetItem } from './definition.ts';
import { CONCEPT_SET_STEP } from './sql-printer.ts';
import { column, type Expression, equal, integer, type Query, type Select, type Step } from './sql-tree.ts';

export function conceptSetStep({ conceptSets }: CohortDefinition): Step {
  const sets = conceptSets.map(setQuery);
  return { name: CONCEPT_SET_STEP, query: sets.length === 0 ? emptySet() : { unionAll: sets } };
}

function setQuery({ id, items }: ConceptSet): Query {
  const included = items.filter(({ isExcluded }) => !isExcluded);
  if (included.length === 0) return emptySet();
  const excluded = items.filter(({ isExcluded }) => isExcluded);
  const conceptId = column('i', 'concept_id');
  const select: Select = {
    isDistinct: true,
    columns: { concept_set_id: integer(id), concept_id: conceptId },
    from: { query: conceptsOf(included), as: 'i' },
  };
  if (excluded.length === 0) return select;
  return {
    ...select,
    joins: [
      {
        kind: 'left',
        source: { query: conceptsOf(excluded), as: 'e' },
        on: [equal(column('e', 'concept_id'), conceptId)],
      },
    ],
    where: [{ kind: 'is-null', of: column('e', 'concept_id') }],
  };
}

function conceptsOf(items: readonly ConceptSetItem[]): Query {
  const mapped = items.filter(({ withMapped }) => withMapped);
  return { unionAll: [...namedAndBelow(items), ...(mapped.length === 0 ? [] : [mappedTo(mapped)])] };
}

function namedAndBelow(items: readonly ConceptSetItem[]): Select[] {
  const named: Select = {
    columns: { concept_id: column('n', 'concept_id') },
    from: { table: 'concept', as: 'n' },
    where: [isOneOf(column('n', 'concept_id'), items)],
  };
  const parents = items.filter(({ withDescendants }) => withDescendants);
  if (parents.length === 0) return [named];
  const below: Select = {
    columns: { concept_id: column('n', 'concept_id') },
    from: { table: 'concept', as: 'n' },
    joins: [
      {
        kind: 'inner',
        source: { table: 'concept_ancestor', as: 'a' },
        on: [equal(column('a', 'descendant_concept_id'), column('n', 'concept_id'))],
      },
    ],
    where: [isOneOf(column('a', 'ancestor_concept_id'), parents), isValid('n')],
  };
  return [named, below];
}

function mappedTo(items: readonly ConceptSetItem[]): Select {
  return {
    columns: { concept_id: column('r', 'concept_id_1') },
    from: { query: { unionAll: namedAndBelow(items) }, as: 'm' },
    joins: [
      {
        kind: 'inner',
        source: { table: 'concept_relationship', as: 'r' },
        on: [equal(column('r', 'concept_id_2'), column('m', 'concept_id'))],
      },
    ],
    where: [equal(column('r', 'relationship_id'), { kind: 'text', value: 'Maps to' }), isValid('r')],
  };
}

function isOneOf(value: Expression, items: readonly ConceptSetItem[]): Expression {
  return { kind: 'in', value, list: items.map(({ conceptId }) => conceptId) };
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
