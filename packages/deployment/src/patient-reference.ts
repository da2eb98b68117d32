/**
 * Whether a reference surely names the patient of a request. FHIR R4 (2.3.0.1) lets a record system write one patient as a
 * relative reference, as an absolute one on its own base, and either with a version; those four are taken. A base other than
 * the one in the request may be another system, where the same id is another person; a logical reference (an identifier), a
 * contained or a `urn:` one cannot be resolved here. None of these is taken, and then no risk is computed.
 */

/** `fhirServer`: the base of the record system as the request names it; without it an absolute reference names nobody. */
export type PatientContext = { readonly patientId: string; readonly fhirServer?: string | undefined };

/** A version of a resource, R4 `id`: it changes nothing of whose resource it is. */
const VERSION = /^\/_history\/[A-Za-z0-9.-]{1,64}$/;

export function namesPatient(reference: string | undefined, { patientId, fhirServer }: PatientContext): boolean {
  if (reference === undefined) return false;
  const relative = `Patient/${patientId}`;
  const names = fhirServer === undefined ? [relative] : [relative, `${fhirServer.replace(/\/$/, '')}/${relative}`];
  return names.some((name) => {
    if (!reference.startsWith(name)) return false;
    const rest = reference.slice(name.length);
    return rest === '' || VERSION.test(rest);
  });
}
