/** Settings of a site: read once in `main`, unknown keys refused. */
import { type Static, Type } from 'typebox';
import { DicomSettingsSchema } from './dimse/dicom-settings.ts';
import { FeedSettingsSchema } from './hl7-feed/feed-settings.ts';
import { OptOutSettingsSchema } from './opt-outs/opt-outs.ts';
import { RecordsSettingsSchema } from './records/records-settings.ts';

export const SiteConfigSchema = Type.Object(
  {
    dataDir: Type.String({ minLength: 1, description: 'folder of keys, database, files; nothing is kept elsewhere' }),
    httpHost: Type.String({ default: '127.0.0.1', description: 'address inside the hospital to listen on' }),
    httpPort: Type.Integer({ default: 0, minimum: 0, maximum: 65_535, description: '0: any free port' }),
    publicUrl: Type.Optional(
      Type.String({ description: 'address under which the EHR calls this site, if a proxy stands before it' }),
    ),
    databaseUrl: Type.Optional(Type.String({ description: 'PostgreSQL to use instead of the embedded one' })),
    logLevel: Type.Union(
      (['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const).map((level) => Type.Literal(level)),
      { default: 'info' },
    ),
    tlsCertFile: Type.Optional(Type.String()),
    tlsKeyFile: Type.Optional(Type.String()),
    httpsProxy: Type.Optional(Type.String({ description: 'proxy through which the hub is reached' })),
    caFile: Type.Optional(Type.String({ description: 'PEM of the authority that signed the hub or the proxy' })),
    duckdbMemoryMiB: Type.Integer({ default: 1024, minimum: 64, maximum: 1_048_576 }),
    duckdbThreads: Type.Integer({ default: 2, minimum: 1, maximum: 1024 }),
    trainingThreads: Type.Integer({ default: 1, minimum: 1, maximum: 256, description: 'of one model at a time' }),
    taskConcurrency: Type.Integer({ default: 4, minimum: 1, maximum: 64, description: 'tasks of the hub at once' }),
    questionMsMin: Type.Integer({
      default: 250,
      minimum: 0,
      maximum: 60_000,
      description: 'least time to an answer about patients; with 0 the time can tell nobody from a few',
    }),
    aucMin: Type.Number({ default: 0.5, minimum: 0, maximum: 1, description: 'below it no model is deployed here' }),
    siteCountMin: Type.Integer({ default: 1, minimum: 1, maximum: 1000, description: 'sites behind a deployed model' }),
    dicom: Type.Optional(DicomSettingsSchema),
    hl7: Type.Optional(FeedSettingsSchema),
    optOuts: Type.Optional(OptOutSettingsSchema),
    records: Type.Optional(RecordsSettingsSchema),
    faultPoint: Type.Optional(Type.String({ description: 'for crash tests only' })),
  },
  { additionalProperties: false },
);
export type SiteConfig = Static<typeof SiteConfigSchema>;

/** Settings that hold a password. */
export const SITE_CONFIG_SECRETS = ['databaseUrl', 'httpsProxy', 'records'] as const;
