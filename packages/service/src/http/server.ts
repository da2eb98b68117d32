/**
 * The HTTP server of hub and site: Fastify under a list of routes.
 *
 * A request passes, in this order: correlation id, caller (from the head alone), body (bounded, digest), path, query and
 * body schemas, handler, answer schema. Every failure leaves in one form. An answer that does not fit its schema is a
 * fault of ours and is not sent: what the contract does not name cannot slip out.
 *
 * States: built, listening, closing (new requests are refused with `stopped`, running ones told to end by their signal),
 * closed. Logs hold method, route pattern, status, duration and caller id; never a body, a query or a path value.
 */
import { randomUUID } from 'node:crypto';
import swagger from '@fastify/swagger';
import { AppError, parse } from '@lantern/contract';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type HTTPMethods } from 'fastify';
import type { Clock } from '../clock.ts';
import { verifyRequest } from '../identity/http-signature.ts';
import { publicKeyFromPem } from '../identity/key-pair.ts';
import type { NonceStore } from '../identity/nonce-store.ts';
import type { Logger } from '../log.ts';
import { type Authenticators, authenticate } from './authentication.ts';
import { builtInRoutes, type MetricsSource, type ReadyCheck } from './built-in-routes.ts';
import { sendBytes } from './byte-answer.ts';
import { errorResponse, fromServerError } from './error-response.ts';
import { describeFault } from './fault-log.ts';
import { BODY_BYTES_MAX_DEFAULT, PARAM_LENGTH_MAX } from './limits.ts';
import { closeListener, createListener, listenOn, type TlsMaterial } from './listener.ts';
import { openApiOptions, openApiSchema } from './open-api.ts';
import { originOf } from './origin.ts';
import { peerNetwork } from './peer-network.ts';
import {
  assertStreamType,
  checkUnreadBody,
  installBodyParsers,
  noBody,
  streamedBody,
  typesTaken,
} from './request-body.ts';
import { parseTextFields } from './request-input.ts';
import { type RequestState, RequestStates } from './request-state.ts';
import type { Access, ByteResponse, Caller, HttpRequest, Route } from './route.ts';

export type HttpServerOptions = {
  readonly routes: readonly Route[];
  readonly authenticators: Authenticators;
  readonly log: Logger;
  readonly metrics: MetricsSource;
  readonly clock: Clock;
  /** Name and version as the OpenAPI document shows them. */
  readonly title: string;
  readonly version: string;
  /** What `/ready` asks; ready when all are. */
  readonly readyChecks?: readonly ReadyCheck[];
  /** Who may read `/metrics`; role `admin` when absent. */
  readonly metricsAccess?: Access;
  /** Greatest body of a route that names none [bytes]. */
  readonly bodyLimitBytes?: number;
  /** Plain HTTP when absent. */
  readonly tls?: TlsMaterial;
  /** Under which callers reach this server, where a proxy stands before it. */
  readonly publicUrl?: string;
};

export type HttpServer = {
  readonly app: FastifyInstance;
  /** Every route of the server with its access, built-in ones too. */
  readonly routes: readonly Route[];
  /** Listens and gives the URL, with the real port when 0 was asked for. */
  readonly listen: (at: { readonly host: string; readonly port: number }) => Promise<string>;
  /** Ends long polls, waits for running requests up to a limit, then cuts them. May be called twice. */
  readonly close: () => Promise<void>;
};

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;
const STRICT_TRANSPORT_SECURITY = 'max-age=31536000';

function correlationIdOf(header: string | readonly string[] | undefined): string {
  return typeof header === 'string' && /^[A-Za-z0-9-]{8,64}$/.test(header) ? header : randomUUID();
}

function callerName(caller: Caller): string {
  switch (caller.kind) {
    case 'anonymous':
      return 'anonymous';
    case 'user':
      return caller.userId;
    case 'site':
      return caller.siteId;
    case 'cds-client':
      return 'cds-client';
  }
}

type Refused = { readonly correlationId: string; readonly route?: Route | undefined };

function sendError(reply: FastifyReply, error: AppError, { correlationId, route }: Refused): void {
  const own = route?.errorBody?.(error);
  reply
    .code(error.httpStatus)
    .headers({ ...SECURITY_HEADERS, 'x-correlation-id': correlationId })
    .type(own?.contentType ?? 'application/json; charset=utf-8')
    .send(own?.body ?? JSON.stringify(errorResponse(error, correlationId)));
}

