/**
 * Who is asking: turns the credentials of a request into a caller, by the access its route declares.
 *
 * Invariant: this runs on the head of a request, before its body is read and before any parameter is parsed, so that
 * somebody without access learns nothing from how input is refused and cannot make the server read a body.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { AppError, type Digest } from '@lantern/contract';
import { type SignatureVerifier, verifyRequest } from '../identity/http-signature.ts';
import type { Access, Caller, CdsCaller, Principal } from './route.ts';

const TOKEN_LENGTH_MAX = 512; // ours have 51 characters

export type RequestIdentity = {
  readonly method: string;
  /** The request target as received. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
};

export type Authenticators = {
  /** `undefined`: not a valid token now. */
  readonly token: (token: string) => Promise<Principal | undefined>;
  readonly site?: SignatureVerifier<{ readonly siteId: string }>;
  /** Throws `auth.missing` or `auth.rejected`. */
  readonly cdsClient?: (request: RequestIdentity) => Promise<Omit<CdsCaller, 'kind'>>;
};

/** `bodyDigest` is there for a signed request: its body must have this digest. */
export type Authenticated = { readonly caller: Caller; readonly bodyDigest?: Digest };

/** The token of an `Authorization: Bearer` header; `undefined` when it is none that could be valid. */
export function bearerToken(header: string | undefined): string | undefined {
  const token = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(header ?? '')?.[1];
  return token !== undefined && token.length <= TOKEN_LENGTH_MAX ? token : undefined;
}

async function authenticateUser(
  request: RequestIdentity,
  access: Extract<Access, { kind: 'roles' }>,
  authenticators: Authenticators,
): Promise<Authenticated> {
  const header = request.headers.authorization;
  if (header === undefined) throw new AppError('auth.missing', 'The request has no Authorization header.');
  const token = bearerToken(header);
  if (token === undefined) {
    throw new AppError('auth.rejected', 'The Authorization header is not "Bearer" and a token.');
  }
  const principal = await authenticators.token(token);
  if (principal === undefined) throw new AppError('auth.rejected', 'The token is unknown, revoked or expired.');
  if (!principal.roles.some((role) => access.roles.includes(role))) {
    throw new AppError('auth.forbidden', `This needs one of the roles: ${access.roles.join(', ')}.`);
  }
  return { caller: { kind: 'user', ...principal } };
}

async function authenticateSite(request: RequestIdentity, authenticators: Authenticators): Promise<Authenticated> {
  if (authenticators.site === undefined) throw new AppError('internal', 'No verifier for signed requests was given.');
  const { keyId, owner, bodyDigest } = await verifyRequest(request, authenticators.site);
  return { caller: { kind: 'site', siteId: owner.siteId, keyId }, bodyDigest };
}

async function authenticateCdsClient(request: RequestIdentity, authenticators: Authenticators): Promise<Authenticated> {
  if (authenticators.cdsClient === undefined) throw new AppError('internal', 'No verifier for CDS clients was given.');
  return { caller: { kind: 'cds-client', ...(await authenticators.cdsClient(request)) } };
}

/** The caller of a request, or an `auth.*`, `signature.*` or `site.*` error. */
export async function authenticate(
  request: RequestIdentity,
  access: Access,
  authenticators: Authenticators,
): Promise<Authenticated> {
  switch (access.kind) {
    case 'public':
      return { caller: { kind: 'anonymous' } };
    case 'roles':
      return authenticateUser(request, access, authenticators);
    case 'site':
      return authenticateSite(request, authenticators);
    case 'cds-client':
      return authenticateCdsClient(request, authenticators);
  }
}
