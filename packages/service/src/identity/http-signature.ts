/**
 * Signed requests: HTTP Message Signatures (RFC 9421) with Ed25519 and Content-Digest (RFC 9530).
 *
 * Why not mutual TLS alone: hospital proxies end TLS. A signature inside the request survives them, and says which site
 * asked for what, with which body, when, once.
 *
 * Covered: `@method`, `@path`, `@query`, `content-digest`, and the parameters created, nonce, keyid, alg, tag. Not covered:
 * `@authority` and `@scheme`, and hence not `@target-uri`, since a reverse proxy may change both; such a proxy must keep
 * path and query as they are. Not covered either: Range and Content-Length, which choose bytes that a digest names anyway.
 *
 * Invariant: a request is accepted once. The order of the checks is part of it: form, freshness, key, signature, and only
 * then the nonce is spent, so that nobody without the key can spend a nonce or fill the table. The body is checked last,
 * as it streams (`digestCheckedBody`).
 */
import { type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { AppError, type Digest } from '@lantern/contract';
import type { Clock } from '../clock.ts';
import { contentDigestHeader, parseContentDigest } from './content-digest.ts';
import type { KeyPair } from './key-pair.ts';
import type { NonceStore } from './nonce-store.ts';
import { coveredComponents, type HeaderFields, type RequestHead, signatureBase } from './signature-base.ts';
import { SIGNATURE_SKEW_MS_MAX } from './signature-limits.ts';
import {
  type BareItem,
  type Dictionary,
  type InnerList,
  type Item,
  parseDictionary,
  serialiseInnerList,
} from './structured-field.ts';

const SIGNATURE_TAG = 'lantern-site';

const LABEL = 'lantern';
const REQUIRED_COMPONENTS = ['@method', '@path', '@query', 'content-digest'] as const;
const KNOWN_PARAMETERS = new Set(['created', 'expires', 'nonce', 'keyid', 'alg', 'tag']);
const NONCE_BYTES = 18;
const NONCE_PATTERN = /^[A-Za-z0-9_-]{16,64}$/;
const KEY_ID_PATTERN = /^[A-Za-z0-9_-]{16,128}$/;
const SIGNATURE_BYTES = 64; // RFC 8032 section 5.1.6

export function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString('base64url');
}

const text = (value: string): BareItem => ({ kind: 'string', value });
const component = (name: string): Item => ({ kind: 'item', item: text(name), parameters: new Map() });

/**
 * The three headers that sign a request.
 *
 * url            absolute, or the request target in origin form; must be what is sent, byte for byte
 * contentDigest  SHA-256 of the body as sent; a request without a body signs `EMPTY_BODY_DIGEST`
 * nonce          unique per key for as long as the signature is fresh
 */
export function signRequest(request: {
  readonly method: string;
  readonly url: string;
  readonly contentDigest: Digest;
  readonly keyPair: KeyPair;
  readonly clock: Clock;
  readonly nonce: string;
}): Record<'content-digest' | 'signature-input' | 'signature', string> {
  const contentDigest = contentDigestHeader(request.contentDigest);
  const list: InnerList = {
    kind: 'list',
    items: REQUIRED_COMPONENTS.map(component),
    parameters: new Map<string, BareItem>([
      ['created', { kind: 'integer', value: Math.floor(request.clock.now().getTime() / 1000) }],
      ['nonce', text(request.nonce)],
      ['keyid', text(request.keyPair.keyId)],
      ['alg', text('ed25519')],
      ['tag', text(SIGNATURE_TAG)],
    ]),
  };
  const head = { method: request.method, target: request.url, headers: { 'content-digest': contentDigest } };
  const signature = sign(null, Buffer.from(signatureBase(list, head), 'latin1'), request.keyPair.privateKey);
  return {
    'content-digest': contentDigest,
    'signature-input': `${LABEL}=${serialiseInnerList(list)}`,
    signature: `${LABEL}=:${signature.toString('base64')}:`,
  };
}

/** What the verifier knows of a key. A revoked key still verifies, so that only its holder learns of the revocation. */
export type KeyLookup<Owner> =
  | { readonly state: 'active'; readonly publicKey: KeyObject; readonly owner: Owner }
  | { readonly state: 'revoked'; readonly publicKey: KeyObject }
  | { readonly state: 'unknown' };

export type SignatureVerifier<Owner> = {
  readonly lookupKey: (keyId: string) => Promise<KeyLookup<Owner>>;
  readonly nonces: NonceStore;
  readonly clock: Clock;
  /** Greatest allowed difference between `created` and the clock, either way; `SIGNATURE_SKEW_MS_MAX` when absent. */
  readonly skewMsMax?: number;
};

/** `bodyDigest` is what the body still has to be compared with. */
export type VerifiedRequest<Owner> = { readonly keyId: string; readonly owner: Owner; readonly bodyDigest: Digest };

type ParsedSignature = {
  readonly list: InnerList;
  readonly signature: Uint8Array;
  readonly keyId: string;
  readonly nonce: string;
  readonly createdMs: number;
  readonly expiresMs: number | undefined;
};

function malformed(message: string, field = 'signature-input'): AppError {
  return new AppError('signature.malformed', message, { field });
}

function oneHeader(headers: HeaderFields, name: string): string | undefined {
  const value = headers[name];
  if (value === undefined) return undefined;
  return Array.isArray(value) ? value.join(', ') : String(value);
}

