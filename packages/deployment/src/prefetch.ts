/**
 * What a service asks the record system to send with each request: the patient and, in one search, the observations behind
 * the model's inputs (CDS Hooks 2.0, prefetch templates).
 */
import type { Coding, InputSource } from '@lantern/contract';

export const PREFETCH_KEYS = { patient: 'patient', observations: 'observations' } as const;

export const LOINC = 'http://loinc.org';

/**
 * Panels whose components are accepted as results of their own. Only these: a component may inherit its meaning from the
 * panel (standing, 24 hours, left arm), so a code inside an unknown panel need not mean what it means alone.
 */
const PANELS: readonly { readonly panel: string; readonly components: readonly string[] }[] = [
  { panel: '85354-9', components: ['8480-6', '8462-4'] }, // blood pressure: systolic, diastolic
];

/** The LOINC panels that may hold this code. */
export function panelsOf(coding: Coding): readonly string[] {
  if (coding.system !== LOINC) return [];
  return PANELS.filter(({ components }) => components.includes(coding.code)).map(({ panel }) => panel);
}

/** Prefetch templates by key. Throws nothing; a model that reads the patient alone needs no observations. */
export function prefetchTemplates(inputs: readonly InputSource[]): Record<string, string> {
  const tokens = new Set<string>();
  for (const coding of inputs.flatMap((input) => ('codings' in input ? input.codings : []))) {
    tokens.add(searchToken(coding.system, coding.code));
    for (const panel of panelsOf(coding)) tokens.add(searchToken(LOINC, panel));
  }
  const patient = { [PREFETCH_KEYS.patient]: 'Patient/{{context.patientId}}' };
  if (tokens.size === 0) return patient;
  const code = [...tokens].join(',');
  return { ...patient, [PREFETCH_KEYS.observations]: `Observation?patient={{context.patientId}}&code=${code}` };
}

/** `system|code` of a FHIR token search, encoded; characters that separate tokens are escaped (R4, 3.1.1.4.1). */
function searchToken(system: string, code: string): string {
  return encodeURIComponent([system, code].map((part) => part.replace(/[\\|,$]/g, '\\$&')).join('|'));
}
