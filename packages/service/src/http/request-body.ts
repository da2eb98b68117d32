/**
 * Bodies: JSON is read whole, bounded, compared with the signed digest and parsed; byte streams are handed on unbuffered.
 *
 * Invariant: a handler never sees a JSON body whose digest differs from the signed one, and never the end of a stream
 * whose digest differs.
 */
import type { IncomingMessage } from 'node:http';
import { AppError } from '@lantern/contract';
import type { FastifyInstance } from 'fastify';
import { checkBodyDigest, digestCheckedBody, EMPTY_BODY_DIGEST } from '../identity/content-digest.ts';
import { sha256 } from '../identity/digest.ts';
import { gatheredBytes } from './gathered-bytes.ts';
import type { RequestState, RequestStates } from './request-state.ts';
import type { Route } from './route.ts';

function unsupported(expected: string): AppError {
  return new AppError('input.unsupported', `This operation takes ${expected}.`, { field: 'content-type' });
}

const OCTETS = 'application/octet-stream';

/** Media types of the body of an operation; of a path that no operation has: none. */
export function typesTaken(route: Route | undefined): readonly string[] {
  if (route === undefined) return [];
  return route.stream ? (route.endpoint.requestTypes ?? [OCTETS]) : ['application/json'];
}

/**
 * Refuses what a stream route does not take. On the head of the request: the parser of JSON would read a body whole, up to the
 * limit of the route, which for streams is not one of memory.
 */
export function assertStreamType(route: Route, contentType: string | undefined): void {
  if (!route.stream || contentType === undefined) return;
  const types = typesTaken(route);
  const [type = ''] = contentType.split(';');
  if (!types.includes(type.trim().toLowerCase())) throw unsupported(types.join(' or '));
}

/** Teaches the server JSON, and to hand on the bodies of stream routes; everything else is `input.unsupported`. */
export function installBodyParsers(app: FastifyInstance, states: RequestStates): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const state = states.of(request);
    try {
      if (request.headers['content-digest'] !== undefined) state.receivedDigest = sha256(body);
      if (state.signedDigest !== undefined) checkBodyDigest(body, state.signedDigest);
    } catch (caught) {
      return done(caught instanceof Error ? caught : new AppError('internal', 'A body check failed.'));
    }
    void parseJson(request, body.toString('utf8'), done); // answers through `done`, never by a promise
  });
  app.addContentTypeParser('*', (request, payload, done) => {
    const { route } = states.of(request);
    const isNamed = request.headers['content-type'] !== undefined;
    return route?.stream === true && isNamed ? done(null, payload) : done(unsupported(typesTaken(route).join(' or ')));
  });
}

/** Compares the digest of a request without a body that was read: its signature must have covered nothing. */
export function checkUnreadBody(state: RequestState): void {
  if (state.signedDigest === undefined || state.receivedDigest !== undefined) return;
  if (state.signedDigest !== EMPTY_BODY_DIGEST) {
    throw new AppError('input.digest-mismatch', 'The request has no body but Content-Digest names one.', {
      field: 'content-digest',
    });
  }
}

async function* bounded(source: IncomingMessage, bytesMax: number): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  try {
    // A handler that stops early must leave the socket open, or it could not send its refusal.
    for await (const chunk of source.iterator({ destroyOnReturn: false })) {
      if (!(chunk instanceof Uint8Array)) throw new AppError('internal', 'A body chunk is not bytes.');
      bytes += chunk.length;
      if (bytes > bytesMax) throw tooLarge(bytesMax);
      yield chunk;
    }
  } finally {
    // What was not read must pass by, or the next request on this connection would never be seen.
    source.resume();
  }
}

function tooLarge(bytesMax: number): AppError {
  return new AppError('input.too-large', `The body is larger than ${bytesMax} bytes.`);
}

/** The body of a stream route: gathered, bounded, and digest-checked when the request was signed. */
export function streamedBody(
  source: IncomingMessage,
  state: RequestState,
  bytesMax: number,
): AsyncIterable<Uint8Array> {
  if (Number(source.headers['content-length'] ?? 0) > bytesMax) throw tooLarge(bytesMax);
  const body = gatheredBytes(bounded(source, bytesMax));
  return state.signedDigest === undefined ? body : digestCheckedBody(body, state.signedDigest);
}

/** The body of a route that takes no stream. */
export async function* noBody(): AsyncGenerator<Uint8Array, void, undefined> {
  // Nothing: an empty stream is what a route without a body has.
}
