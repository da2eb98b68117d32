/**
 * Asks every route of a server with every kind of credential and compares what comes back with what the route declares.
 * For the tests of hub and site: a route that is added is in the matrix by itself.
 *
 * The requests are deliberately invalid beyond their credentials (ids that do not exist, empty bodies), so a role that
 * passes is refused by a schema and changes nothing.
 */
import { AssertionError } from 'node:assert';
import { type ErrorCode, pathOf } from '@lantern/contract';
import { describeAccess } from './open-api.ts';
import type { Route } from './route.ts';

type Credential = { readonly name: string; readonly role?: string; readonly token?: string };

/** Codes by which a credential is refused before the route's handler is reached. */
const CREDENTIAL_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'auth.missing',
  'auth.rejected',
  'auth.forbidden',
  'signature.missing',
  'signature.malformed',
  'signature.rejected',
]);

const OCTETS = 'application/octet-stream';
const METHODS_WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);

function bodyOf(route: Route): { body?: string; headers: Record<string, string> } {
  if (!METHODS_WITH_BODY.has(route.endpoint.method)) return { headers: {} };
  if (route.stream) return { body: 'x', headers: { 'content-type': route.endpoint.requestTypes?.[0] ?? OCTETS } };
  if (route.endpoint.body === undefined) return { headers: {} };
  return { body: '{}', headers: { 'content-type': 'application/json' } };
}

async function ask(url: string, route: Route, credential: Credential): Promise<{ status: number; code: string }> {
  const path = pathOf(route.endpoint, new Proxy({}, { get: () => 'x' }));
  const { body, headers } = bodyOf(route);
  if (credential.token !== undefined) headers['authorization'] = `Bearer ${credential.token}`;
  const request = { method: route.endpoint.method, headers, ...(body === undefined ? {} : { body }) };
  const response = await fetch(new URL(path, url), request);
  const text = await response.text();
  const code = /"code":"([a-z.-]+)"/.exec(response.ok ? '' : text)?.[1] ?? '';
  return { status: response.status, code };
}

/** What must come back: a code, or `reached` when the credential is enough. */
function expectedCode(route: Route, credential: Credential): readonly string[] {
  const { access } = route;
  switch (access.kind) {
    case 'public':
      return ['reached'];
    case 'site':
      return ['signature.missing'];
    case 'cds-client':
      return ['auth.missing', 'auth.rejected'];
    case 'roles':
      if (credential.token === undefined) return ['auth.missing'];
      if (credential.role === undefined) return ['auth.rejected'];
      return [access.roles.includes(credential.role) ? 'reached' : 'auth.forbidden'];
  }
}

/** The declared access of every route as `"GET /path": "Roles: admin"`, for a test to compare with what it wants. */
export function accessTable(routes: readonly Route[]): Record<string, string> {
  return Object.fromEntries(
    routes.map((route) => [`${route.endpoint.method} ${route.endpoint.path}`, describeAccess(route.access)]),
  );
}

/**
 * Throws an `AssertionError` that lists every cell of route x credential whose answer differs from the declaration.
 *
 * tokensByRole  for every role of this side a token of an account with that role alone
 * returns       how many cells were asked
 */
export async function assertRouteAuthorisation(options: {
  readonly server: { readonly routes: readonly Route[] };
  readonly url: string;
  readonly tokensByRole: Readonly<Record<string, string>>;
}): Promise<number> {
  const credentials: readonly Credential[] = [
    { name: 'anonymous' },
    { name: 'unknown token', token: 'lantern_not-a-token-of-anybody' },
    ...Object.entries(options.tokensByRole).map(([role, token]) => ({ name: `role ${role}`, role, token })),
  ];
  const wrong: string[] = [];
  let asked = 0;
  for (const route of options.server.routes) {
    for (const credential of credentials) {
      const { status, code } = await ask(options.url, route, credential);
      const found = CREDENTIAL_CODES.has(code) ? code : 'reached';
      const expected = expectedCode(route, credential);
      asked += 1;
      if (expected.includes(found)) continue;
      const cell = `${route.endpoint.method} ${route.endpoint.path} as ${credential.name}`;
      wrong.push(`${cell}: expected ${expected.join(' or ')}, got ${found} (${status} ${code})`);
    }
  }
  if (wrong.length > 0) throw new AssertionError({ message: `Authorisation differs:\n${wrong.join('\n')}` });
  return asked;
}
