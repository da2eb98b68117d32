/** The settings of a hub process: one schema, read once in `main`, unknown keys refused. */
import { type Static, Type } from 'typebox';

export const HubConfigSchema = Type.Object(
  {
    dataDir: Type.String({ minLength: 1, description: 'folder for the key, the database and the blobs' }),
    httpHost: Type.String({ minLength: 1, default: '127.0.0.1' }),
    httpPort: Type.Integer({ minimum: 0, maximum: 65_535, default: 0, description: '0: any free port' }),
    hubName: Type.String({ minLength: 1, maxLength: 100, default: 'Lantern hub' }),
    databaseUrl: Type.Optional(Type.String({ description: 'a PostgreSQL of your own; embedded when absent' })),
    logLevel: Type.Union(
      [
        Type.Literal('silent'),
        Type.Literal('error'),
        Type.Literal('warn'),
        Type.Literal('info'),
        Type.Literal('debug'),
      ],
      { default: 'info' },
    ),
    publicMetrics: Type.Optional(Type.Boolean({ description: 'let anybody who reaches the port read /metrics' })),
    tlsCertFile: Type.Optional(Type.String()),
    tlsKeyFile: Type.Optional(Type.String()),
    faultPoint: Type.Optional(Type.String({ description: 'for crash tests only' })),
  },
  { additionalProperties: false },
);
export type HubConfig = Static<typeof HubConfigSchema>;

/** Settings that hold a password. */
export const HUB_CONFIG_SECRETS = ['databaseUrl'] as const;
