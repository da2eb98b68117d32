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
  const inputs = [
    quantity('http://loinc.org', '8480-6'),
    quantity('http://loinc.org', '8462-4'),
    quantity('urn:x', 'a,b'),
  ];
  assert.deepEqual(prefetchTemplates(inputs), {
    patient: 'Patient/{{context.patientId}}',
    observations:
      'Observation?patient={{context.patientId}}&code=http%3A%2F%2Floinc.org%7C8480-6,http%3A%2F%2Floinc.org%7C85354-9,' +
      'http%3A%2F%2Floinc.org%7C8462-4,urn%3Ax%7Ca%5C%2Cb',
  });
});

test('a model that reads the patient alone asks for the patient alone', () => {
  assert.deepEqual(prefetchTemplates([{ kind: 'patient-age', column: 'age' }]), {
    patient: 'Patient/{{context.patientId}}',
  });
});
