import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { namesPatient } from './patient-reference.ts';

const BASE = 'https://ehr.test/fhir/R4';

describe('a reference', () => {
  const named = (reference: string, fhirServer: string | undefined = BASE) =>
    namesPatient(reference, { patientId: 'p-1', fhirServer });

  test('names the patient relative or on the base of the request, with a version or without', () => {
    for (const reference of ['Patient/p-1', `${BASE}/Patient/p-1`]) {
      assert.ok(named(reference), reference);
      assert.ok(named(`${reference}/_history/3`), `${reference} with a version`);
    }
    assert.ok(named(`${BASE}/Patient/p-1`, `${BASE}/`), 'a base may end with a slash');
  });

  test('names nobody when it is on another base, or the request names none', () => {
    const others = ['https://other.test/fhir/R4', `${BASE}/tenant`, 'https://ehr.test/fhir', `${BASE}.evil.test`, ''];
    for (const base of others) assert.ok(!named(`${base}/Patient/p-1`), base);
    assert.ok(!namesPatient(`${BASE}/Patient/p-1`, { patientId: 'p-1' }));
  });

  test('names nobody when anything follows the id but a version', () => {
    for (const rest of ['1', '/', '/x', '/_history', '/_history/', '/_history/1/2', '/_history/a b', '?a=1', '#x']) {
      assert.ok(!named(`Patient/p-1${rest}`), rest);
      assert.ok(!named(`${BASE}/Patient/p-1${rest}`), rest);
    }
  });

  test('names nobody when it is of another kind', () => {
    for (const reference of ['p-1', 'Group/p-1', '#p-1', 'urn:uuid:p-1', 'patient/p-1', ' Patient/p-1', '']) {
      assert.ok(!named(reference), reference);
    }
    assert.ok(!namesPatient(undefined, { patientId: 'p-1', fhirServer: BASE }));
  });
});
