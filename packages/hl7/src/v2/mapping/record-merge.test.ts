import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mergedRecord } from './record-merge.ts';

const NOTHING = { removed: [], placeholders: [] };

describe('a record after a message', () => {
  it('keeps what the message does not speak of, and takes what it says', () => {
    const stored = {
      resourceType: 'Patient',
      gender: 'female',
      maritalStatus: { text: 'married' },
      contact: [{ name: { text: 'a friend' } }],
      text: { status: 'generated', div: '<div>old</div>' },
      meta: { source: 'urn:elsewhere', tag: [{ code: 'kept' }] },
    };
    const said = { resourceType: 'Patient', gender: 'unknown', maritalStatus: { coding: [{ code: 'W' }] } };
    assert.deepEqual(mergedRecord(stored, said, NOTHING), {
      resourceType: 'Patient',
      gender: 'unknown',
      maritalStatus: { coding: [{ code: 'W' }] }, // a value is one thing: its parts are not mixed
      contact: [{ name: { text: 'a friend' } }],
      meta: { tag: [{ code: 'kept' }] },
    });
  });

  it('takes a result as a whole', () => {
    const code = { text: 'blood pressure' };
    const stored = { resourceType: 'Observation', code, valueString: '120/80', note: [{ text: 'seated' }] };
    const said = { resourceType: 'Observation', code, component: [{ code: { text: 'systolic' } }] };
    assert.deepEqual(mergedRecord(stored, said, NOTHING), {
      resourceType: 'Observation',
      code,
      note: [{ text: 'seated' }],
      component: [{ code: { text: 'systolic' } }],
    });
  });

  it('joins periods and groups part by part', () => {
    const stored = {
      resourceType: 'Encounter',
      period: { start: '2026-02-01' },
      hospitalization: { admitSource: { text: 'home' }, dischargeDisposition: { text: 'ward' } },
    };
    const said = {
      resourceType: 'Encounter',
      period: { end: '2026-02-05' },
      hospitalization: { dischargeDisposition: { text: 'home' } },
    };
    assert.deepEqual(mergedRecord(stored, said, NOTHING), {
      resourceType: 'Encounter',
      period: { start: '2026-02-01', end: '2026-02-05' },
      hospitalization: { admitSource: { text: 'home' }, dischargeDisposition: { text: 'home' } },
    });
  });

  it('joins lists whose occurrences can be told apart, and replaces others', () => {
    const number = (value: string, use?: string) => ({ system: 'urn:n', value, ...(use === undefined ? {} : { use }) });
    const doctor = (code: string, text: string) => ({ type: [{ coding: [{ code }] }], individual: { display: text } });
    const stored = {
      resourceType: 'Encounter',
      identifier: [number('1'), number('2')],
      participant: [doctor('ATND', 'Reid'), doctor('REF', 'Moss')],
      reasonCode: [{ text: 'old' }],
    };
    const said = {
      resourceType: 'Encounter',
      identifier: [number('1', 'old'), number('3')],
      participant: [doctor('ATND', 'Shaw')],
      reasonCode: [{ text: 'new' }],
    };
    const { identifier, participant, reasonCode } = mergedRecord(stored, said, NOTHING);
    assert.deepEqual(identifier, [number('1', 'old'), number('3'), number('2')]);
    assert.deepEqual(participant, [doctor('ATND', 'Shaw'), doctor('REF', 'Moss')]);
    assert.deepEqual(reasonCode, [{ text: 'new' }]);
  });

  it('loses what the message deletes: an element, a part of one, an occurrence', () => {
    const stored = {
      resourceType: 'Encounter',
      period: { start: '2026-02-01', end: '2026-02-05' },
      location: [{ status: 'active' }, { status: 'reserved' }],
      priority: { text: 'x' },
      _language: { id: 'a' },
      language: 'en',
    };
    const removed = ['period.end', 'location:reserved', 'priority', 'language', 'length'];
    const merged = mergedRecord(stored, { resourceType: 'Encounter' }, { removed, placeholders: [] });
    assert.deepEqual(merged, {
      resourceType: 'Encounter',
      period: { start: '2026-02-01' },
      location: [{ status: 'active' }],
    });
    const again = { resourceType: 'Encounter', priority: { text: 'y' } };
    assert.deepEqual(mergedRecord(stored, again, { removed, placeholders: [] })['priority'], { text: 'y' });
  });

  it('gives a choice one type, and a primitive one extension', () => {
    const stored = { resourceType: 'Patient', deceasedBoolean: true, birthDate: '1952', _birthDate: { id: 'x' } };
    const said = { resourceType: 'Patient', deceasedDateTime: '2026-02-01', birthDate: '1952-03-17' };
    assert.deepEqual(mergedRecord(stored, said, NOTHING), said);
  });

  it('lets a placeholder give way to what is known, whatever its type, and stand where nothing is', () => {
    const absent = { extension: [{ url: 'absent' }] };
    const said = { resourceType: 'MedicationRequest', status: 'unknown', medicationCodeableConcept: absent };
    const rules = { removed: [], placeholders: ['status', 'medication'] };
    const stored = { resourceType: 'MedicationRequest', status: 'active', medicationReference: { reference: 'M/1' } };
    assert.deepEqual(mergedRecord(stored, said, rules), stored);
    assert.deepEqual(mergedRecord({ resourceType: 'MedicationRequest' }, said, rules), said);
  });
});
