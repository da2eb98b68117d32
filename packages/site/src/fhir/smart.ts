/**
 * SMART Backend Services (HL7 SMART App Launch 2, "Client Authentication: Asymmetric", and RFC 7523): a program that an administrator
 * registered with its public keys signs an assertion and gets a token of five minutes for the scopes that it has.
 *
 * An assertion names this very address, lives at most five minutes, and is accepted once: its `jti` is spent in the database before the
 * token is given. Only the two algorithms of the standard, only keys that were registered: no key is fetched from anywhere.
 */
import { createHash } from 'node:crypto';
import { FHIR_API, FHIR_CLIENT_API, type UserId } from '@lantern/contract';
import {
  appendAudit,
  type ByteResponse,
  type Clock,
  type Database,
  defineRoute,
  newSecret,
  type Principal,
  type Route,
  type Tx,
} from '@lantern/service';
import { createLocalJWKSet, decodeJwt, errors, type JWTPayload, jwtVerify } from 'jose';
import { ADMIN } from '../roles.ts';
import type { Sweep } from '../sweeper.ts';
import { SMART_ROLE } from './record-access.ts';
import { baseOf, bodyText, outcomeBody } from './routes.ts';
import * as store from './smart-store.ts';

const TOKEN_PREFIX = 'smart_';
const TOKEN_BYTES = 32;
const TOKEN_MS = 300_000; // the standard's recommendation; a program that works longer asks again
const ASSERTION_S_MAX = 300; // the standard: exp no more than five minutes ahead
const CLOCK_SKEW_S = 30; // both clocks are inside one hospital
const JTI_LENGTH_MAX = 256;
const ASSERTION_LENGTH_MAX = 8192; // some hundred characters in practice
const SWEEP_MS = 60_000;
const ALGORITHMS = ['RS384', 'ES384'];
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** Of one body of the token endpoint, which anybody may send. */
const BODY_BYTES_MAX = 64 * 1024;

type SmartDeps = { readonly database: Database; readonly clock: Clock };

export type Smart = {
  readonly routes: readonly Route[];
  readonly sweeps: readonly Sweep[];
  /** The program behind an access token; undefined for any other token. */
  authenticate(token: string): Promise<Principal | undefined>;
};

