/**
 * Which record system is calling: CDS Hooks 2.0, "Trusting CDS Clients". Each request carries a JWT signed with a key that an
 * administrator of this site registered for its issuer.
 *
 * Asymmetric algorithms only, and only the one registered with the key, so a token can neither choose "none" nor pass a
 * public key off as a secret. A token names this very address, lives at most five minutes, and is accepted once: its `jti` is
 * spent in the database before the request is served, so also across restarts.
 */
import { createPublicKey } from 'node:crypto';
import { AppError, type NewCdsClient } from '@lantern/contract';
import type { Clock, Database, RequestIdentity } from '@lantern/service';
import { decodeJwt, errors, importSPKI, type JWTPayload, jwtVerify } from 'jose';
import * as store from './store.ts';

const TOKEN_LENGTH_MAX = 8192; // a JWT of a record system has some hundred characters
const LIFETIME_S_MAX = 300; // CDS Hooks 2.0: exp no more than five minutes ahead
const CLOCK_SKEW_S = 30; // both clocks are inside one hospital
const JTI_LENGTH_MAX = 256;
const SWEEP_EVERY_MS = 60_000;
const ISSUER = /^[\x21-\x7e]{1,200}$/; // in practice a URL; it is also a line of the audit log
const RSA_BITS_MIN = 2048; // RFC 7518 section 3.3

export type CdsClientDeps = {
  readonly database: Database;
  readonly clock: Clock;
  /** Address under which record systems call this site. */
  readonly publicUrl: () => string;
};

/** The verifier for routes of access `cds-client`. Throws `auth.missing` or `auth.rejected` naming the rule. */
export function createCdsClientVerifier(
  deps: CdsClientDeps,
): (request: RequestIdentity) => Promise<{ readonly clientId: string }> {
  const db = deps.database.kysely<store.BedsideTables>();
  let sweptMs = Number.NEGATIVE_INFINITY;
  return async (request) => {
    const token = bearerToken(request);
    const now = deps.clock.now();
    const { issuer, jti, expiresAt } = await verifiedToken(db, token, {
      audience: audiencesOf(deps.publicUrl(), request.target),
      now,
    });
    const keptUntil = new Date(expiresAt.getTime() + CLOCK_SKEW_S * 1000);
    if (!(await store.spendToken(db, { issuer, jti, expires_at: keptUntil }))) {
      throw rejected('this token was used before (jti)');
    }
    if (deps.clock.monotonicMs() - sweptMs >= SWEEP_EVERY_MS) {
      sweptMs = deps.clock.monotonicMs();
      await store.sweepTokens(db, now);
    }
    return { clientId: issuer };
  };
}

function rejected(rule: string, cause?: unknown): AppError {
  return new AppError('auth.rejected', `The record system's token is not accepted: ${rule}.`, { cause });
}

function bearerToken({ headers }: RequestIdentity): string {
  const header = headers.authorization;
  if (header === undefined) throw new AppError('auth.missing', 'The request has no Authorization header.');
  const token = /^Bearer ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i.exec(header)?.[1];
  if (token === undefined || token.length > TOKEN_LENGTH_MAX) throw rejected('it is not "Bearer" and a signed JWT');
  return token;
}

/** The address that was called; for feedback also that of its service. */
function audiencesOf(publicUrl: string, target: string): string[] {
  const base = publicUrl.replace(/\/+$/, '');
  const [path = ''] = target.split('?');
  const service = path.replace(/\/feedback$/, '');
  return [...new Set([`${base}${path}`, `${base}${service}`])];
}

async function verifiedToken(
  db: store.BedsideDb,
  token: string,
  { audience, now }: { audience: string[]; now: Date },
): Promise<{ issuer: string; jti: string; expiresAt: Date }> {
  const claimed = claimedIssuer(token);
  const client = await store.findClient(db, claimed);
  if (client === undefined) throw rejected('its issuer is not registered here (iss)');
  const payload = await verifySignature(token, client, { audience, now });
  return checkClaims(payload, { issuer: claimed, now });
}

