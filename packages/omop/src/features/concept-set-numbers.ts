/** Several cohort definitions and columns in one statement: their concept sets are numbered through, since they become one step. */
import { CONCEPT_SET_FIELDS } from '../cohort/cohort-plan.ts';
import type { CohortDefinition, ConceptSet } from '../cohort/definition.ts';

export class ConceptSetNumbers {
  readonly #sets: ConceptSet[] = [];

  get all(): readonly ConceptSet[] {
    return this.#sets;
  }

  /** The number of a set of these concepts. */
  add({ conceptIds, withDescendants }: { conceptIds: readonly string[]; withDescendants: boolean }): number {
    const items = conceptIds.map((id) => ({
      conceptId: BigInt(id),
      conceptName: '',
      isExcluded: false,
      withDescendants,
      withMapped: false,
    }));
    return this.#push({ id: 0, name: '', items });
  }

  /** The same definition, with the numbers that its sets have here. */
  take(definition: CohortDefinition): CohortDefinition {
    const numbers = new Map(definition.conceptSets.map((set) => [set.id, this.#push(set)]));
    const { conceptSets, ...rest } = definition;
    return {
      ...(renumbered(rest, numbers) as Omit<CohortDefinition, 'conceptSets'>),
      conceptSets: conceptSets.map((set) => ({ ...set, id: numbers.get(set.id) ?? set.id })),
    };
  }

  #push(set: ConceptSet): number {
    const id = this.#sets.length;
    this.#sets.push({ ...set, id });
    return id;
  }
}

/** The shape stays as it is: only numbers of sets change. A number that no set has stays, to be refused later. */
function renumbered(value: unknown, numbers: ReadonlyMap<number, number>): unknown {
  if (Array.isArray(value)) return value.map((child) => renumbered(child, numbers));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, child]) => [
      name,
      CONCEPT_SET_FIELDS.has(name) && typeof child === 'number'
        ? (numbers.get(child) ?? UNKNOWN)
        : renumbered(child, numbers),
    ]),
  );
}

/** No set has this number, whatever others stand beside the definition. */
const UNKNOWN = -1;
