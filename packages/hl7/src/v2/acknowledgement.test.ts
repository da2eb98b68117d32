import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  encodeAcknowledgement,
  readAcknowledgement,
  salvageHeader,
  type Verdict,
  wantedCodes,
} from './acknowledgement.ts';
import { readHeader } from './header.ts';
import { firstSegment, parseMessage, textAt } from './message.ts';

const AT = { at: new Date('2026-02-03T04:05:06.789Z'), controlId: 'L-12' };
const ACCEPTED: Verdict = { kind: 'accepted' };
const CONFLICT: Verdict = { kind: 'error', code: '205', reason: 'taken | already' };
const REJECTED: Verdict = { kind: 'rejected', code: '207', reason: 'no room' };

function headerWith({ accept = '', application = '', version = '2.5.1' } = {}) {
  const text = `MSH|^~\\&|LAB|N\\T\\S|LANTERN|WARD|20260203||ADT^A08|id-9|D|${version}|||${accept}|${application}\r`;
  return readHeader(parseMessage(Buffer.from(text)));
}

describe('an acknowledgement', () => {
  it('is AA, AE or AR in original mode', () => {
    const codes = [ACCEPTED, CONFLICT, REJECTED].map((verdict) => wantedCodes(headerWith(), verdict));
    assert.deepEqual(codes, [['AA'], ['AE'], ['AR']]);
  });

  it('follows the conditions of MSH-15 and MSH-16 in enhanced mode', () => {
    const cases: [string, string, string[], string[]][] = [
      ['AL', 'NE', ['CA'], ['CE']],
      ['AL', '', ['CA'], ['CE']],
      ['NE', 'AL', ['AA'], ['AE']],
      ['ER', 'NE', [], ['CE']],
      ['SU', 'NE', ['CA'], []],
      ['NE', 'NE', [], []],
      ['AL', 'ER', ['CA'], ['CE', 'AE']],
      ['AL', 'AL', ['CA', 'AA'], ['CE', 'AE']],
      ['NE', 'SU', ['AA'], []],
      ['always', 'NE', ['CA'], ['CE']],
    ];
    for (const [accept, application, good, bad] of cases) {
      const header = headerWith({ accept, application });
      assert.deepEqual(wantedCodes(header, ACCEPTED), good, `${accept}/${application}`);
      assert.deepEqual(wantedCodes(header, CONFLICT), bad, `${accept}/${application}`);
    }
    assert.deepEqual(wantedCodes(headerWith({ accept: 'AL' }), REJECTED), ['CR']);
  });

  it('turns sender and receiver round and repeats the control id', () => {
    const message = parseMessage(encodeAcknowledgement(headerWith(), { verdict: ACCEPTED, code: 'AA' }, AT));
    const [msh, msa] = ['MSH', 'MSA'].map((name) => firstSegment(message, name));
    assert.ok(msh !== undefined && msa !== undefined);
    const texts = [3, 4, 5, 6, 7, 9, 10, 11, 12].map((field) => textAt(message, msh, { field }));
    assert.deepEqual(texts, ['LANTERN', 'WARD', 'LAB', 'N&S', '20260203040506.789+0000', 'ACK', 'L-12', 'D', '2.5.1']);
    assert.deepEqual(
      [1, 2].map((field) => textAt(message, msa, { field })),
      ['AA', 'id-9'],
    );
    assert.equal(firstSegment(message, 'ERR'), undefined);
  });

  it('says why not, with an error segment where the version has one', () => {
    const bytes = encodeAcknowledgement(headerWith(), { verdict: CONFLICT, code: 'AE' }, AT);
    const read = readAcknowledgement(bytes);
    assert.deepEqual(read, { code: 'AE', controlId: 'id-9', reason: 'taken | already; Duplicate key identifier' });
    const old = encodeAcknowledgement(headerWith({ version: '2.3' }), { verdict: CONFLICT, code: 'AE' }, AT);
    assert.equal(firstSegment(parseMessage(old), 'ERR'), undefined);
    assert.equal(readAcknowledgement(old)?.reason, 'taken | already');
  });

  it('is none where MSA is missing or has another code', () => {
    assert.equal(readAcknowledgement(Buffer.from('MSH|^~\\&|||||||ACK|1|P|2.3\r')), undefined);
    assert.equal(readAcknowledgement(Buffer.from('MSH|^~\\&|||||||ACK|1|P|2.3\rMSA|XX|1\r')), undefined);
  });

  it('can be addressed to the sender of a message that cannot be read', () => {
    const bytes = Buffer.concat([
      Buffer.from('MSH|^~\\&|LAB|N|L|W|2026||ADT^A01|id-3|P|2.5||||||MOON\r'),
      Buffer.from([0xff]),
    ]);
    assert.equal(salvageHeader(bytes)?.controlId, 'id-3');
    assert.equal(salvageHeader(Buffer.from('hello')), undefined);
  });
});