function createFastify(options: HttpServerOptions): FastifyInstance {
  const app = Fastify({
    logger: false,
    exposeHeadRoutes: false, // a HEAD of a large blob would read it
    return503OnClosing: false, // we answer in our own form
    bodyLimit: options.bodyLimitBytes ?? BODY_BYTES_MAX_DEFAULT,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    genReqId: (raw) => correlationIdOf(raw.headers['x-correlation-id']),
    serverFactory: (listener) => createListener(options.tls, listener),
    frameworkErrors: (fault, request, reply) => {
      const error = fromServerError(fault, { bodyBytesMax: request.routeOptions.bodyLimit });
      sendError(reply, error, { correlationId: request.id });
    },
  });
  app.setValidatorCompiler(() => () => true); // the contract's `parse` does it, with our error texts
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  return app;
}

type Duration = { record(seconds: number, attributes: Record<string, string | number>): void };

function installHooks(app: FastifyInstance, states: RequestStates, options: HttpServerOptions, closing: () => boolean) {
  const { clock, log } = options;
  const duration: Duration = options.metrics.meter.createHistogram('http.server.request.duration', {
    unit: 's',
    description: 'Time from the head of a request to the end of its answer',
  });
  app.addHook('onRequest', async (request, reply) => {
    const state = states.open(request, clock.monotonicMs());
    reply.headers(SECURITY_HEADERS).header('x-correlation-id', state.correlationId);
    if (options.tls !== undefined) reply.header('strict-transport-security', STRICT_TRANSPORT_SECURITY);
    reply.raw.once('close', () => states.end(state));
    if (closing()) throw new AppError('stopped', 'The server is shutting down.');
  });
  app.addHook('onSend', async (_request, reply) => {
    if (closing()) reply.header('connection', 'close');
  });
  app.addHook('onResponse', async (request, reply) => {
    const state = states.of(request);
    const route = request.routeOptions.url ?? 'unknown';
    const durationMs = clock.monotonicMs() - state.startedMs;
    const attributes = { 'http.request.method': request.method, 'http.route': route };
    duration.record(durationMs / 1000, { ...attributes, 'http.response.status_code': reply.statusCode });
    log.info(
      {
        correlationId: state.correlationId,
        method: request.method,
        route,
        status: reply.statusCode,
        durationMs: Math.round(durationMs * 10) / 10,
        caller: callerName(state.caller),
      },
      'request',
    );
  });
  app.setErrorHandler((fault, request, reply) => {
    const { route } = states.of(request);
    const types = typesTaken(route);
    const error = fromServerError(fault, { bodyBytesMax: request.routeOptions.bodyLimit, types });
    if (error.httpStatus >= 500) {
      log.error({ correlationId: request.id, code: error.code, fault: describeFault(error) }, 'request failed');
    }
    sendError(reply, error, { correlationId: request.id, route });
  });
  app.setNotFoundHandler(() => {
    throw new AppError('not-found', 'There is no operation with this path; /openapi.json lists those there are.');
  });
}

function isByteResponse(result: unknown): result is ByteResponse {
  return typeof result === 'object' && result !== null && 'body' in result && 'status' in result;
}

/** For keys that nobody vouches for yet; see `HttpRequest.verifySignedBy`. */
const NOT_REMEMBERED: NonceStore = { spend: async () => true };

async function verifySelfSigned(
  publicKeyPem: string,
  request: FastifyRequest,
  state: RequestState,
  authenticators: Authenticators,
): Promise<void> {
  const { site } = authenticators;
  if (site === undefined) throw new AppError('internal', 'No verifier for signed requests was given.');
  const { keyId, publicKey } = publicKeyFromPem(publicKeyPem);
  const { bodyDigest } = await verifyRequest(
    { method: request.method, target: request.raw.url ?? '', headers: request.headers },
    {
      ...site,
      nonces: NOT_REMEMBERED,
      lookupKey: async (named) =>
        named === keyId ? { state: 'active', publicKey, owner: keyId } : { state: 'unknown' },
    },
  );
  state.signedDigest = bodyDigest;
  if (state.receivedDigest === undefined) checkUnreadBody(state);
  else if (state.receivedDigest !== bodyDigest) {
    throw new AppError('input.digest-mismatch', 'The body does not have the digest that Content-Digest names.');
  }
}

