/** A server with one route of each kind, as the tests of the HTTP server ask it. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { AppError, DigestSchema, endpoint } from '@lantern/contract';
import { metrics } from '@opentelemetry/api';
import { pino } from 'pino';
import { Type } from 'typebox';
import { systemClock } from '../src/clock.ts';
import { parseByteRange } from '../src/http/byte-range.ts';
import { type Access, defineRoute, type Route } from '../src/http/route.ts';
import { createHttpServer, type HttpServer } from '../src/http/server.ts';

/** Stands in what must not be told. */
export const PATIENT = 'Mrs-Eleonora-Quill';
const ADMIN = { kind: 'roles', roles: ['admin'] } as const satisfies Access;
const OPEN = { kind: 'public', why: 'a test' } as const satisfies Access;
const BLOB = Buffer.from('0123456789abcdefghij');

const ECHO = endpoint({
  method: 'POST',
  path: '/api/v1/echo/:name',
  summary: 'Echo',
  params: Type.Object({ name: Type.String({ pattern: '^[a-z]+$' }) }),
  query: Type.Object({
    times: Type.Optional(Type.Integer({ minimum: 1, maximum: 9 })),
    loud: Type.Optional(Type.Boolean()),
  }),
  body: Type.Object({ text: Type.String(), weight: Type.Optional(Type.Number()) }, { additionalProperties: false }),
  response: Type.Object(
    { text: Type.String(), times: Type.Integer(), loud: Type.Boolean() },
    { additionalProperties: false },
  ),
});
const WAIT = endpoint({
  method: 'GET',
  path: '/api/v1/wait',
  summary: 'Waits until it is told to stop',
  response: Type.Object({ reason: Type.String() }),
});
const FAIL = endpoint({ method: 'GET', path: '/api/v1/fail', summary: 'Fails', response: Type.Object({}) });
const LEAK = endpoint({
  method: 'GET',
  path: '/api/v1/leak',
  summary: 'Answers more than it may',
  response: Type.Object({ ok: Type.Boolean() }, { additionalProperties: false }),
});
const REFUSE = endpoint({ method: 'GET', path: '/api/v1/refuse', summary: 'Refuses', response: Type.Object({}) });
const READ = endpoint({
  method: 'GET',
  path: '/api/v1/blobs/:digest',
  summary: 'Bytes',
  params: Type.Object({ digest: DigestSchema }),
});
const WRITE = endpoint({
  method: 'PATCH',
  path: '/api/v1/uploads',
  summary: 'Takes bytes',
  response: Type.Object({ sizeBytes: Type.Integer(), chunks: Type.Integer(), digest: Type.String() }),
});
const REUSED = endpoint({ method: 'GET', path: '/reused', summary: 'Pieces in one and the same memory' });
const BROKEN = endpoint({
  method: 'GET',
  path: '/broken/:when',
  summary: 'A body that fails',
  params: Type.Object({ when: Type.Union([Type.Literal('at-once'), Type.Literal('later'), Type.Literal('short')]) }),
});
const SECRET = endpoint({
  method: 'GET',
  path: '/api/v1/secret',
  summary: 'For admins',
  response: Type.Object({ by: Type.String() }),
});
const REMOVE = endpoint({ method: 'DELETE', path: '/api/v1/secret', summary: 'For admins', response: Type.Object({}) });

/** What the handler of `/api/v1/wait` tells: that it was entered, and why it ended. */
export type Waiter = { readonly enter: () => void; readonly reasons: string[] };