/** The one signature with our tag. A proxy may add its own beside it; two with our tag would leave a choice, so none. */
function chooseSignature(inputs: Dictionary): { label: string; list: InnerList } {
  const ours = [...inputs].filter(([, member]) => {
    const tag = member.parameters.get('tag');
    return tag?.kind === 'string' && tag.value === SIGNATURE_TAG;
  });
  const [first, second] = ours;
  if (first === undefined) throw malformed(`signature-input: no signature has tag="${SIGNATURE_TAG}".`);
  if (second !== undefined) throw malformed(`signature-input: two signatures have tag="${SIGNATURE_TAG}".`);
  const [label, list] = first;
  if (list.kind !== 'list') throw malformed('signature-input: the covered components are not a list.');
  return { label, list };
}

function stringParameter(list: InnerList, name: string, pattern: RegExp): string {
  const parameter = list.parameters.get(name);
  if (parameter?.kind !== 'string') throw malformed(`signature-input: parameter "${name}" is missing or not a string.`);
  if (!pattern.test(parameter.value)) throw malformed(`signature-input: parameter "${name}" has another form.`);
  return parameter.value;
}

function timeParameter(list: InnerList, name: string): number | undefined {
  const parameter = list.parameters.get(name);
  if (parameter === undefined) return undefined;
  if (parameter.kind !== 'integer') throw malformed(`signature-input: parameter "${name}" is not an integer.`);
  return parameter.value * 1000;
}

function parseSignature(headers: HeaderFields): ParsedSignature {
  const inputHeader = oneHeader(headers, 'signature-input');
  const signatureHeader = oneHeader(headers, 'signature');
  if (inputHeader === undefined && signatureHeader === undefined) {
    throw new AppError('signature.missing', 'The request has no Signature-Input and no Signature header.');
  }
  if (inputHeader === undefined || signatureHeader === undefined) {
    throw malformed('Signature-Input and Signature must come together.');
  }
  const { label, list } = chooseSignature(parseDictionary('signature-input', inputHeader));
  const member = parseDictionary('signature', signatureHeader).get(label);
  if (member?.kind !== 'item' || member.item.kind !== 'bytes') {
    throw malformed('signature: no byte sequence under the label of Signature-Input.', 'signature');
  }
  if (member.item.value.length !== SIGNATURE_BYTES) {
    throw malformed(`signature: an Ed25519 signature has ${SIGNATURE_BYTES} bytes.`, 'signature');
  }
  for (const name of list.parameters.keys()) {
    if (!KNOWN_PARAMETERS.has(name)) throw malformed('signature-input: a parameter is not known.');
  }
  stringParameter(list, 'alg', /^ed25519$/);
  const createdMs = timeParameter(list, 'created');
  if (createdMs === undefined) throw malformed('signature-input: parameter "created" is missing.');
  return {
    list,
    signature: member.item.value,
    keyId: stringParameter(list, 'keyid', KEY_ID_PATTERN),
    nonce: stringParameter(list, 'nonce', NONCE_PATTERN),
    createdMs,
    expiresMs: timeParameter(list, 'expires'),
  };
}

function checkFreshness(parsed: ParsedSignature, nowMs: number, skewMsMax: number): void {
  const differenceMs = parsed.createdMs - nowMs;
  if (Math.abs(differenceMs) > skewMsMax) {
    const seconds = Math.round(Math.abs(differenceMs) / 1000);
    const direction = differenceMs > 0 ? 'ahead of' : 'behind';
    throw new AppError(
      'signature.stale',
      `The request was signed ${seconds} s ${direction} the clock here; at most ${skewMsMax / 1000} s are allowed.`,
      { field: 'created' },
    );
  }
  if (parsed.expiresMs !== undefined && parsed.expiresMs <= nowMs) {
    throw new AppError('signature.stale', 'The signature has expired.', { field: 'expires' });
  }
}

/**
 * Verifies the head of a request and spends its nonce. Throws `signature.missing`, `.malformed`, `.stale`, `.rejected`,
 * `.replayed`, `site.unknown` or `site.revoked`. The caller must still compare the body with `bodyDigest`.
 */
export async function verifyRequest<Owner>(
  head: RequestHead,
  verifier: SignatureVerifier<Owner>,
): Promise<VerifiedRequest<Owner>> {
  const parsed = parseSignature(head.headers);
  const covered = coveredComponents(parsed.list);
  for (const name of REQUIRED_COMPONENTS) {
    if (!covered.has(name)) throw malformed(`signature-input: "${name}" is not covered.`);
  }
  const base = signatureBase(parsed.list, head);
  const bodyDigest = parseContentDigest(oneHeader(head.headers, 'content-digest') ?? '');
  checkFreshness(parsed, verifier.clock.now().getTime(), verifier.skewMsMax ?? SIGNATURE_SKEW_MS_MAX);

  const key = await verifier.lookupKey(parsed.keyId);
  if (key.state === 'unknown') throw new AppError('site.unknown', 'The key of the signature is not enrolled here.');
  if (!verify(null, Buffer.from(base, 'latin1'), key.publicKey, parsed.signature)) {
    throw new AppError('signature.rejected', 'The signature does not verify with the key it names.');
  }
  if (key.state === 'revoked') throw new AppError('site.revoked', 'The site that holds this key was revoked.');
  const fresh = await verifier.nonces.spend({ keyId: parsed.keyId, nonce: parsed.nonce, createdMs: parsed.createdMs });
  if (!fresh)
    throw new AppError('signature.replayed', 'The nonce of the signature was already used.', { field: 'nonce' });
  return { keyId: parsed.keyId, owner: key.owner, bodyDigest };
}
