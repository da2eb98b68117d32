/**
 * What the server knows of one request between its head and its answer. Kept beside the framework's request object, so
 * that no field of it has to be invented or trusted.
 */
import { AppError, type Digest } from '@lantern/contract';
import type { FastifyRequest } from 'fastify';
import type { Caller, Route } from './route.ts';

export type RequestState = {
  readonly correlationId: string;
  readonly startedMs: number;
  readonly controller: AbortController;
  /** Undefined for a path that no route has. */
  route: Route | undefined;
  caller: Caller;
  /** What the signed head says the body's digest is; undefined for an unsigned request. */
  signedDigest: Digest | undefined;
  /** Digest of the body as received, once it was read whole. */
  receivedDigest: Digest | undefined;
};

export class RequestStates {
  readonly #states = new WeakMap<FastifyRequest, RequestState>();
  readonly #running = new Set<AbortController>();

  open(request: FastifyRequest, startedMs: number): RequestState {
    const state: RequestState = {
      correlationId: request.id,
      startedMs,
      controller: new AbortController(),
      route: undefined,
      caller: { kind: 'anonymous' },
      signedDigest: undefined,
      receivedDigest: undefined,
    };
    this.#states.set(request, state);
    this.#running.add(state.controller);
    return state;
  }

  of(request: FastifyRequest): RequestState {
    const state = this.#states.get(request);
    if (state === undefined) throw new AppError('internal', 'A request has no state.');
    return state;
  }

  /** The connection of a request ended, with its answer or without. */
  end(state: RequestState): void {
    this.#running.delete(state.controller);
    state.controller.abort(new AppError('stopped', 'The client went away.'));
  }

  /** Tells every running request to come to an end: long polls answer now. */
  stopAll(): void {
    for (const controller of this.#running) {
      controller.abort(new AppError('stopped', 'The server is shutting down.'));
    }
  }
}
