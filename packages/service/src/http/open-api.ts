/** The OpenAPI 3.1 document: printed from the same routes that answer, so it cannot drift. */

import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { Endpoint } from '@lantern/contract';
import type { FastifySchema } from 'fastify';
import { ErrorResponseSchema } from './error-response.ts';
import type { Access, Route } from './route.ts';

export function openApiOptions(title: string, version: string): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: { title, version },
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'API token of a local account' },
          siteSignature: {
            type: 'apiKey',
            in: 'header',
            name: 'Signature',
            description: 'HTTP Message Signature (RFC 9421), Ed25519, with Signature-Input and Content-Digest',
          },
          cdsClient: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'CDS Hooks client' },
        },
      },
    },
  };
}

function securityOf(access: Access): { [name: string]: string[] }[] {
  switch (access.kind) {
    case 'public':
      return [];
    case 'roles':
      return [{ token: [] }];
    case 'site':
      return [{ siteSignature: [] }];
    case 'cds-client':
      return [{ cdsClient: [] }];
  }
}

/** Who may call, in words. */
export function describeAccess(access: Access): string {
  switch (access.kind) {
    case 'public':
      return `Public: ${access.why}`;
    case 'roles':
      return `Roles: ${access.roles.join(', ')}`;
    case 'site':
      return 'Enrolled sites, by a signed request';
    case 'cds-client':
      return 'Trusted CDS clients';
  }
}

const BYTES = { type: 'string', format: 'binary' };
const OCTETS = 'application/octet-stream';

/** The plugin calls JSON `application/json` by itself; other names have to be spelt out. */
function successOf({ response, responseTypes }: Endpoint): object {
  if (response !== undefined && responseTypes === undefined) return response;
  const description = response === undefined ? 'The bytes, whole or a range' : 'A success';
  const content = (responseTypes ?? [OCTETS]).map((type) => [type, { schema: response ?? BYTES }]);
  return { description, content: Object.fromEntries(content) };
}

/** What @fastify/swagger prints for a route. The server parses by the contract's schemas itself, not by these. */
export function openApiSchema(route: Route): FastifySchema {
  const { endpoint } = route;
  return {
    summary: endpoint.summary,
    description: describeAccess(route.access),
    security: securityOf(route.access),
    ...(route.stream ? { consumes: [...(endpoint.requestTypes ?? [OCTETS])], body: BYTES } : {}),
    ...(endpoint.body === undefined ? {} : { body: endpoint.body }),
    ...(endpoint.params === undefined ? {} : { params: endpoint.params }),
    ...(endpoint.query === undefined ? {} : { querystring: endpoint.query }),
    response: { [route.status]: successOf(endpoint), default: { description: 'A failure', ...ErrorResponseSchema } },
  };
}
