/** The typed client: calls an endpoint of `HUB_API` or `SITE_API` over a transport that the caller brings. */

import { type BodyOf, type Endpoint, type ParamsOf, pathOf, type QueryOf, type ResponseOf } from './endpoint.ts';
import { AppError } from './errors.ts';
import { parse } from './parse.ts';

export type TransportRequest = {
  readonly method: Endpoint['method'];
  readonly path: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
};

/** Sends one request; returns the parsed JSON body of a success, throws `AppError` otherwise. */
export type Transport = (request: TransportRequest) => Promise<unknown>;

type Part<Name extends string, T> = [T] extends [undefined]
  ? { readonly [K in Name]?: never }
  : { readonly [K in Name]: T };
export type CallInput<E extends Endpoint> = Part<'params', ParamsOf<E>> &
  (QueryOf<E> extends undefined ? { readonly query?: never } : { readonly query?: QueryOf<E> }) &
  Part<'body', BodyOf<E>> & { readonly signal?: AbortSignal };

export type ApiClient = { call<E extends Endpoint>(operation: E, input: CallInput<E>): Promise<ResponseOf<E>> };

export function createApiClient(transport: Transport): ApiClient {
  return {
    async call(operation, input) {
      const answer = await transport({
        method: operation.method,
        path: pathWithQuery(operation, input),
        ...(input.body === undefined ? {} : { body: input.body }),
        ...(input.signal === undefined ? {} : { signal: input.signal }),
      });
      if (operation.response === undefined)
        throw new AppError('internal', `${operation.path} answers bytes, not JSON.`);
      return parse(operation.response, answer, { what: `Answer of ${operation.method} ${operation.path}` }) as never;
    },
  };
}

function pathWithQuery(operation: Endpoint, input: { params?: unknown; query?: unknown }): string {
  const path = pathOf(operation, textMembers(input.params));
  const query = new URLSearchParams(textMembers(input.query)).toString();
  return query === '' ? path : `${path}?${query}`;
}

function textMembers(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => (member === undefined ? [] : [[name, String(member)]])),
  );
}
