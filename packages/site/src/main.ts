/** The wiring diagram of a site's process: every object is built here and passed down; nothing is looked up. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { AppError, type ProjectId, SERVER_TITLES, SITE_ROLES } from '@lantern/contract';
import { createGraphExecutor, type GraphExecutor } from '@lantern/runner';
import {
  accountRoutes,
  armFaultPoint,
  auditRoutes,
  type BlobStore,
  bootstrapAdmin,
  type Clock,
  createAccounts,
  createHttpClient,
  createHttpServer,
  createLogger,
  createMetrics,
  createQueue,
  createShutdown,
  type Database,
  exposeDatabase,
  type HttpServer,
  type KeyPair,
  type Logger,
  loadOrCreateKeyPair,
  makePrivateFolder,
  migrate,
  migrateQueue,
  migrateService,
  newSecret,
  openBlobStore,
  openDatabase,
  publicKeyFromPem,
  type Route,
  readSecretFile,
  systemClock,
  writeSecretFile,
} from '@lantern/service';
import { createCdsClientVerifier } from './bedside/cds-client.ts';
import { type CdmPasses, createCdmPasses } from './cdm-passes/cdm-passes.ts';
import { cdmPassRoutes } from './cdm-passes/routes.ts';
import type { SiteConfig } from './config.ts';
import { openTableEngine, type TableEngine } from './datasets/table-engine.ts';
import { createPatientRecords } from './fhir/patient-records.ts';
import { createFhirRecords, type FhirRecords } from './fhir-records.ts';
import { createHl7Feed, type Hl7Feed } from './hl7-feed/hl7-feed.ts';
import type { ApplyBundle } from './hl7-feed/processing.ts';
import { startHubLink } from './hub-link/hub-link.ts';
import { KEY_FILE, type LinkFile, requireLink } from './hub-link/link-file.ts';
import { createOutbound, type Outbound } from './hub-link/outbound.ts';
import { hubLinkRoutes } from './hub-link/routes.ts';
import { projectShiftDaysMax } from './image-selection/project-shift.ts';
import { createImaging, type Imaging } from './imaging.ts';
import { queueTasks } from './jobs.ts';
import { createNotes } from './notes/notes.ts';
import { noteRoutes } from './notes/routes.ts';
import { createOptOuts, OPT_OUTS_DEFAULT } from './opt-outs/opt-outs.ts';
import type { ResearchSeries } from './research-images/research-series.ts';
import { researchSettings } from './research-images/research-settings.ts';
import { createResearchKeys } from './research-keys/research-keys.ts';
import { VOUCHED_ROLES } from './roles.ts';
import type { SiteContext } from './site-context.ts';
import { startSweeper } from './sweeper.ts';
import type { SiteTables } from './tables.ts';
import { recordBounds, type Wired, wire } from './wiring.ts';

const VERSION = '0.1.0';
const NOISE_SECRET_FILE = 'noise.key';
const NOISE_SECRET_BYTES = 32;

export type RunningSite = {
  readonly url: string;
  /** Every route with its access, for the test that asks them all. */
  readonly routes: HttpServer['routes'];
  /** Ends the hub link, jobs and requests, then the database. May be called twice. */
  close(): Promise<void>;
};

export type SiteOptions = { readonly clock?: Clock; readonly log?: Logger; readonly onSignals?: boolean };

/** Starts a site that has joined a hub. Throws `config.invalid` or `set-up.failed`. */
export async function startSite(settings: SiteConfig, options: SiteOptions = {}): Promise<RunningSite> {
  armFaultPoint(settings.faultPoint);
  const log = options.log ?? createLogger({ name: 'site', level: settings.logLevel });
  const shutdown = createShutdown(log);
  try {
    const server = await build(settings, { clock: options.clock ?? systemClock, log, shutdown });
    if (options.onSignals === true) shutdown.onSignals();
    return { ...server, close: () => shutdown.close() };
  } catch (caught) {
    await shutdown.close();
    throw caught;
  }
}

