import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { metrics } from '@opentelemetry/api';
import { pino } from 'pino';
import { postJson, startServer, TOKENS, testRoutes, type Waiter } from '../../test/example-server.ts';
import { systemClock } from '../clock.ts';
import { accessTable, assertRouteAuthorisation } from './route-authorisation-check.ts';
import { createHttpServer, type HttpServer } from './server.ts';

describe('the HTTP server', () => {
  const entered = Promise.withResolvers<void>();
  const waiter: Waiter = { enter: entered.resolve, reasons: [] };
  let server: HttpServer;
  let url: string;

  before(async () => {
    ({ server, url } = await startServer(testRoutes(waiter)));
  });
  after(() => server.close());

  const post = (path: string, body: unknown) => postJson(url + path, body);

  test('a route gets typed parameters, query and body, and its answer comes back as JSON', async () => {
    const response = await post('/api/v1/echo/anna?times=3&loud=true', { text: 'hello' });
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { text: 'anna hello', times: 3, loud: true });
  });

  test('every answer carries the security headers and a correlation id', async () => {
    for (const path of ['/health', '/api/v1/nowhere', '/api/v1/fail', '/api/v1/%']) {
      const { headers } = await fetch(url + path, { headers: { 'x-correlation-id': 'abc-123-def' } });
      assert.equal(headers.get('x-correlation-id'), 'abc-123-def', path);
      assert.equal(headers.get('x-content-type-options'), 'nosniff', path);
      assert.equal(headers.get('cache-control'), 'no-store', path);
    }
  });

  test('a correlation id that could forge a log line is replaced', async () => {
    const { headers } = await fetch(`${url}/health`, { headers: { 'x-correlation-id': 'a b {"x":1}' } });
    assert.match(headers.get('x-correlation-id') ?? '', /^[0-9a-f-]{36}$/);
  });

  test('a client that goes away aborts the signal of its request', async () => {
    const controller = new AbortController();
    const asked = fetch(`${url}/api/v1/wait`, { signal: controller.signal });
    await entered.promise;
    controller.abort();
    await assert.rejects(asked);
    while (waiter.reasons.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(waiter.reasons, ['The client went away.']);
  });

  test('the OpenAPI document names every route with its security', async () => {
    const document = Object(await (await fetch(`${url}/openapi.json`)).json());
    assert.equal(document.openapi, '3.1.0');
    assert.deepEqual(document.info, { title: 'Test', version: '1.2.3' });
    const operations = server.routes.map(({ endpoint: { method, path } }) => {
      const operation = document.paths[path.replace(/:(\w+)/g, '{$1}')][method.toLowerCase()];
      return [`${method} ${path}`, operation.security.map((entry: object) => Object.keys(entry)[0])];
    });
    assert.deepEqual(Object.fromEntries(operations)['GET /api/v1/secret'], ['token']);
    assert.deepEqual(Object.fromEntries(operations)['POST /api/v1/echo/:name'], []);
    assert.equal(operations.length, 15);
  });

  test('readiness and liveness are public, metrics are not', async () => {
    assert.deepEqual(await (await fetch(`${url}/health`)).json(), { status: 'live', server: 'Test' });
    assert.deepEqual(await (await fetch(`${url}/ready`)).json(), { status: 'ready', checks: [] });
    assert.equal((await fetch(`${url}/metrics`)).status, 401);
    const allowed = await fetch(`${url}/metrics`, { headers: { authorization: 'Bearer token-of-ada' } });
    assert.equal(await allowed.text(), '# HELP tested yes\n');
  });

  test('every route answers every credential as it declares, and a wrong declaration is found', async () => {
    const routes = server.routes.filter(({ endpoint: { path } }) => path !== '/api/v1/wait');
    assert.equal(await assertRouteAuthorisation({ server: { routes }, url, tokensByRole: TOKENS }), 14 * 4);
    const lying = routes.map((route) =>
      route.endpoint.path === '/api/v1/secret'
        ? { ...route, access: { kind: 'roles', roles: ['viewer'] } as const }
        : route,
    );
    await assert.rejects(
      assertRouteAuthorisation({ server: { routes: lying }, url, tokensByRole: TOKENS }),
      /GET \/api\/v1\/secret as role admin: expected auth\.forbidden, got reached[\s\S]*as role viewer: expected reached, got auth\.forbidden/,
    );
    assert.equal(accessTable(routes)['DELETE /api/v1/secret'], 'Roles: admin, viewer');
  });
});

describe('closing the HTTP server', () => {
  test('a long poll is told to end and answers, then the port is free and a second close is the same', async () => {
    const gate = Promise.withResolvers<void>();
    const reasons: string[] = [];
    const { server, url } = await startServer(testRoutes({ enter: gate.resolve, reasons }));
    const polled = fetch(`${url}/api/v1/wait`);
    await gate.promise;
    const closing = server.close();
    const response = await polled;
    assert.equal(response.headers.get('connection'), 'close');
    assert.deepEqual(await response.json(), { reason: 'The server is shutting down.' });
    await closing;
    await server.close();
    await assert.rejects(fetch(`${url}/health`));
  });

  test('listening on a port that is taken says so', async () => {
    const { server, url } = await startServer([]);
    const second = await createHttpServer({
      routes: [],
      authenticators: { token: async () => undefined },
      log: pino({ level: 'silent' }),
      metrics: { meter: metrics.getMeter('test'), text: async () => '' },
      clock: systemClock,
      title: 'Second',
      version: '1',
    });
    const port = Number(new URL(url).port);
    await assert.rejects(second.listen({ host: '127.0.0.1', port }), {
      code: 'set-up.failed',
      message: /another program listens there already/,
    });
    await Promise.all([second.close(), server.close()]);
  });
});
