/** The concepts that a definition names: in its sets, and in the conditions of its criteria. */
import type { CohortDefinition, NamedConcept } from './definition.ts';

/** By id, each once. Zero is no concept: it says that there is none. */
export function namedConcepts(definition: CohortDefinition): NamedConcept[] {
  const found = new Map<bigint, NamedConcept>();
  const add = (id: bigint, name: string) => {
    if (id !== 0n && !found.has(id)) found.set(id, { id, name });
  };
  for (const { items } of definition.conceptSets) for (const item of items) add(item.conceptId, item.conceptName);
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (isNamedConcept(value)) add(value.id, value.name);
    else for (const child of Object.values(value)) visit(child);
  };
  visit({ ...definition, conceptSets: [] });
  return [...found.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
}

function isNamedConcept(value: object): value is NamedConcept {
  return 'id' in value && typeof value.id === 'bigint' && 'name' in value && typeof value.name === 'string';
}