type Process = { readonly clock: Clock; readonly log: Logger; readonly shutdown: ReturnType<typeof createShutdown> };

async function build(settings: SiteConfig, process: Process): Promise<Omit<RunningSite, 'close'>> {
  const { clock, log, shutdown } = process;
  const { dataDir } = settings;
  const tls = await readTls(settings);
  const link = await requireLink(dataDir);
  const keyPair = await loadOrCreateKeyPair(path.join(dataDir, KEY_FILE));
  const database = await openSiteDatabase(settings, process);
  const accounts = createAccounts({ db: database, clock, roles: SITE_ROLES });
  await bootstrapAdmin({ db: database, accounts, clock, file: path.join(dataDir, 'admin.token') });
  const context: SiteContext = {
    database,
    db: database.kysely<SiteTables>(),
    clock,
    log,
    keyPair,
    siteId: link.siteId,
  };
  const machinery = await openMachinery(settings, { ...process, context, link });
  let images: ResearchSeries | undefined; // of a plane, which asks what is wired here
  const series = () => images;
  const hubKey = publicKeyFromPem(link.hubPublicKeyPem);
  const site = wire({ ...context, ...machinery, settings, hubKey, series });
  await site.openRecords();
  shutdown.onClose('tasks', () => site.close());
  const { projectStands, freeTextOf } = site;
  const planes = await openPlanes(settings, { ...process, database, keyPair, projectStands, freeTextOf });
  images = planes.series;
  await startJobs(settings, { ...process, database, site, planes });
  const sweeper = startSweeper([...site.sweeps, ...planes.sweeps], log);
  shutdown.onClose('sweeper', () => sweeper.close());
  const { outbound } = machinery;
  const hubLink = startHubLink({ ...site.hubLink, link, outbound, ...{ clock, log }, uniform: Math.random });
  shutdown.onClose('hub link', () => hubLink.close());

  const metrics = createMetrics('lantern-site');
  shutdown.onClose('metrics', () => metrics.close());
  await site.deployments.live(); // verifies every deployment and stops what is no longer what the hub signed
  let address = settings.publicUrl ?? '';
  const server = await createHttpServer({
    routes: [
      ...hubLinkRoutes({
        status: () => hubLink.status(),
        sent: () => outbound.sent(),
        startedAt: clock.now(),
      }),
      ...site.routes,
      ...planes.routes,
      ...accountRoutes({ accounts, db: database, clock, roles: SITE_ROLES, vouchedRoles: VOUCHED_ROLES }),
      ...auditRoutes({ db: database, keyPair, clock, readers: ['admin', 'governance'] }),
    ],
    authenticators: {
      token: async (token) => (await planes.authenticate(token)) ?? accounts.authenticate(token),
      cdsClient: createCdsClientVerifier({ database, clock, publicUrl: () => address }),
    },
    ...{ log, metrics, clock, title: SERVER_TITLES.site, version: VERSION },
    readyChecks: [{ name: 'database', check: async () => void (await database.pool.query('select 1')) }],
    ...(tls === undefined ? {} : { tls }),
    ...(settings.publicUrl === undefined ? {} : { publicUrl: settings.publicUrl }),
  });
  shutdown.onClose('http', () => server.close());
  const url = await server.listen({ host: settings.httpHost, port: settings.httpPort });
  address ||= url;
  const ports = await planes.listen();
  log.info({ url, ...ports, siteId: link.siteId, hubUrl: link.hubUrl }, 'the site is ready');
  return { url, routes: server.routes };
}

type Planes = Pick<Imaging, 'jobs' | 'jobFailed' | 'sweeps' | 'routes'> & {
  /** Access tokens of programs that read and write records. */
  authenticate: FhirRecords['authenticate'];
  readonly series: ResearchSeries | undefined;
  /** Opens the ports inside the hospital, once everything else is there. */
  listen(): Promise<{ dicomPort?: number; hl7Port?: number }>;
};

