/**
 * A route is an operation of the contract, who may call it, and what answers.
 *
 * `access` is a closed union, so no route can be added without saying who may use it; `assertRouteAuthorisation` then asks
 * every route with every credential. The types of parameters, query, body, answer and caller follow from the contract and
 * the access.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { AppError, BodyOf, Endpoint, ParamsOf, QueryOf, ResponseOf, UserId } from '@lantern/contract';
import type { TSchema } from 'typebox';

export type Access =
  /** Anybody; `why` stands in the list of routes. */
  | { readonly kind: 'public'; readonly why: string }
  /** A person or program with a token that has one of these roles. */
  | { readonly kind: 'roles'; readonly roles: readonly string[] }
  /** An enrolled site, by a signed request. */
  | { readonly kind: 'site' }
  /** A trusted EHR, by its own verifier. */
  | { readonly kind: 'cds-client' };

/** The holder of a valid token: the roles are those of the account now, narrowed by the token. */
export type Principal = { readonly userId: UserId; readonly name: string; readonly roles: readonly string[] };

export type Anonymous = { readonly kind: 'anonymous' };
export type UserCaller = Principal & { readonly kind: 'user' };
export type SiteCaller = { readonly kind: 'site'; readonly siteId: string; readonly keyId: string };
export type CdsCaller = { readonly kind: 'cds-client'; readonly clientId: string };
export type Caller = Anonymous | UserCaller | SiteCaller | CdsCaller;

export type CallerOf<A extends Access> = A extends { kind: 'public' }
  ? Anonymous
  : A extends { kind: 'roles' }
    ? UserCaller
    : A extends { kind: 'site' }
      ? SiteCaller
      : CdsCaller;

export type HttpRequest<E extends Endpoint = Endpoint, A extends Access = Access> = {
  readonly params: ParamsOf<E>;
  readonly query: QueryOf<E>;
  /** The query as it came, for an operation with `openQuery`; otherwise `query` has it all. */
  readonly searchParams: URLSearchParams;
  readonly body: BodyOf<E>;
  readonly headers: IncomingHttpHeaders;
  readonly caller: CallerOf<A>;
  readonly correlationId: string;
  /** The network the request came from (peer-network.ts): the proxy's where there is one in front. */
  readonly peer: string;
  /** Scheme and host under which the caller reaches this server, to build links from; without a slash at its end. */
  readonly origin: string;
  /** Aborts when the client goes away or the server closes; a long poll must end then. */
  readonly signal: AbortSignal;
  /**
   * The body of a `stream` route: not buffered, bounded by `bodyLimitBytes`, digest-checked when the request is signed.
   * Throws at its end when the digest differs, so nothing may be acknowledged before it has ended.
   */
  readonly bodyStream: AsyncIterable<Uint8Array>;
  /**
   * For a request signed with a key that is not enrolled yet (enrolment itself): verifies signature, time and body with
   * that key. Throws the `signature.*` codes; `site.unknown` when the signature names another key. Its nonce is not
   * remembered, since anybody can bring a key and would fill the table: the operation must be one-time by itself, as
   * enrolment is by its code.
   */
  readonly verifySignedBy: (publicKeyPem: string) => Promise<void>;
  /** Headers to go with the answer of a JSON route, where it is a success. */
  readonly answerHeaders: Headers;
};

/** Statuses that a byte route may choose itself: those of the standards whose paths it serves. */
type ByteStatus =
  | (200 | 201 | 202 | 204 | 206 | 304)
  | (400 | 403 | 404 | 405 | 406 | 409 | 410 | 412 | 413 | 415 | 422 | 501 | 507);

/** A refusal in the form that a standard wants for its paths. */
export type ErrorBody = (error: AppError) => { readonly contentType: string; readonly body: string };

/**
 * A byte answer. `body` must hold exactly `sizeBytes`, and may overwrite a piece when it is asked for the next one; `status` 206
 * with `contentRange` for a part. Without `sizeBytes`, which is for what is made while it is sent, the answer is chunked, and one
 * that breaks off is told by its missing end.
 */
export type ByteResponse = {
  readonly status: ByteStatus;
  readonly body: AsyncIterable<Uint8Array>;
  readonly sizeBytes?: number;
  readonly contentType?: string;
  readonly contentRange?: string;
  /** Further ones, by their names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
};

export type HandlerResult<E extends Endpoint> = E['response'] extends TSchema ? ResponseOf<E> : ByteResponse;

export type RouteOptions<E extends Endpoint, A extends Access> = {
  readonly access: A;
  /** Status of a success of a JSON route; 200 when absent. */
  readonly status?: 200 | 201 | 202;
  /** Greatest body; the server's default when absent. */
  readonly bodyLimitBytes?: number;
  /** The body is of the media types of the operation and handed over as `bodyStream`. */
  readonly stream?: true;
  /** How refusals of this path look, where not like all others. */
  readonly errorBody?: ErrorBody;
  readonly handler: (request: HttpRequest<E, A>) => Promise<HandlerResult<E>>;
};

/** A route whose types were checked by `defineRoute` and are no longer needed. */
export type Route = {
  readonly endpoint: Endpoint;
  readonly access: Access;
  readonly status: number;
  readonly bodyLimitBytes: number | undefined;
  readonly stream: boolean;
  readonly errorBody: ErrorBody | undefined;
  readonly handler: (request: HttpRequest) => Promise<unknown>;
};

/**
 * Binds an operation of the contract to its access and handler: `defineRoute(HUB_API.listSites)({ access, handler })`.
 * Two calls, because only then does the compiler read the handler's answer as the contract's type.
 */
export function defineRoute<const E extends Endpoint>(
  endpoint: E,
): <const A extends Access>(options: RouteOptions<E, A>) => Route {
  return (options) => ({
    endpoint,
    access: options.access,
    status: options.status ?? 200,
    bodyLimitBytes: options.bodyLimitBytes,
    stream: options.stream ?? false,
    errorBody: options.errorBody,
    // The server parses params, query and body by the schemas of `endpoint` and authenticates by `access` before it calls,
    // so the request it hands over is of the narrower type.
    handler: (request) => options.handler(request as unknown as HttpRequest<E, typeof options.access>),
  });
}
