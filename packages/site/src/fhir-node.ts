/**
 * A FHIR server alone: the records of a site over a folder, without hub, images or deployments. What `lantern fhir serve` runs; every
 * object is built here. `openFhirRecords` opens the same folder for a command that loads or exports, without a server.
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
import { createFhirStore, type FhirStore } from './fhir/fhir-store.ts';
import { createFhirRecords, type FhirRecords } from './fhir-records.ts';
import { VOUCHED_ROLES } from './roles.ts';
import { startSweeper } from './sweeper.ts';

const VERSION = '0.1.0';
const KEY_FILE = 'site.key';
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

export const FhirNodeConfigSchema = Type.Object(
  {
    dataDir: Type.String({ minLength: 1, description: 'folder of database, keys and exports' }),
    httpHost: Type.String({ default: '127.0.0.1' }),
    httpPort: Type.Integer({ default: 0, minimum: 0, maximum: 65_535, description: '0: any free port' }),
    databaseUrl: Type.Optional(Type.String({ description: 'PostgreSQL to use instead of the embedded one' })),
    publicUrl: Type.Optional(
      Type.String({ description: 'address under which it is called, if a proxy stands before it' }),
    ),
    logLevel: Type.Union(
      LOG_LEVELS.map((level) => Type.Literal(level)),
      { default: 'warn' },
    ),
    jobConcurrency: Type.Integer({ default: 2, minimum: 1, maximum: 16 }),
  },
  { additionalProperties: false },
);
export type FhirNodeConfig = Static<typeof FhirNodeConfigSchema>;

type RunningFhirNode = {
  readonly url: string;
  /** Ends jobs and requests, then the database. May be called twice. */
  close(): Promise<void>;
};

type NodeOptions = { readonly clock?: Clock; readonly log?: Logger };
type Process = { readonly clock: Clock; readonly log: Logger; readonly shutdown: ReturnType<typeof createShutdown> };

/** Throws `config.invalid` or `set-up.failed`. */
export async function startFhirNode(settings: FhirNodeConfig, options: NodeOptions = {}): Promise<RunningFhirNode> {
  const log = options.log ?? createLogger({ name: 'fhir', level: settings.logLevel });
  const shutdown = createShutdown(log);
  try {
    const url = await build(settings, { clock: options.clock ?? systemClock, log, shutdown });
    return { url, close: () => shutdown.close() };
  } catch (caught) {
    await shutdown.close();
    throw caught;
  }
}

async function build(settings: FhirNodeConfig, process: Process): Promise<string> {
  const { clock, log, shutdown } = process;
  const { dataDir } = settings;
  await makeDataFolder(dataDir);
  const database = await openRecordsDatabase(settings, log);
  shutdown.onClose('database', () => database.close());
  const records = await createFhirRecords({ database, clock, log, dataDir });
  const { jobs: tasks, jobFailed } = records;
  const concurrency = settings.jobConcurrency;
  const queue = createQueue({ db: database, tasks, concurrency, log, onFailed: (job) => jobFailed(job) });
  await queue.start();
  shutdown.onClose('queue', () => queue.close());
  const sweeper = startSweeper(records.sweeps, log);
  shutdown.onClose('sweeper', () => sweeper.close());
  const url = await serveHttp(settings, { ...process, database, records });
  log.info({ url }, 'the FHIR server is ready');
  return url;
}

async function serveHttp(
  settings: FhirNodeConfig,
  { clock, log, shutdown, database, records }: Process & { database: Database; records: FhirRecords },
): Promise<string> {
  const keyPair = await loadOrCreateKeyPair(path.join(settings.dataDir, KEY_FILE));
  const accounts = createAccounts({ db: database, clock, roles: SITE_ROLES });
  await bootstrapAdmin({ db: database, accounts, clock, file: path.join(settings.dataDir, 'admin.token') });
  const metrics = createMetrics('lantern-fhir');
  shutdown.onClose('metrics', () => metrics.close());
  const server = await createHttpServer({
    routes: [
      ...records.routes,
      ...accountRoutes({ accounts, db: database, clock, roles: SITE_ROLES, vouchedRoles: VOUCHED_ROLES }),
      ...auditRoutes({ db: database, keyPair, clock, readers: ['admin', 'governance'] }),
    ],
    authenticators: {
      token: async (token) => (await records.authenticate(token)) ?? accounts.authenticate(token),
    },
    ...{ log, metrics, clock, title: 'Lantern FHIR', version: VERSION },
    readyChecks: [{ name: 'database', check: async () => void (await database.pool.query('select 1')) }],
    ...(settings.publicUrl === undefined ? {} : { publicUrl: settings.publicUrl }),
  });
  shutdown.onClose('http', () => server.close());
  return server.listen({ host: settings.httpHost, port: settings.httpPort });
}

async function openRecordsDatabase(
  { dataDir, databaseUrl: url }: Pick<FhirNodeConfig, 'dataDir' | 'databaseUrl'>,
  log: Logger,
): Promise<Database> {
  const database = await openDatabase({ url, dataDir, log, applicationName: 'lantern-fhir' });
  try {
    await migrateService(database);
    await migrate(database, { name: 'site', dir: fileURLToPath(new URL('../migrations', import.meta.url)) });
    await migrateQueue(database);
    return database;
  } catch (caught) {
    await database.close();
    throw caught;
  }
}

export type OpenRecords = { readonly store: FhirStore; close(): Promise<void> };

/** The records of a folder on which no server runs. */
export async function openFhirRecords(settings: {
  readonly dataDir: string;
  readonly databaseUrl?: string | undefined;
}): Promise<OpenRecords> {
  await makeDataFolder(settings.dataDir);
  const log = createLogger({ name: 'fhir', level: 'warn' });
  const database = await openRecordsDatabase(
    { dataDir: settings.dataDir, ...(settings.databaseUrl === undefined ? {} : { databaseUrl: settings.databaseUrl }) },
    log,
  );
  return { store: createFhirStore({ database, clock: systemClock }), close: () => database.close() };
}