type PlaneDeps = Process & { database: Database; keyPair: KeyPair } & Pick<Wired, 'projectStands' | 'freeTextOf'>;

async function startJobs(
  settings: SiteConfig,
  opened: Process & { database: Database; site: Wired; planes: Planes },
): Promise<void> {
  const { log, shutdown, database, site, planes } = opened;
  const queue = createQueue({
    db: database,
    tasks: { ...queueTasks(site.jobs), ...planes.jobs },
    concurrency: settings.taskConcurrency,
    log,
    async onFailed(job) {
      await site.jobFailed(job);
      await planes.jobFailed(job);
    },
  });
  await queue.start();
  shutdown.onClose('queue', () => queue.close());
}

/** What a hospital's own systems speak to: records; images and messages, each only where the settings say so. */
async function openPlanes(settings: SiteConfig, opened: PlaneDeps): Promise<Planes> {
  const records = await createFhirRecords({ ...opened, dataDir: settings.dataDir });
  const imaging = await openImaging(settings, opened);
  const feed = await openFeed(settings, { ...opened, applyBundle: records.applyMessage });
  const passes = openPasses(settings, opened);
  return {
    authenticate: records.authenticate,
    series: imaging?.series,
    jobs: { ...imaging?.jobs, ...records.jobs, ...passes?.jobs },
    async jobFailed(job) {
      await imaging?.jobFailed(job);
      await records.jobFailed(job);
      await passes?.jobFailed(job);
    },
    sweeps: [imaging, feed, passes, records].flatMap((plane) => plane?.sweeps ?? []),
    routes: [
      ...(imaging?.routes ?? []),
      ...(feed?.routes ?? []),
      ...(passes === undefined ? [] : cdmPassRoutes(passes)),
      ...notesOf(settings, opened, records),
      ...records.routes,
    ],
    async listen() {
      const dicomPort = await imaging?.listen();
      const hl7Port = await feed?.listen();
      return { ...(dicomPort === undefined ? {} : { dicomPort }), ...(hl7Port === undefined ? {} : { hl7Port }) };
    },
  };
}

/** Notes of the records, for projects that may have them; the lists of opt-outs are those of every other use. */
function notesOf(
  { optOuts: rules = OPT_OUTS_DEFAULT }: SiteConfig,
  { database, clock, freeTextOf: permissionOf }: PlaneDeps,
  { store }: FhirRecords,
): Route[] {
  const keys = createResearchKeys({ database, clock });
  const optOuts = createOptOuts({ database, clock, keys, settings: rules, onLoaded: async () => undefined });
  const shiftDaysMaxOf = (projectId: ProjectId) => projectShiftDaysMax(database, projectId);
  const records = createPatientRecords(store);
  return noteRoutes(createNotes({ database, clock, records, optOuts, keys, permissionOf, shiftDaysMaxOf }));
}

/** A CDM of its own only where the settings say so. */
function openPasses(settings: SiteConfig, opened: PlaneDeps): CdmPasses | undefined {
  const { records } = settings;
  if (records?.etl === undefined) return undefined;
  return createCdmPasses({
    ...opened,
    file: records.cdm,
    settings: records.etl,
    imagesDir: imagesDir(settings),
    bounds: recordBounds(settings),
  });
}

async function openFeed(
  { hl7 }: SiteConfig,
  opened: PlaneDeps & { applyBundle: ApplyBundle },
): Promise<Hl7Feed | undefined> {
  if (hl7 === undefined) return undefined;
  const feed = await createHl7Feed({ ...opened, settings: hl7 });
  opened.shutdown.onClose('HL7 feed', () => feed.close());
  return feed;
}

function imagesDir({ dataDir }: SiteConfig): string {
  return path.join(dataDir, 'images');
}