/** Read before the signature is verified, only to find the key. */
function claimedIssuer(token: string): string {
  let payload: JWTPayload;
  try {
    payload = decodeJwt(token);
  } catch (cause) {
    throw rejected('it is not a JWT', cause);
  }
  if (typeof payload.iss !== 'string' || payload.iss === '') throw rejected('it names no issuer (iss)');
  return payload.iss;
}

async function verifySignature(
  token: string,
  client: { issuer: string; public_key_pem: string; algorithm: NewCdsClient['algorithm'] },
  { audience, now }: { audience: string[]; now: Date },
): Promise<JWTPayload> {
  const key = await importSPKI(client.public_key_pem, client.algorithm);
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [client.algorithm],
      issuer: client.issuer,
      audience,
      typ: 'JWT',
      currentDate: now,
      clockTolerance: CLOCK_SKEW_S,
      requiredClaims: ['iss', 'aud', 'exp', 'iat', 'jti'],
    });
    return payload;
  } catch (cause) {
    throw rejected(ruleOf(cause), cause);
  }
}

/** Our words for jose's findings; its messages may quote the token. */
function ruleOf(cause: unknown): string {
  if (cause instanceof errors.JWTExpired) return 'it has expired (exp)';
  if (cause instanceof errors.JWTClaimValidationFailed) return `claim ${cause.claim} is missing or wrong`;
  if (cause instanceof errors.JOSEAlgNotAllowed) return 'its algorithm is not the one registered with the key (alg)';
  return 'its signature does not verify';
}

function checkClaims(
  { exp, iat, jti }: JWTPayload,
  { issuer, now }: { issuer: string; now: Date },
): { issuer: string; jti: string; expiresAt: Date } {
  const nowS = now.getTime() / 1000;
  if (exp === undefined || iat === undefined) throw rejected('exp or iat is missing');
  if (exp - nowS > LIFETIME_S_MAX + CLOCK_SKEW_S || exp - iat > LIFETIME_S_MAX) {
    throw rejected(`it lives longer than ${LIFETIME_S_MAX} seconds (exp)`);
  }
  if (iat > nowS + CLOCK_SKEW_S) throw rejected('it was issued in the future (iat)');
  if (typeof jti !== 'string' || jti === '' || jti.length > JTI_LENGTH_MAX) throw rejected('jti is empty or too long');
  return { issuer, jti, expiresAt: new Date(exp * 1000) };
}

/** Refuses an issuer that is not a plain name, and a key that cannot verify what its algorithm signs: `input.invalid`. */
export async function assertClient({ issuer, publicKeyPem, algorithm }: NewCdsClient): Promise<void> {
  if (!ISSUER.test(issuer)) {
    throw new AppError('input.invalid', 'issuer is not up to 200 printable characters without blanks.', {
      field: '/issuer',
    });
  }
  try {
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = createPublicKey(publicKeyPem);
    const fits =
      publicKeyPem.trimStart().startsWith('-----BEGIN PUBLIC KEY-----') &&
      KEY_RULES[algorithm]({ type, curve: details?.namedCurve, bits: details?.modulusLength ?? 0 });
    if (!fits) throw new TypeError('another kind of key');
    await importSPKI(publicKeyPem, algorithm);
  } catch (cause) {
    const message = `publicKeyPem is not an SPKI public key for ${algorithm}.`;
    throw new AppError('input.invalid', message, { field: '/publicKeyPem', cause });
  }
}

type KeyFacts = { readonly type: string | undefined; readonly curve: string | undefined; readonly bits: number };

const KEY_RULES: Readonly<Record<NewCdsClient['algorithm'], (key: KeyFacts) => boolean>> = {
  EdDSA: ({ type }) => type === 'ed25519',
  ES256: ({ type, curve }) => type === 'ec' && curve === 'prime256v1',
  ES384: ({ type, curve }) => type === 'ec' && curve === 'secp384r1',
  RS384: ({ type, bits }) => type === 'rsa' && bits >= RSA_BITS_MIN,
};
