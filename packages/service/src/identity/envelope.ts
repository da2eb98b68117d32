/**
 * Signed documents: DSSE v1.0.2 (github.com/secure-systems-lab/dsse) with Ed25519 over canonical JSON.
 *
 * The signature covers the payload type and the exact bytes (PAE), so a decision can never be replayed as a task. Opening
 * is strict: one signature, the key id of the key itself, canonical base64, canonical JSON, and the schema. Every change
 * of any byte ends in `envelope.rejected`, with no further detail about why.
 */
import { type KeyObject, sign, verify } from 'node:crypto';
import { AppError, canonicalJson, parse, type SignedEnvelope, SignedEnvelopeSchema } from '@lantern/contract';
import type { Static, TSchema } from 'typebox';
import type { KeyPair } from './key-pair.ts';

const SIGNATURE_BYTES = 64; // RFC 8032 section 5.1.6

/** Pre-authentication encoding: `"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`, lengths in bytes as ASCII decimals. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const type = Buffer.from(payloadType, 'utf8');
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} `), type, Buffer.from(` ${payload.length} `), payload]);
}

/** Signs `payload` as canonical JSON. `payloadType` says what the document is and is part of what is signed. */
export function signEnvelope(document: {
  readonly payloadType: string;
  readonly payload: unknown;
  readonly keyPair: KeyPair;
}): SignedEnvelope {
  const payload = Buffer.from(canonicalJson(document.payload), 'utf8');
  const signature = sign(null, preAuthenticationEncoding(document.payloadType, payload), document.keyPair.privateKey);
  return {
    payloadType: document.payloadType,
    payload: payload.toString('base64'),
    signatures: [{ keyid: document.keyPair.keyId, sig: signature.toString('base64') }],
  };
}

export type SignerKey = { readonly keyId: string; readonly publicKey: KeyObject };

function rejected(message: string, cause?: unknown): AppError {
  return new AppError('envelope.rejected', message, { cause });
}

function decodeBase64(encoded: string): Buffer {
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.toString('base64') !== encoded) throw rejected('The envelope is not canonical base64.');
  return bytes;
}

function parseCanonicalJson(bytes: Buffer): unknown {
  const text = bytes.toString('utf8');
  let value: unknown;
  let canonical: string;
  try {
    value = JSON.parse(text);
    canonical = canonicalJson(value);
  } catch (cause) {
    throw rejected('The payload is not JSON.', cause);
  }
  if (canonical !== text) throw rejected('The payload is not canonical JSON.');
  return value;
}

/**
 * Verifies an envelope and gives its typed payload.
 *
 * signer  the key the document must be signed with: one key, or a look-up by key id (`undefined`: not trusted)
 * Throws `envelope.rejected` for a wrong shape, type, key, signature, spelling or schema.
 */
export function openEnvelope<S extends TSchema>(
  envelope: unknown,
  expected: {
    readonly payloadType: string;
    readonly schema: S;
    readonly signer: SignerKey | ((keyId: string) => SignerKey | undefined);
  },
): Static<S> {
  const { payloadType, payload, signatures } = parse(SignedEnvelopeSchema, envelope, {
    what: 'signed envelope',
    code: 'envelope.rejected',
  });
  if (payloadType !== expected.payloadType) {
    throw rejected(`The envelope holds another kind of document than ${expected.payloadType}.`);
  }
  const [signature] = signatures;
  if (signature === undefined) throw rejected('The envelope has no signature.');
  const signer = typeof expected.signer === 'function' ? expected.signer(signature.keyid) : expected.signer;
  if (signer === undefined || signer.keyId !== signature.keyid) {
    throw rejected('The envelope is signed by a key that is not trusted for it.');
  }
  const payloadBytes = decodeBase64(payload);
  const signatureBytes = decodeBase64(signature.sig);
  const valid =
    signatureBytes.length === SIGNATURE_BYTES &&
    verify(null, preAuthenticationEncoding(payloadType, payloadBytes), signer.publicKey, signatureBytes);
  if (!valid) throw rejected('The signature of the envelope does not verify.');
  return parse(expected.schema, parseCanonicalJson(payloadBytes), { what: payloadType, code: 'envelope.rejected' });
}
