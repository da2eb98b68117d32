/**
 * One HTTP operation as data: method, path and the schemas of what goes in and out. Server and client read the same table,
 * so neither can drift, and the OpenAPI document is printed from it.
 */
import type { Static, TSchema } from 'typebox';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/**
 * `path` has `:name` parameters. `response` is the schema of the body of a success; absent for byte streams. Bytes are of the
 * media types named, in or out; `application/octet-stream` where none are. JSON is called by the first, `application/json` where
 * none is. `openQuery`: which query parameters there are depends on the data, so that the operation reads them itself.
 */
export type Endpoint = {
  readonly method: Method;
  readonly path: string;
  readonly summary: string;
  readonly params?: TSchema;
  readonly query?: TSchema;
  readonly openQuery?: true;
  readonly body?: TSchema;
  readonly response?: TSchema;
  readonly requestTypes?: readonly string[];
  readonly responseTypes?: readonly string[];
};

type StaticOf<T> = T extends TSchema ? Static<T> : undefined;
export type ParamsOf<E extends Endpoint> = StaticOf<E['params']>;
export type QueryOf<E extends Endpoint> = StaticOf<E['query']>;
export type BodyOf<E extends Endpoint> = StaticOf<E['body']>;
export type ResponseOf<E extends Endpoint> = StaticOf<E['response']>;

/** Keeps the literal types of an endpoint while checking its form. */
export function endpoint<const E extends Endpoint>(definition: E): E {
  return definition;
}

/** Fills `:name` parameters of a path; every value is percent-encoded. */
export function pathOf(definition: Endpoint, params: Readonly<Record<string, string>> = {}): string {
  return definition.path.replace(/:([A-Za-z]+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
}
