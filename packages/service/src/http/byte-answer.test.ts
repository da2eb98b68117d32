import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { endpoint } from '@lantern/contract';
import { metrics } from '@opentelemetry/api';
import { pino } from 'pino';
import { Type } from 'typebox';
import { systemClock } from '../clock.ts';
import { type Access, defineRoute, type Route } from './route.ts';
import { createHttpServer, type HttpServer, type HttpServerOptions } from './server.ts';

const OPEN = { kind: 'public', why: 'a test' } as const satisfies Access;
const MULTIPART = 'multipart/related';
const BODY_BYTES_MAX = 64 * 1024 * 1024;

const MADE = endpoint({
  method: 'GET',
  path: '/made/:how',
  summary: 'Made while it is sent',
  params: Type.Object({ how: Type.Union([Type.Literal('whole'), Type.Literal('broken')]) }),
  responseTypes: ['image/png', 'image/jpeg'],
});
const PARTS = endpoint({
  method: 'POST',
  path: '/parts',
  summary: 'Takes parts',
  requestTypes: [MULTIPART, 'application/dicom'],
  response: Type.Object({ sizeBytes: Type.Integer(), origin: Type.String() }),
});
const DOCUMENT = endpoint({
  method: 'POST',
  path: '/document',
  summary: 'Takes JSON',
  body: Type.Object({}),
  response: Type.Object({}),
});

async function* pieces(how: 'whole' | 'broken'): AsyncGenerator<Uint8Array> {
  yield Buffer.from('made ');
  yield Buffer.from('by hand');
  if (how === 'broken') throw new TypeError('the hand slipped');
}

const ROUTES: readonly Route[] = [
  defineRoute(MADE)({
    access: OPEN,
    handler: async ({ params: { how } }) => ({
      status: 202,
      body: pieces(how),
      contentType: 'image/png',
      headers: { warning: '299 lantern "rough"' },
    }),
  }),
  defineRoute(PARTS)({
    access: OPEN,
    stream: true,
    bodyLimitBytes: BODY_BYTES_MAX,
    handler: async ({ bodyStream, origin }) => {
      let sizeBytes = 0;
      for await (const { byteLength } of bodyStream) sizeBytes += byteLength;
      return { sizeBytes, origin };
    },
  }),
  defineRoute(DOCUMENT)({ access: OPEN, handler: async () => ({}) }),
];

async function startServer(options: Partial<HttpServerOptions> = {}): Promise<{ server: HttpServer; url: string }> {
  const server = await createHttpServer({
    routes: ROUTES,
    authenticators: { token: async () => undefined },
    log: pino({ level: 'silent' }),
    metrics: { meter: metrics.getMeter('test'), text: async () => '' },
    clock: systemClock,
    title: 'Test',
    version: '1.2.3',
    ...options,
  });
  return { server, url: await server.listen({ host: '127.0.0.1', port: 0 }) };
}

describe('bytes of other media types', () => {
  let server: HttpServer;
  let url: string;

  before(async () => {
    ({ server, url } = await startServer());
  });
  after(() => server.close());

  const post = (path: string, contentType: string | undefined, body: string | Uint8Array<ArrayBuffer>) =>
    fetch(url + path, {
      method: 'POST',
      headers: contentType === undefined ? {} : { 'content-type': contentType },
      body,
    });

  test('an answer whose size is not known is chunked, with its own status, type and headers', async () => {
    const response = await fetch(`${url}/made/whole`);
    const { headers } = response;
    assert.deepEqual(
      [response.status, headers.get('content-type'), headers.get('warning'), headers.get('transfer-encoding')],
      [202, 'image/png', '299 lantern "rough"', 'chunked'],
    );
    assert.deepEqual([headers.get('content-length'), headers.get('accept-ranges')], [null, null]);
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    assert.equal(await response.text(), 'made by hand');
  });

  test('one that breaks off never looks whole', async () => {
    const response = await fetch(`${url}/made/broken`);
    await assert.rejects(response.text());
  });

  test('a stream operation takes the media types that it names, whatever their parameters', async () => {
    for (const type of ['Multipart/Related; type="application/dicom"; boundary=x', 'application/dicom']) {
      const response = await post('/parts', type, 'seven!!');
      assert.deepEqual(await response.json(), { sizeBytes: 7, origin: url });
    }
  });

  test('any other is refused with the list, JSON too, however long the body says it is', async () => {
    for (const type of [
      'application/json',
      'application/octet-stream',
      'text/html; x="multipart/related"',
      'nonsense',
    ]) {
      const response = await post('/parts', type, '{}');
      assert.equal(response.status, 415, type);
      assert.match(await response.text(), /takes multipart\/related or application\/dicom/);
    }
    const nameless = await post('/parts', undefined, new Uint8Array(7));
    assert.equal(nameless.status, 415);
    const other = await post('/document', MULTIPART, 'x');
    assert.equal(other.status, 415);
    assert.match(await other.text(), /takes application\/json/);
  });

  test('the OpenAPI document names them', async () => {
    const { paths } = Object(await (await fetch(`${url}/openapi.json`)).json());
    assert.deepEqual(Object.keys(paths['/made/{how}'].get.responses[200].content), ['image/png', 'image/jpeg']);
    assert.deepEqual(Object.keys(paths['/parts'].post.requestBody.content), [MULTIPART, 'application/dicom']);
  });

  test('links are built from the public URL where there is one', async () => {
    const behind = await startServer({ publicUrl: 'https://images.example.org/lantern/' });
    try {
      const response = await fetch(`${behind.url}/parts`, {
        method: 'POST',
        headers: { 'content-type': MULTIPART },
        body: 'x',
      });
      assert.deepEqual(await response.json(), { sizeBytes: 1, origin: 'https://images.example.org/lantern' });
    } finally {
      await behind.server.close();
    }
  });
});