function requestOf(
  route: Route,
  request: FastifyRequest,
  state: RequestState,
  options: HttpServerOptions,
): HttpRequest {
  const { endpoint } = route;
  const limit = route.bodyLimitBytes ?? options.bodyLimitBytes ?? BODY_BYTES_MAX_DEFAULT;
  const params = parseTextFields(endpoint.params, request.params, 'path');
  const query = endpoint.openQuery === true ? undefined : parseTextFields(endpoint.query, request.query, 'query');
  if (!route.stream && endpoint.body === undefined && request.body !== undefined && request.body !== null) {
    throw new AppError('input.invalid', 'body: this operation takes none.');
  }
  if (!route.stream) checkUnreadBody(state);
  return {
    params,
    query,
    searchParams: new URLSearchParams(/\?(.*)/s.exec(request.raw.url ?? '')?.[1]),
    body: endpoint.body === undefined ? undefined : parse(endpoint.body, request.body, { what: 'body' }),
    headers: request.headers,
    caller: state.caller,
    correlationId: state.correlationId,
    origin: originOf(request.raw, options),
    peer: peerNetwork(request.raw.socket.remoteAddress),
    signal: state.controller.signal,
    bodyStream: route.stream ? streamedBody(request.raw, state, limit) : noBody(),
    verifySignedBy: (publicKeyPem) => verifySelfSigned(publicKeyPem, request, state, options.authenticators),
    answerHeaders: new Headers(),
  };
}

type RouteParts = {
  readonly states: RequestStates;
  readonly options: HttpServerOptions;
  readonly closing: () => boolean;
};

function registerRoute(app: FastifyInstance, route: Route, parts: RouteParts): void {
  const { states, options, closing } = parts;
  const { endpoint } = route;
  app.route({
    method: endpoint.method,
    url: endpoint.path,
    schema: openApiSchema(route),
    ...(route.bodyLimitBytes === undefined ? {} : { bodyLimit: route.bodyLimitBytes }),
    onRequest: async (request) => {
      const state = states.of(request);
      state.route = route;
      const head = { method: request.method, target: request.raw.url ?? '', headers: request.headers };
      const { caller, bodyDigest } = await authenticate(head, route.access, options.authenticators);
      state.caller = caller;
      state.signedDigest = bodyDigest;
      assertStreamType(route, request.headers['content-type']);
    },
    handler: async (request, reply) => {
      const asked = requestOf(route, request, states.of(request), options);
      const result = await route.handler(asked);
      if (endpoint.response === undefined) {
        if (!isByteResponse(result)) throw new AppError('internal', 'A byte route gave no byte answer.');
        return sendBytes(reply, {
          response: result,
          isLast: closing(),
          onBreak: (fault) => {
            options.log.error({ correlationId: request.id, fault: describeFault(fault) }, 'an answer broke off');
          },
        });
      }
      const body = parse(endpoint.response, result, { what: 'response', code: 'internal' });
      for (const [name, value] of asked.answerHeaders) reply.header(name, value);
      const type = endpoint.responseTypes?.[0] ?? 'application/json; charset=utf-8';
      return reply
        .code(route.status)
        .type(type)
        .send(Buffer.from(JSON.stringify(body)));
    },
  });
}

/** Answers 405 with `Allow` for a known path under another method. */
function registerRefusedMethods(app: FastifyInstance, routes: readonly Route[]): void {
  const allowed = Map.groupBy(routes, (route) => route.endpoint.path);
  for (const [path, here] of allowed) {
    const methods = here.map((route) => route.endpoint.method);
    app.route({
      method: METHODS.filter((method) => !methods.some((known) => known === method)),
      url: path,
      schema: { hide: true },
      onRequest: async (_request, reply) => {
        reply.header('allow', methods.join(', '));
        throw new AppError('input.method-not-allowed', `This path takes ${methods.join(', ')}.`);
      },
      handler: async () => undefined,
    });
  }
}

/** Builds the server; it answers once `listen` has resolved. */
export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  let closing = false;
  const app = createFastify(options);
  const states = new RequestStates();
  const routes = [...options.routes, ...builtInRoutes(options, () => app.swagger())];
  await app.register(swagger, openApiOptions(options.title, options.version));
  installBodyParsers(app, states);
  installHooks(app, states, options, () => closing);
  const parts = { states, options, closing: () => closing };
  for (const route of routes) if (!route.stream) registerRoute(app, route, parts);
  await app.register(async (scope) => {
    scope.removeContentTypeParser('application/json'); // a stream of JSON is a stream: read by its route, not before it
    for (const route of routes) if (route.stream) registerRoute(scope, route, parts);
  });
  registerRefusedMethods(app, routes);
  await app.ready();
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    closing = true;
    states.stopAll();
    await closeListener(app.server);
    await app.close();
  };
  return {
    app,
    routes,
    listen: (at) => listenOn(app.server, at, options.tls === undefined ? 'http' : 'https'),
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}
