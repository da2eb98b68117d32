/** HL7's tables of codes: of v2, and the codes of FHIR that mean the same. */
import { VOCABULARY_MAPS } from '../generated/vocabulary-maps.ts';

export type MappedCode = { readonly code: string; readonly display: string; readonly system: string };

type Vocabulary = ReadonlyMap<string, MappedCode>;

const NAMES = new Map(Object.keys(VOCABULARY_MAPS).map((name) => [keyOf(name), name]));
const read = new Map<string, Vocabulary>();

/** Tables write `Yes/NoIndicator`, files `YesNoIndicator`. */
function keyOf(name: string): string {
  return name.replace(/[^A-Za-z0-9[\].]/g, '').toLowerCase();
}

export function hasVocabulary(name: string): boolean {
  return NAMES.has(keyOf(name));
}

/** `undefined` where the table has no such code. */
export function mappedCode(name: string, code: string): MappedCode | undefined {
  const canonical = NAMES.get(keyOf(name));
  if (canonical === undefined) return undefined;
  const known = read.get(canonical) ?? vocabularyOf(canonical);
  read.set(canonical, known);
  return known.get(code.trim());
}

function vocabularyOf(name: string): Vocabulary {
  const result = new Map<string, MappedCode>();
  for (const line of VOCABULARY_MAPS[name] ?? []) {
    const [from = '', code = '', display = '', system = ''] = line.split('\t');
    if (!result.has(from)) result.set(from, { code, display, system });
  }
  return result;
}
