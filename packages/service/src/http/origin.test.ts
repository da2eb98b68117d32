import assert from 'node:assert/strict';
import { test } from 'node:test';
import { originOf } from './origin.ts';

const ask = (headers: Record<string, string>, localPort = 8080, options: Parameters<typeof originOf>[1] = {}) =>
  originOf({ headers, socket: { localPort } }, options);

test('links lead to where the caller says that it reached us', () => {
  assert.equal(ask({ host: 'images.example.org:9000' }), 'http://images.example.org:9000');
  assert.equal(ask({ host: '[fe80::1]:9000' }, 8080, { tls: {} }), 'https://[fe80::1]:9000');
  assert.equal(ask({ host: 'images.example.org' }, 80), 'http://images.example.org');
  assert.equal(ask({ host: 'images.example.org' }, 443, { tls: {} }), 'https://images.example.org');
});

test('a host that leaves the port out means that of the connection, unless a proxy stands between', () => {
  assert.equal(ask({ host: '127.0.0.1' }), 'http://127.0.0.1:8080');
  assert.equal(ask({ host: 'images.example.org', 'x-forwarded-for': '10.1.2.3' }), 'http://images.example.org');
});

test('a public URL comes before all, and what is no host is not repeated', () => {
  assert.equal(
    ask({ host: 'a' }, 8080, { publicUrl: 'https://b.example.org/lantern/' }),
    'https://b.example.org/lantern',
  );
  assert.equal(ask({ host: 'a/<script>' }), 'http://localhost:8080');
  assert.equal(ask({}), 'http://localhost:8080');
});
