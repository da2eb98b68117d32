/** Operations that every server has: is it alive, is it ready, how is it doing, what can it do. */
import { Readable } from 'node:stream';
import { AppError, endpoint } from '@lantern/contract';
import type { Meter } from '@opentelemetry/api';
import { Type } from 'typebox';
import { type Access, type ByteResponse, defineRoute, type Route } from './route.ts';

/** Where the server records its durations, and what `/metrics` prints. */
export type MetricsSource = { readonly meter: Meter; readonly text: () => Promise<string> };

/** Throws when the part is not ready; the error stays in the log. */
export type ReadyCheck = { readonly name: string; readonly check: () => Promise<void> };

export const HEALTH = endpoint({
  method: 'GET',
  path: '/health',
  summary: 'The process is alive, and which server it is',
  response: Type.Object({ status: Type.Literal('live'), server: Type.String() }),
});
export const READY = endpoint({
  method: 'GET',
  path: '/ready',
  summary: 'The process can do its work',
  response: Type.Object({ status: Type.Literal('ready'), checks: Type.Array(Type.String()) }),
});
const METRICS = endpoint({ method: 'GET', path: '/metrics', summary: 'Metrics, Prometheus text format' });
const OPEN_API = endpoint({ method: 'GET', path: '/openapi.json', summary: 'This interface as OpenAPI 3.1' });

function textAnswer(text: string, contentType: string): ByteResponse {
  const bytes = Buffer.from(text);
  return { status: 200, body: Readable.from([bytes]), sizeBytes: bytes.length, contentType };
}

export function builtInRoutes(
  options: {
    readonly title: string;
    readonly metrics: MetricsSource;
    readonly metricsAccess?: Access;
    readonly readyChecks?: readonly ReadyCheck[];
  },
  openApi: () => unknown,
): readonly Route[] {
  return [
    defineRoute(HEALTH)({
      access: { kind: 'public', why: 'says only that the process runs, and its kind' },
      handler: async () => ({ status: 'live', server: options.title }),
    }),
    defineRoute(READY)({
      access: { kind: 'public', why: 'says only which part is not ready' },
      handler: async () => {
        const checks = options.readyChecks ?? [];
        for (const { name, check } of checks) {
          await check().catch((cause: unknown) => {
            throw new AppError('database.unavailable', `Not ready: ${name}.`, { cause });
          });
        }
        return { status: 'ready', checks: checks.map(({ name }) => name) };
      },
    }),
    defineRoute(METRICS)({
      access: options.metricsAccess ?? { kind: 'roles', roles: ['admin'] },
      handler: async () => textAnswer(await options.metrics.text(), 'text/plain; version=0.0.4; charset=utf-8'),
    }),
    defineRoute(OPEN_API)({
      access: { kind: 'public', why: 'describes the interface, holds no data' },
      handler: async () => textAnswer(JSON.stringify(openApi()), 'application/json; charset=utf-8'),
    }),
  ];
}
