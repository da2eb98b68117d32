import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AppError, endpoint } from '@lantern/contract';
import { metrics } from '@opentelemetry/api';
import { pino } from 'pino';
import { Type } from 'typebox';
import { systemClock } from '../clock.ts';
import { type Access, defineRoute } from './route.ts';
import { createHttpServer, type HttpServer } from './server.ts';

const OPEN = { kind: 'public', why: 'a test' } as const satisfies Access;
const SEARCH = endpoint({
  method: 'GET',
  path: '/search/:shelf',
  summary: 'Finds by whatever is asked for',
  params: Type.Object({ shelf: Type.String() }),
  openQuery: true,
  responseTypes: ['application/dicom+json'],
  response: Type.Array(Type.Tuple([Type.String(), Type.String()])),
});

describe('an operation with an open query', () => {
  let server: HttpServer;
  let url = '';
  before(async () => {
    server = await createHttpServer({
      routes: [
        defineRoute(SEARCH)({
          access: OPEN,
          handler: async ({ searchParams, answerHeaders, origin }) => {
            answerHeaders.set('content-location', `${origin}/search`);
            answerHeaders.append('warning', '299 here: first');
            answerHeaders.append('warning', '299 here: second');
            if (searchParams.has('refused')) throw new AppError('input.invalid', 'refused: is no key.');
            return [...searchParams];
          },
        }),
      ],
      authenticators: { token: async () => undefined },
      log: pino({ level: 'silent' }),
      metrics: { meter: metrics.getMeter('test'), text: async () => '' },
      clock: systemClock,
      title: 'Test',
      version: '1',
    });
    url = await server.listen({ host: '127.0.0.1', port: 0 });
  });
  after(() => server?.close());

  it('gets every parameter as often as it came, decoded, and answers under its own type with its own headers', async () => {
    const answer = await fetch(`${url}/search/a?PatientName=M%C3%BC*&includefield=a&includefield=b,c&empty=`);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), 'application/dicom+json');
    assert.equal(answer.headers.get('warning'), '299 here: first, 299 here: second');
    assert.equal(answer.headers.get('content-location'), `${url}/search`);
    assert.deepEqual(await answer.json(), [
      ['PatientName', 'Mü*'],
      ['includefield', 'a'],
      ['includefield', 'b,c'],
      ['empty', ''],
    ]);
    assert.deepEqual(await (await fetch(`${url}/search/a`)).json(), []);
  });

  it('fails in the one form of every failure', async () => {
    const answer = await fetch(`${url}/search/a?refused=1`);
    assert.equal(answer.status, 400);
    assert.match(answer.headers.get('content-type') ?? '', /^application\/json/);
    assert.equal(answer.headers.get('warning'), null);
  });

  it('is described under its own type', async () => {
    const document = Object(await (await fetch(`${url}/openapi.json`)).json());
    const { content } = document.paths['/search/{shelf}'].get.responses['200'];
    assert.deepEqual(Object.keys(content), ['application/dicom+json']);
  });
});