export function testRoutes(waiter: Waiter): readonly Route[] {
  return [
    defineRoute(ECHO)({
      access: OPEN,
      handler: async ({ params, query, body }) => ({
        text: `${params.name} ${body.text}`,
        times: query.times ?? 1,
        loud: query.loud ?? false,
      }),
    }),
    defineRoute(WAIT)({
      access: OPEN,
      handler: async ({ signal }) => {
        const stopped = new Promise<string>((resolve) => {
          signal.addEventListener('abort', () => resolve(String(signal.reason.message)));
        });
        waiter.enter();
        const reason = await stopped;
        waiter.reasons.push(reason);
        return { reason };
      },
    }),
    defineRoute(FAIL)({
      access: OPEN,
      handler: async () => {
        throw Object.assign(new TypeError(`no such patient: ${PATIENT}`), { detail: PATIENT });
      },
    }),
    defineRoute(LEAK)({ access: OPEN, handler: async () => Object.assign({ ok: true }, { patient: PATIENT }) }),
    defineRoute(REFUSE)({
      access: OPEN,
      handler: async () => {
        throw new AppError('policy.refused', 'The site does not allow this at night.', { field: '/hour' });
      },
    }),
    defineRoute(READ)({
      access: OPEN,
      handler: async ({ headers }) => {
        const range = parseByteRange(headers.range, BLOB.length);
        const { start, end } = range ?? { start: 0, end: BLOB.length };
        return {
          status: range === undefined ? 200 : 206,
          body: Readable.from([BLOB.subarray(start, end)]),
          sizeBytes: end - start,
          ...(range === undefined ? {} : { contentRange: range.contentRange }),
        };
      },
    }),
    defineRoute(WRITE)({
      access: OPEN,
      stream: true,
      bodyLimitBytes: 8 * 1024 * 1024,
      handler: async ({ bodyStream }) => {
        const hash = createHash('sha256');
        let sizeBytes = 0;
        let chunks = 0;
        for await (const chunk of bodyStream) {
          if (chunk[0] === 0x21) throw new AppError('policy.refused', 'No exclamation marks.');
          hash.update(chunk);
          sizeBytes += chunk.length;
          chunks += 1;
        }
        return { sizeBytes, chunks, digest: hash.digest('hex') };
      },
    }),
    defineRoute(REUSED)({
      access: OPEN,
      handler: async () => ({ status: 200, body: reusedPieces(), sizeBytes: REUSED_PIECES * REUSED_PIECE_BYTES }),
    }),
    defineRoute(BROKEN)({
      access: OPEN,
      handler: async ({ params }) => ({ status: 200, body: failingPieces(params.when), sizeBytes: 200_000 }),
    }),
    defineRoute(SECRET)({ access: ADMIN, handler: async ({ caller }) => ({ by: caller.name }) }),
    defineRoute(REMOVE)({ access: { kind: 'roles', roles: ['admin', 'viewer'] }, handler: async () => ({}) }),
  ];
}

export const REUSED_PIECES = 40;
export const REUSED_PIECE_BYTES = 300_000;

/** As a store reads a file: every piece is overwritten by the next. */
async function* reusedPieces(): AsyncGenerator<Uint8Array> {
  const memory = new Uint8Array(REUSED_PIECE_BYTES);
  for (let number = 1; number <= REUSED_PIECES; number += 1) yield memory.fill(number);
}

async function* failingPieces(when: 'at-once' | 'later' | 'short'): AsyncGenerator<Uint8Array> {
  if (when === 'at-once') throw new AppError('storage.corrupt', 'The object is not what it was.');
  yield new Uint8Array(100_000);
  if (when === 'later') throw new TypeError(`no such patient: ${PATIENT}`);
}

/** By role. */
export const TOKENS: Readonly<Record<string, string>> = { admin: 'token-of-ada', viewer: 'token-of-vic' };

export async function startServer(
  routes: readonly Route[],
  logLines: string[] = [],
): Promise<{ server: HttpServer; url: string }> {
  const server = await createHttpServer({
    routes,
    authenticators: {
      token: async (token) => {
        const role = Object.keys(TOKENS).find((name) => TOKENS[name] === token);
        return role === undefined
          ? undefined
          : { userId: 'user_aaaaaaaaaaaaaaaaaaaaaaaa' as never, name: role, roles: [role] };
      },
    },
    log: pino({ level: 'trace' }, { write: (line: string) => void logLines.push(line) }),
    metrics: { meter: metrics.getMeter('test'), text: async () => '# HELP tested yes\n' },
    clock: systemClock,
    title: 'Test',
    version: '1.2.3',
    bodyLimitBytes: 2000,
  });
  return { server, url: await server.listen({ host: '127.0.0.1', port: 0 }) };
}

/** What an error answer says. */
export async function errorOf(response: Response) {
  const { error } = Object(await response.json());
  return { status: response.status, code: error.code, field: error.field, message: String(error.message) };
}

export function postJson(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}
