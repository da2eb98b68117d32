/** A concept set of one concept, as ATLAS writes it into a definition. */
export function circeSet(id: number, concept: number): object {
  return {
    id,
    name: `set ${id}`,
    expression: { items: [{ concept: { CONCEPT_ID: concept, CONCEPT_NAME: 'any' } }] },
  };
}
