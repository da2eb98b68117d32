import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import { DicomError } from '../dicom-error.ts';
import { createPseudonyms, hmacUnder } from './pseudonyms.ts';

const KEY = Buffer.from('a key of one project, 32 bytes..');
const OTHER_KEY = Buffer.from('a key of another one, 32 bytes..');
const UID = '1.3.6.1.4.1.5962.1.2.1.20040119072730.12322';

describe('pseudonyms', () => {
  test('are the same under the same key, in whichever run, and others under another', () => {
    assert.equal(createPseudonyms(KEY).uid(UID), createPseudonyms(Buffer.from(KEY)).uid(UID));
    assert.notEqual(createPseudonyms(KEY).uid(UID), createPseudonyms(OTHER_KEY).uid(UID));
    assert.equal(createPseudonyms(KEY).patientId('4MR1'), createPseudonyms(Buffer.from(KEY)).patientId('4MR1'));
    assert.notEqual(createPseudonyms(KEY).patientId('4MR1'), createPseudonyms(KEY).patientId('4MR2'));
  });

  test('of UIDs are UUIDs as numbers, of version 8, in no more than 64 characters', () => {
    const uid = createPseudonyms(KEY).uid(UID);
    assert.match(uid, /^2\.25\.[1-9]\d{1,38}$/);
    const uuid = BigInt(uid.slice(5)).toString(16).padStart(32, '0');
    assert.match(uuid, /^[0-9a-f]{12}8[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  });

  test('do not change when they are replaced again, whoever made their originals', () => {
    const pseudonyms = createPseudonyms(KEY);
    for (let index = 0; index < 200; index += 1) {
      const uid = pseudonyms.uid(`1.2.3.${index}`);
      assert.equal(createPseudonyms(KEY).uid(uid), uid);
      const id = pseudonyms.patientId(`id ${index}`);
      assert.match(id, /^PSN[0-9A-Z]{24}$/);
      assert.equal(pseudonyms.patientId(id), id);
      assert.ok(pseudonyms.isPatientId(id));
    }
  });

  test('of another key are originals like all others, and so is one that was changed', () => {
    const pseudonyms = createPseudonyms(KEY);
    const foreign = createPseudonyms(OTHER_KEY);
    assert.notEqual(pseudonyms.uid(foreign.uid(UID)), foreign.uid(UID));
    assert.ok(!pseudonyms.isPatientId(foreign.patientId('4MR1')));
    const id = pseudonyms.patientId('4MR1');
    assert.ok(!pseudonyms.isPatientId(id.slice(0, 5) + (id[5] === '0' ? '1' : '0') + id.slice(6)));
    const uid = pseudonyms.uid(UID);
    assert.notEqual(pseudonyms.uid(uid.slice(0, -1) + (uid.endsWith('1') ? '2' : '1')).slice(0, -1), uid.slice(0, -1));
  });

  test('of dates are whole days within the range, and spread over it', () => {
    const pseudonyms = createPseudonyms(KEY);
    const days = Array.from({ length: 300 }, (_, index) => pseudonyms.dateShiftDays(`patient ${index}`, 10));
    assert.deepEqual(
      [...new Set(days)].toSorted((a, b) => a - b),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    );
  });

  test('are made with HMAC-SHA256, for keys shorter and longer than its block', () => {
    for (const length of [32, 64, 65, 200]) {
      const key = Buffer.alloc(length, 7);
      const expected = createHmac('sha256', key).update('uid\0').update('1.2.3 é').digest('hex');
      assert.equal(hmacUnder(key)('uid', '1.2.3 é').toString('hex'), expected);
    }
  });

  test('need a key that cannot be guessed', () => {
    assert.throws(() => createPseudonyms(Buffer.alloc(31)), DicomError);
  });
});
