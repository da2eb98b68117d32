import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { parseMessage } from '@lantern/hl7';
import { createPatientHasher } from './patient-keys.ts';

const KEY = Buffer.from('00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', 'hex');

function keysOf(pid: string, sender = 'lab') {
  const message = parseMessage(Buffer.from(`MSH|^~\\&|A|B|||2026||ADT^A01|1|P|2.5\rPID|1||${pid}\r`));
  return createPatientHasher(KEY)(message, { name: sender });
}

describe('the keyed hashes of a patient', () => {
  it('are HMAC-SHA-256 as node:crypto has it', () => {
    const { patientKey, birthKey } = keysOf('77^^^NORTH^MR||Doe||19700102030405');
    const expected = (parts: string[]) => createHmac('sha256', KEY).update(JSON.stringify(parts)).digest();
    assert.deepEqual(patientKey, expected(['patient', '77', 'authority', 'NORTH']));
    assert.deepEqual(birthKey, expected(['birth', '19700102']));
  });

  it('tell numbers of two authorities apart, and of two senders where there is none', () => {
    const hex = (pid: string, sender?: string) => keysOf(pid, sender).patientKey?.toString('hex');
    assert.notEqual(hex('77^^^NORTH'), hex('77^^^SOUTH'));
    assert.equal(hex('77^^^NORTH', 'lab'), hex('77^^^NORTH', 'adt'));
    assert.notEqual(hex('77', 'lab'), hex('77', 'adt'));
    assert.notEqual(hex('77', 'NORTH'), hex('77^^^NORTH'));
  });

  it('are absent where the message says no number and no whole day', () => {
    assert.deepEqual(keysOf('^^^NORTH||Doe||1970'), { patientKey: undefined, birthKey: undefined });
  });
});
