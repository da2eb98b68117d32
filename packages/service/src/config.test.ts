import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AppError } from '@lantern/contract';
import { Type } from 'typebox';
import { loadConfig, redactConfig } from './config.ts';

const schema = Type.Object(
  {
    dataDir: Type.String(),
    httpPort: Type.Integer({ minimum: 0, maximum: 65_535, default: 8700 }),
    publicMetrics: Type.Optional(Type.Boolean()),
    databaseUrl: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
const load = (parts: { fileText?: string; env?: Record<string, string>; overrides?: Record<string, unknown> }) =>
  loadConfig({ schema, env: {}, prefix: 'LANTERN_X_', ...parts });
const refusal = (pattern: RegExp) => (error: unknown) =>
  error instanceof AppError && error.code === 'config.invalid' && pattern.test(error.message);

describe('settings', () => {
  it('come from file, environment and command line, the later winning', () => {
    const fileText = '{"dataDir":"from-file","httpPort":1}';
    const env = { LANTERN_X_HTTP_PORT: '2', LANTERN_X_PUBLIC_METRICS: 'true', PATH: '/bin' };
    assert.deepEqual(load({ fileText, env, overrides: { httpPort: 3 } }), {
      dataDir: 'from-file',
      httpPort: 3,
      publicMetrics: true,
    });
    assert.equal(load({ fileText, env }).httpPort, 2);
    assert.equal(load({ fileText }).httpPort, 1);
    assert.equal(load({ overrides: { dataDir: 'd' } }).httpPort, 8700);
  });

  it('refuse a key nobody knows, in file and environment', () => {
    assert.throws(() => load({ fileText: '{"dataDir":"d","htpPort":1}' }), refusal(/htpPort is not a known field/));
    assert.throws(() => load({ env: { LANTERN_X_HTP_PORT: '1' } }), refusal(/No setting is called LANTERN_X_HTP_PORT/));
  });

  it('name the key and the rule, never the value', () => {
    const hostile = (parts: Parameters<typeof load>[0]) => () => load(parts);
    assert.throws(
      hostile({ env: { LANTERN_X_HTTP_PORT: 's3cret' } }),
      refusal(/^LANTERN_X_HTTP_PORT must be a number\.$/),
    );
    assert.throws(hostile({ env: { LANTERN_X_PUBLIC_METRICS: 'yes' } }), refusal(/must be true or false/));
    assert.throws(hostile({ overrides: { dataDir: 'd', httpPort: 70_000 } }), refusal(/\/httpPort must be <= 65535/));
    assert.throws(
      hostile({ fileText: '{"databaseUrl":"postgres://u:s3cret' }),
      refusal(/^The settings file is not JSON\.$/),
    );
    assert.throws(hostile({ fileText: '[]' }), refusal(/one JSON object/));
  });

  it('can be printed without their secrets', () => {
    const config = load({ overrides: { dataDir: 'd', databaseUrl: 'postgres://u:s3cret@h/d' } });
    assert.deepEqual(redactConfig(config, ['databaseUrl']), { dataDir: 'd', httpPort: 8700, databaseUrl: '(secret)' });
  });
});
