/**
 * An image node: the imaging plane of a site alone, over a folder, without hub, datasets or deployments. What `lantern dicom serve`
 * runs; every object is built here.
 */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SITE_ROLES } from '@lantern/contract';
import {
  accountRoutes,
  auditRoutes,
  bootstrapAdmin,
  type Clock,
  createAccounts,
  createHttpServer,
  createLogger,
  createMetrics,
  createQueue,
  createShutdown,
  type Database,
  type KeyPair,
  type Logger,
  loadOrCreateKeyPair,
  makeDataFolder,
  migrate,
  migrateQueue,
  migrateService,
  openDatabase,
  systemClock,
} from '@lantern/service';
import { type Static, Type } from 'typebox';
import { DicomSettingsSchema } from './dimse/dicom-settings.ts';
import { createImaging, type Imaging } from './imaging.ts';
import { OptOutSettingsSchema } from './opt-outs/opt-outs.ts';
import { researchSettings } from './research-images/research-settings.ts';
import { VOUCHED_ROLES } from './roles.ts';
import { startSweeper } from './sweeper.ts';

const VERSION = '0.1.0';
const KEY_FILE = 'site.key';

export const ImageNodeConfigSchema = Type.Object(
  {
    dataDir: Type.String({ minLength: 1, description: 'folder of database, keys and images' }),
    httpHost: Type.String({ default: '127.0.0.1' }),
    httpPort: Type.Integer({ default: 0, minimum: 0, maximum: 65_535, description: '0: any free port' }),
    databaseUrl: Type.Optional(Type.String({ description: 'PostgreSQL to use instead of the embedded one' })),
    logLevel: Type.Union(
      (['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const).map((level) => Type.Literal(level)),
      { default: 'warn' },
    ),
    jobConcurrency: Type.Integer({ default: 4, minimum: 1, maximum: 16 }),
    freeBytesMin: Type.Optional(Type.Integer({ minimum: 0, description: 'below it nothing more is taken in' })),
    dicom: DicomSettingsSchema,
    optOuts: Type.Optional(OptOutSettingsSchema),
  },
  { additionalProperties: false },
);
type ImageNodeConfig = Static<typeof ImageNodeConfigSchema>;

type RunningImageNode = {
  readonly url: string;
  readonly dicomPort: number;
  /** Ends associations, jobs and requests, then the database. May be called twice. */
  close(): Promise<void>;
};

type NodeOptions = { readonly clock?: Clock; readonly log?: Logger; readonly onSignals?: boolean };

/** Throws `config.invalid` or `set-up.failed`. */
export async function startImageNode(settings: ImageNodeConfig, options: NodeOptions = {}): Promise<RunningImageNode> {
  const log = options.log ?? createLogger({ name: 'images', level: settings.logLevel });
  const clock = options.clock ?? systemClock;
  const shutdown = createShutdown(log);
  try {
    const running = await build(settings, { clock, log, shutdown });
    if (options.onSignals === true) shutdown.onSignals();
    return { ...running, close: () => shutdown.close() };
  } catch (caught) {
    await shutdown.close();
    throw caught;
  }
}

type Process = { readonly clock: Clock; readonly log: Logger; readonly shutdown: ReturnType<typeof createShutdown> };

async function build(settings: ImageNodeConfig, process: Process): Promise<Omit<RunningImageNode, 'close'>> {
  const { clock, log, shutdown } = process;
  await makeDataFolder(settings.dataDir);
  const database = await openImageDatabase(settings, process);
  const keyPair = await loadOrCreateKeyPair(path.join(settings.dataDir, KEY_FILE));
  const imaging = await createImaging({
    database,
    keyPair,
    clock,
    log,
    dir: path.join(settings.dataDir, 'images'),
    settings: settings.dicom,
    research: researchSettings(settings),
    ...(settings.freeBytesMin === undefined ? {} : { freeBytesMin: settings.freeBytesMin }),
  });
  await imaging.archive.check();
  const queue = createQueue({
    db: database,
    tasks: imaging.jobs,
    concurrency: settings.jobConcurrency,
    log,
    onFailed: (job) => imaging.jobFailed(job),
  });
  await queue.start();
  shutdown.onClose('queue', () => queue.close());
  const sweeper = startSweeper(imaging.sweeps, log);
  shutdown.onClose('sweeper', () => sweeper.close());
  const url = await serveHttp(settings, { ...process, database, imaging, keyPair });
  shutdown.onClose('imaging', () => imaging.close());
  const dicomPort = await imaging.listen();
  log.info({ url, dicomPort }, 'the image node is ready');
  return { url, dicomPort };
}

async function serveHttp(
  settings: ImageNodeConfig,
  opened: Process & { database: Database; imaging: Imaging; keyPair: KeyPair },
): Promise<string> {
  const { clock, log, shutdown, database, imaging, keyPair } = opened;
  const accounts = createAccounts({ db: database, clock, roles: SITE_ROLES });
  await bootstrapAdmin({ db: database, accounts, clock, file: path.join(settings.dataDir, 'admin.token') });
  const metrics = createMetrics('lantern-images');
  shutdown.onClose('metrics', () => metrics.close());
  const server = await createHttpServer({
    routes: [
      ...imaging.routes,
      ...accountRoutes({ accounts, db: database, clock, roles: SITE_ROLES, vouchedRoles: VOUCHED_ROLES }),
      ...auditRoutes({ db: database, keyPair, clock, readers: ['admin', 'governance'] }),
    ],
    authenticators: { token: (token) => accounts.authenticate(token) },
    ...{ log, metrics, clock, title: 'Lantern images', version: VERSION },
    readyChecks: [{ name: 'database', check: async () => void (await database.pool.query('select 1')) }],
  });
  shutdown.onClose('http', () => server.close());
  return server.listen({ host: settings.httpHost, port: settings.httpPort });
}

async function openImageDatabase(settings: ImageNodeConfig, { log, shutdown }: Process): Promise<Database> {
  const { dataDir, databaseUrl: url } = settings;
  const database = await openDatabase({ url, dataDir, log, applicationName: 'lantern-images' });
  shutdown.onClose('database', () => database.close());
  await migrateService(database);
  await migrate(database, { name: 'site', dir: fileURLToPath(new URL('../migrations', import.meta.url)) });
  await migrateQueue(database);
  return database;
}