export function createSmart(deps: SmartDeps): Smart {
  const { database, clock } = deps;
  return {
    routes: [...publicRoutes(deps), ...clientRoutes(deps)],
    sweeps: [
      { name: 'tokens of FHIR clients', everyMs: SWEEP_MS, run: () => store.sweepExpired(database, clock.now()) },
    ],
    async authenticate(token) {
      if (!token.startsWith(TOKEN_PREFIX)) return undefined;
      const found = await store.findToken(database, hashOf(token), clock.now());
      if (found === undefined) return undefined;
      // No account: the id only names it in logs. Accounts cannot have the role.
      return {
        userId: `fhir:${found.clientId}` as UserId,
        name: `fhir:${found.clientId}`,
        roles: [SMART_ROLE, ...found.scopes],
      };
    },
  };
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** A refusal as OAuth 2.0 says it (RFC 6749 section 5.2). */
type OAuthFault = {
  readonly error: 'invalid_request' | 'invalid_client' | 'invalid_scope' | 'unsupported_grant_type';
  readonly why: string;
};

function publicRoutes(deps: SmartDeps): Route[] {
  return [
    defineRoute(FHIR_API.smartConfiguration)({
      access: { kind: 'public', why: 'says how to be authorised; holds no data' },
      handler: async (asked) =>
        json(200, {
          token_endpoint: `${baseOf(asked)}/auth/token`,
          token_endpoint_auth_methods_supported: ['private_key_jwt'],
          token_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
          grant_types_supported: ['client_credentials'],
          scopes_supported: ['system/*.read', 'system/*.write'],
          capabilities: ['client-confidential-asymmetric', 'permission-v1'],
        }),
    }),
    defineRoute(FHIR_API.smartToken)({
      access: { kind: 'public', why: 'the assertion in the body is the credential' },
      stream: true,
      bodyLimitBytes: BODY_BYTES_MAX,
      errorBody: outcomeBody,
      handler: async (asked) => {
        const form = new URLSearchParams(await bodyText(asked));
        const result = await grantToken(deps, form, `${baseOf(asked)}/auth/token`);
        return 'error' in result
          ? json(400, { error: result.error, error_description: result.why })
          : json(200, result);
      },
    }),
  ];
}

function json(status: 200 | 400, value: unknown): ByteResponse {
  const bytes = Buffer.from(JSON.stringify(value));
  return {
    status,
    contentType: 'application/json',
    sizeBytes: bytes.byteLength,
    body: (async function* () {
      yield bytes;
    })(),
  };
}

type Granted = {
  readonly access_token: string;
  readonly token_type: 'bearer';
  readonly expires_in: number;
  readonly scope: string;
};

async function grantToken(
  { database, clock }: SmartDeps,
  form: URLSearchParams,
  audience: string,
): Promise<Granted | OAuthFault> {
  if (form.get('grant_type') !== 'client_credentials') {
    return { error: 'unsupported_grant_type', why: 'grant_type must be client_credentials.' };
  }
  const assertion = form.get('client_assertion') ?? '';
  if (
    form.get('client_assertion_type') !== ASSERTION_TYPE ||
    assertion === '' ||
    assertion.length > ASSERTION_LENGTH_MAX
  ) {
    return {
      error: 'invalid_request',
      why: 'client_assertion must be a signed JWT, and client_assertion_type say so.',
    };
  }
  const now = clock.now();
  const client = await store.findClient(database, claimedIssuer(assertion));
  if (client === undefined) return { error: 'invalid_client', why: 'The client is not registered here (iss).' };
  const claims = await verified(assertion, client, { audience, now });
  if (typeof claims === 'string') return { error: 'invalid_client', why: `The assertion is not accepted: ${claims}.` };
  const expiresAt = new Date(((claims.exp ?? 0) + CLOCK_SKEW_S) * 1000);
  if (!(await store.spendAssertion(database, { clientId: client.clientId, jti: claims.jti ?? '', expiresAt }))) {
    return { error: 'invalid_client', why: 'The assertion was used before (jti).' };
  }
  const scopes = grantedScopes(form.get('scope') ?? '', client.scopes);
  if (scopes.length === 0) return { error: 'invalid_scope', why: 'None of the scopes is given to this client.' };
  const token = TOKEN_PREFIX + newSecret(TOKEN_BYTES);
  const until = new Date(now.getTime() + TOKEN_MS);
  await store.addToken(database, { hash: hashOf(token), clientId: client.clientId, scopes, expiresAt: until });
  await database.transaction((tx: Tx) =>
    appendAudit(tx, {
      at: now,
      actor: `fhir:${client.clientId}`,
      action: 'fhir-client.token',
      object: `fhir:${client.clientId}`,
      outcome: 'success',
      details: { scopes: scopes.join(' ').slice(0, 200) },
    }),
  );
  return { access_token: token, token_type: 'bearer', expires_in: TOKEN_MS / 1000, scope: scopes.join(' ') };
}

/** Read before the signature is verified, only to find the keys. */
function claimedIssuer(assertion: string): string {
  try {
    const { iss } = decodeJwt(assertion);
    return typeof iss === 'string' ? iss : '';
  } catch {
    return ''; // which nobody is registered as
  }
}

/** The claims, or the rule that was broken. */
async function verified(
  assertion: string,
  client: store.FhirClient,
  { audience, now }: { readonly audience: string; readonly now: Date },
): Promise<JWTPayload | string> {
  try {
    const keys = createLocalJWKSet({ keys: client.jwks.keys.map((key) => ({ ...key })) });
    const { payload } = await jwtVerify(assertion, keys, {
      algorithms: ALGORITHMS,
      issuer: client.clientId,
      subject: client.clientId,
      audience,
      currentDate: now,
      clockTolerance: CLOCK_SKEW_S,
      requiredClaims: ['iss', 'sub', 'aud', 'exp', 'jti'],
    });
    if ((payload.exp ?? 0) * 1000 - now.getTime() > (ASSERTION_S_MAX + CLOCK_SKEW_S) * 1000)
      return 'it lives longer than five minutes (exp)';
    if (typeof payload.jti !== 'string' || payload.jti.length > JTI_LENGTH_MAX) return 'its jti is no short text';
    return payload;
  } catch (caught) {
    if (caught instanceof errors.JWTClaimValidationFailed) return `its claim ${caught.claim} is wrong`;
    if (caught instanceof errors.JWTExpired) return 'it has expired (exp)';
    if (caught instanceof errors.JOSEError) return 'its signature does not verify with a registered key';
    throw caught;
  }
}

/** What is asked for as far as the registration covers it. `system/*.read` asked of `system/Patient.read` gives the latter. */
function grantedScopes(asked: string, registered: readonly string[]): string[] {
  const granted = new Set<string>();
  for (const scope of asked.split(' ')) {
    const [, type, what] = /^system\/(\*|[A-Z][A-Za-z]+)\.(read|write|\*)$/.exec(scope) ?? [];
    if (type === undefined || what === undefined) continue;
    for (const held of registered) {
      const [, ofType = '', ofWhat = ''] = /^system\/([^.]+)\.(.+)$/.exec(held) ?? [];
      const [both, access] = [narrower(type, ofType), narrower(what, ofWhat)];
      if (both !== undefined && access !== undefined) granted.add(`system/${both}.${access}`);
    }
  }
  return [...granted];
}

function narrower(one: string, other: string): string | undefined {
  if (one === other || other === '*') return one;
  return one === '*' ? other : undefined;
}

function clientRoutes({ database, clock }: SmartDeps): Route[] {
  const shown = ({ clientId, scopes, addedAt }: store.FhirClient) => ({
    clientId,
    scopes: [...scopes],
    addedAt: addedAt.toISOString(),
  });
  return [
    defineRoute(FHIR_CLIENT_API.listFhirClients)({
      access: ADMIN,
      handler: async () => ({ clients: (await store.listClients(database)).map(shown) }),
    }),
    defineRoute(FHIR_CLIENT_API.addFhirClient)({
      access: ADMIN,
      status: 201,
      handler: async ({ body, caller }) => {
        const client = { ...body, addedAt: clock.now() };
        await database.transaction(async (tx: Tx) => {
          await store.putClient(tx, { ...client, addedBy: caller.name });
          await appendAudit(tx, {
            at: clock.now(),
            actor: `user:${caller.name}`,
            action: 'fhir-client.add',
            object: `fhir:${body.clientId}`.slice(0, 200),
            outcome: 'success',
            details: { scopes: body.scopes.join(' ').slice(0, 200) },
          });
        });
        return shown(client);
      },
    }),
    defineRoute(FHIR_CLIENT_API.removeFhirClient)({
      access: ADMIN,
      handler: async ({ params: { clientId }, caller }) => {
        const removed = await database.transaction(async (tx: Tx) => {
          const isRemoved = await store.removeClient(tx, clientId);
          await appendAudit(tx, {
            at: clock.now(),
            actor: `user:${caller.name}`,
            action: 'fhir-client.remove',
            object: `fhir:${clientId}`.slice(0, 200),
            outcome: isRemoved ? 'success' : 'refused',
            details: {},
          });
          return isRemoved;
        });
        return { removed };
      },
    }),
  ];
}
