import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InputSource } from '@lantern/contract';
import { prefetchTemplates } from './prefetch.ts';

function quantity(system: string, code: string): InputSource {
  const units = [{ unit: '1', factor: 1 }];
  return {
    kind: 'observation-quantity',
    column: 'c',
    codings: [{ system, code }],
    units,
    range: { min: 0, max: 1 },
    ageMaxDays: 1,
  };
}

test('one search asks for all codes with their systems, each once, and for the panels that may hold them', () => {
  const loinc = encodeURIComponent('http://loinc.org');
  const inputs = [
    quantity('http://loinc.org', '8480-6'),
    quantity('http://loinc.org', '8462-4'),
    quantity('urn:x', 'a,b'),
  ];
  assert.deepEqual(prefetchTemplates(inputs), {
    patient: 'Patient/{{context.patientId}}',
    observations:
      `Observation?patient={{context.patientId}}&code=${loinc}|8480-6,${loinc}|85354-9,${loinc}|8462-4,` +
      `${encodeURIComponent('urn:x')}|${encodeURIComponent('a\\,b')}`,
  });
});

test('a model that reads the patient alone asks for the patient alone', () => {
  assert.deepEqual(prefetchTemplates([{ kind: 'patient-age', column: 'age' }]), {
    patient: 'Patient/{{context.patientId}}',
  });
});
