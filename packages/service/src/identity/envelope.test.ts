import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { describe, test } from 'node:test';
import { canonicalJson, PAYLOAD_TYPES, type SignedEnvelope } from '@lantern/contract';
import { Type } from 'typebox';
import { openEnvelope, preAuthenticationEncoding, signEnvelope } from './envelope.ts';
import { generateKeyPair } from './key-pair.ts';

const site = generateKeyPair();
const other = generateKeyPair();
const schema = Type.Object(
  { verdict: Type.Union([Type.Literal('approve'), Type.Literal('refuse')]), rowsMax: Type.Integer() },
  { additionalProperties: false },
);
const payload = { verdict: 'approve', rowsMax: 4711 };
const payloadType = PAYLOAD_TYPES.decision;
const signed = signEnvelope({ payloadType, payload, keyPair: site });
const open = (envelope: unknown) => openEnvelope(envelope, { payloadType, schema, signer: site });

/** Signs arbitrary bytes with the right key: what a signer that does not follow our rules could send. */
function signedBytes(bytes: Buffer): SignedEnvelope {
  const sig = sign(null, preAuthenticationEncoding(payloadType, bytes), site.privateKey).toString('base64');
  return { payloadType, payload: bytes.toString('base64'), signatures: [{ keyid: site.keyId, sig }] };
}

describe('a signed envelope', () => {
  test('gives back the typed payload, however the document was ordered when it was signed', () => {
    assert.deepEqual(open(signed), payload);
    const reordered = signEnvelope({ payloadType, payload: { rowsMax: 4711, verdict: 'approve' }, keyPair: site });
    assert.deepEqual(reordered, signed);
  });

  test('finds its key by id', () => {
    const signer = (keyId: string) => [other, site].find((key) => key.keyId === keyId);
    assert.deepEqual(openEnvelope(signed, { payloadType, schema, signer }), payload);
    const nobody = () => undefined;
    assert.throws(() => openEnvelope(signed, { payloadType, schema, signer: nobody }), { code: 'envelope.rejected' });
  });

  const [signature] = signed.signatures;
  const sig = signature?.sig ?? '';
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const changes: readonly [string, unknown][] = [
    ['another payload', { ...signed, payload: base64(canonicalJson({ ...payload, rowsMax: 4712 })) }],
    ['another type', { ...signed, payloadType: PAYLOAD_TYPES.task }],
    [
      'the signature of another key',
      { ...signed, signatures: signEnvelope({ payloadType, payload, keyPair: other }).signatures },
    ],
    [
      "another key's signature under this key's id",
      {
        ...signed,
        signatures: [
          { keyid: site.keyId, sig: signEnvelope({ payloadType, payload, keyPair: other }).signatures[0]?.sig },
        ],
      },
    ],
    ['another key id', { ...signed, signatures: [{ keyid: other.keyId, sig }] }],
    ['no signature', { ...signed, signatures: [] }],
    ['two signatures', { ...signed, signatures: [signature, signature] }],
    [
      'a truncated signature',
      {
        ...signed,
        signatures: [{ keyid: site.keyId, sig: Buffer.from(sig, 'base64').subarray(0, 63).toString('base64') }],
      },
    ],
    ['an unknown field', { ...signed, note: 'x' }],
    ['base64 with a line break', { ...signed, payload: `${signed.payload}\n` }],
    ['padding that is not needed', { ...signed, payload: `${signed.payload}=` }],
    ['signed JSON with white space', signedBytes(Buffer.from('{"rowsMax": 4711,"verdict":"approve"}'))],
    ['signed JSON with a key twice', signedBytes(Buffer.from('{"rowsMax":1,"rowsMax":4711,"verdict":"approve"}'))],
    ['signed bytes that are no JSON', signedBytes(Buffer.from('approve'))],
    ['a signed document that breaks its schema', signedBytes(Buffer.from('{"rowsMax":"4711","verdict":"approve"}'))],
    ['nothing', undefined],
  ];
  for (const [what, envelope] of changes) {
    test(`is rejected with ${what}`, () => {
      assert.throws(() => open(envelope), { code: 'envelope.rejected' });
    });
  }

  test('is rejected after a change of any single character', () => {
    const text = JSON.stringify(signed);
    for (let index = 0; index < text.length; index += 1) {
      const swapped = text[index] === 'A' ? 'B' : 'A';
      const altered = text.slice(0, index) + swapped + text.slice(index + 1);
      let envelope: unknown;
      try {
        envelope = JSON.parse(altered);
      } catch {
        continue; // no longer JSON: refused before it is an envelope
      }
      assert.throws(() => open(envelope), { code: 'envelope.rejected' }, `character ${index}`);
    }
  });
});

describe('vectors from outside', () => {
  // github.com/secure-systems-lab/dsse, protocol.md, "Test Vectors".
  const type = 'http://example.com/HelloWorld';
  const encoded = preAuthenticationEncoding(type, Buffer.from('hello world'));

  test('DSSE: the pre-authentication encoding is that of the specification', () => {
    assert.equal(encoded.toString(), 'DSSEv1 29 http://example.com/HelloWorld 11 hello world');
  });

  test('DSSE: lengths count bytes, not characters', () => {
    assert.equal(preAuthenticationEncoding('é', Buffer.from('ü€')).toString(), 'DSSEv1 2 é 5 ü€');
    assert.equal(preAuthenticationEncoding('', Buffer.alloc(0)).toString(), 'DSSEv1 0  0 ');
  });
});