/** Images only where the site has a place in its hospital's DICOM network. */
async function openImaging(settings: SiteConfig, opened: PlaneDeps): Promise<Imaging | undefined> {
  if (settings.dicom === undefined) return undefined;
  const dir = imagesDir(settings);
  const { shutdown, projectStands } = opened;
  const research = { ...researchSettings(settings), projectStands };
  const imaging = await createImaging({ ...opened, dir, settings: settings.dicom, research });
  shutdown.onClose('imaging', () => imaging.close());
  return imaging;
}

async function openSiteDatabase(settings: SiteConfig, { log, shutdown }: Process): Promise<Database> {
  const { dataDir, databaseUrl: url } = settings;
  const database = await openDatabase({ url, dataDir, log, applicationName: 'lantern-site' });
  shutdown.onClose('database', () => database.close());
  exposeDatabase(() => database.embeddedPid());
  await migrateService(database);
  await migrate(database, { name: 'site', dir: fileURLToPath(new URL('../migrations', import.meta.url)) });
  await migrateQueue(database);
  return database;
}

/** What the capabilities work with besides the database. */
export type Machinery = {
  readonly outbound: Outbound;
  readonly blobs: BlobStore;
  readonly imports: BlobStore;
  readonly engine: TableEngine;
  readonly executor: GraphExecutor;
  readonly noiseSecret: string;
};

async function openMachinery(
  settings: SiteConfig,
  opened: Process & { context: SiteContext; link: LinkFile },
): Promise<Machinery> {
  const { clock, log, shutdown, context, link } = opened;
  const { dataDir } = settings;
  const http = createHttpClient({
    baseUrl: link.hubUrl,
    signer: { keyPair: context.keyPair },
    clock,
    ...(settings.caFile === undefined ? {} : { caFile: settings.caFile }),
    ...(settings.httpsProxy === undefined ? {} : { proxyUrl: settings.httpsProxy }),
  });
  const outbound = createOutbound(http);
  shutdown.onClose('outbound', async () => outbound.close());
  await makePrivateFolder(path.join(dataDir, 'work'));
  const blobs = await openBlobStore({ dir: path.join(dataDir, 'blobs') });
  const imports = await openBlobStore({ dir: path.join(dataDir, 'imports') });
  const engine = await openTableEngine({
    dataDir,
    blobs,
    memoryMiB: settings.duckdbMemoryMiB,
    threads: settings.duckdbThreads,
  });
  shutdown.onClose('table engine', async () => engine.close());
  const executor = createGraphExecutor({ threadCount: settings.trainingThreads, log });
  shutdown.onClose('executor', () => executor.close());
  return { outbound, blobs, imports, engine, executor, noiseSecret: await loadNoiseSecret(dataDir) };
}

/** Draws the noise of every count and the order of rows in training; a new one would let an old question be asked anew. */
async function loadNoiseSecret(dataDir: string): Promise<string> {
  const file = path.join(dataDir, NOISE_SECRET_FILE);
  const present = (await readSecretFile(file))?.trim();
  if (present !== undefined) return present;
  const secret = newSecret(NOISE_SECRET_BYTES);
  await writeSecretFile(file, `${secret}\n`);
  return secret;
}

async function readTls(settings: SiteConfig): Promise<{ key: string; cert: string } | undefined> {
  const { tlsKeyFile, tlsCertFile } = settings;
  if (tlsKeyFile === undefined && tlsCertFile === undefined) return undefined;
  if (tlsKeyFile === undefined || tlsCertFile === undefined) {
    throw new AppError('config.invalid', 'tlsKeyFile and tlsCertFile come together.', { field: 'tlsKeyFile' });
  }
  try {
    return { key: await readFile(tlsKeyFile, 'utf8'), cert: await readFile(tlsCertFile, 'utf8') };
  } catch (cause) {
    throw new AppError('config.invalid', 'tlsKeyFile or tlsCertFile cannot be read.', { field: 'tlsKeyFile', cause });
  }
}
