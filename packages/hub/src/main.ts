/** The wiring diagram of a hub process: every object is built here and passed down; nothing is looked up. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AppError, HUB_ROLES, type RunId, SERVER_TITLES } from '@lantern/contract';
import { createFolder } from '@lantern/learning';
import {
  accountRoutes,
  armFaultPoint,
  auditRoutes,
  bootstrapAdmin,
  type Clock,
  createAccounts,
  createHttpServer,
  createLogger,
  createMetrics,
  createNonceStore,
  createQueue,
  createShutdown,
  exposeDatabase,
  type FailedJob,
  type HttpServer,
  type Logger,
  loadOrCreateKeyPair,
  makeDataFolder,
  migrate,
  migrateQueue,
  migrateService,
  openBlobStore,
  openDatabase,
  type Route,
  systemClock,
} from '@lantern/service';
import { anchorRoutes } from './audit/routes.ts';
import { bundleRoutes } from './bundles/routes.ts';
import { listOffersBySite } from './datasets/datasets.ts';
import { datasetRoutes } from './datasets/routes.ts';
import type { EnrolmentDeps } from './enrolment/enrolment.ts';
import { createMembers } from './enrolment/members.ts';
import { enrolmentRoutes } from './enrolment/routes.ts';
import { dropSite } from './exchange/answers.ts';
import { createIssuedTasks } from './exchange/issued-tasks.ts';
import { exchangeRoutes } from './exchange/routes.ts';
import { createTransactions, type HubContext } from './hub-context.ts';
import { enqueueAdvance, enqueueAdvanceAt, type JobHandlers, queueTasks, runIdOfJob } from './jobs.ts';
import { modelRoutes } from './models/routes.ts';
import { expireDecision, expireProject, type ProjectsDeps } from './projects/projects.ts';
import { projectRoutes } from './projects/routes.ts';
import { questionRoutes } from './questions/routes.ts';
import { type AdvanceDeps, createAdvance, resumeRuns } from './runs/advance.ts';
import { createLooks } from './runs/looks.ts';
import { createRoundAnswers } from './runs/round-answers.ts';
import { runRoutes } from './runs/routes.ts';
import { failBrokenRun, stopRunsOf } from './runs/runs.ts';
import { sweepRound } from './runs/sweeping.ts';
import type { HubConfig } from './settings.ts';
import type { HubTables, HubTx } from './tables.ts';
import { openWakeups } from './wakeups.ts';

const JOBS_AT_ONCE = 4; // rounds of several runs may close beside each other; folding uses one core anyway
const SECOND_LOOK_MS = 1000; // longer than any transaction that was under way when a site was dropped
const VERSION = '0.1.0';

export type RunningHub = {
  readonly url: string;
  /** Every route with its access, for the test that asks them all. */
  readonly routes: HttpServer['routes'];
  /** Ends long polls and jobs, then the database. May be called twice. */
  readonly close: () => Promise<void>;
};

export type HubOptions = { readonly clock?: Clock; readonly log?: Logger; readonly onSignals?: boolean };

/** Starts a hub: key, database, migrations, queue, server. Throws `config.invalid` or `set-up.failed`. */
export async function startHub(settings: HubConfig, options: HubOptions = {}): Promise<RunningHub> {
  armFaultPoint(settings.faultPoint);
  const log = options.log ?? createLogger({ name: 'hub', level: settings.logLevel });
  const shutdown = createShutdown(log);
  try {
    const server = await build(settings, { clock: options.clock ?? systemClock, log, shutdown });
    const url = await server.listen({ host: settings.httpHost, port: settings.httpPort });
    if (options.onSignals === true) shutdown.onSignals();
    log.info({ url, hubName: settings.hubName }, 'the hub is ready');
    return { url, routes: server.routes, close: () => shutdown.close() };
  } catch (caught) {
    await shutdown.close();
    throw caught;
  }
}

type Parts = { readonly clock: Clock; readonly log: Logger; readonly shutdown: ReturnType<typeof createShutdown> };

async function build(settings: HubConfig, parts: Parts): Promise<HttpServer> {
  const { clock, log, shutdown } = parts;
  const { dataDir } = settings;
  await makeDataFolder(dataDir);
  const tls = await readTls(settings);
  const database = await openDatabase({ url: settings.databaseUrl, dataDir, log, applicationName: 'lantern-hub' });
  shutdown.onClose('database', () => database.close());
  exposeDatabase(() => database.embeddedPid());
  await migrateService(database);
  await migrate(database, { name: 'hub', dir: fileURLToPath(new URL('../migrations', import.meta.url)) });
  await migrateQueue(database);

  const keyPair = await loadOrCreateKeyPair(join(dataDir, 'hub.key'));
  const blobs = await openBlobStore({ dir: join(dataDir, 'blobs') });
  const wakeups = await openWakeups(database);
  shutdown.onClose('wake-ups', () => wakeups.close());
  const accounts = createAccounts({ db: database, clock, roles: HUB_ROLES });
  await bootstrapAdmin({ db: database, accounts, clock, file: join(dataDir, 'admin.token') });

  const { hubName } = settings;
  const db = database.kysely<HubTables>();
  const transaction = createTransactions(database);
  const context: HubContext = { db, transaction, clock, log, keyPair, hubName, wakeups, issued: createIssuedTasks() };
  const hub = wire({ ...context, blobs, folder: createFolder() });
  shutdown.onClose('runs', () => hub.looks.close());
  await resumeRuns(context);
  const queue = createQueue({
    db: database,
    tasks: queueTasks(hub.jobs),
    concurrency: JOBS_AT_ONCE,
    log,
    onFailed: (job) => hub.jobFailed(job),
  });
  await queue.start();
  shutdown.onClose('queue', () => queue.close());

  const metrics = createMetrics('lantern-hub');
  shutdown.onClose('metrics', () => metrics.close());
  const server = await createHttpServer({
    routes: [
      ...hub.routes,
      ...accountRoutes({ accounts, db: database, clock, roles: HUB_ROLES }),
      ...auditRoutes({ db: database, keyPair, clock, readers: ['admin'] }),
    ],
    authenticators: {
      token: (token) => accounts.authenticate(token),
      site: {
        lookupKey: (keyId) => hub.members.lookupKey(keyId),
        nonces: createNonceStore({ db: database, clock }),
        clock,
      },
    },
    log,
    metrics,
    clock,
    title: SERVER_TITLES.hub,
    version: VERSION,
    readyChecks: [{ name: 'database', check: async () => void (await database.pool.query('select 1')) }],
    ...(settings.publicMetrics === true
      ? { metricsAccess: { kind: 'public', why: 'the operator has said so (publicMetrics)' } as const }
      : {}),
    ...(tls === undefined ? {} : { tls }),
  });
  shutdown.onClose('http', () => server.close());
  return server;
}

async function readTls(settings: HubConfig): Promise<{ key: string; cert: string } | undefined> {
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

/** The capabilities, and what each tells another: by functions handed over here, never by reading its tables. */
function wire(deps: AdvanceDeps) {
  const advance = createAdvance(deps);
  const looks = createLooks({ ...deps, advance: (runId, signal) => advance(runId, { signal, isJob: false }) });
  const roundAnswers = createRoundAnswers({ ...deps, look: looks.look });
  /** Twice, since an answer that commits at the same moment may have counted the dropped task as still open. */
  const touched = async (tx: HubTx, runId: RunId) => {
    await enqueueAdvance(tx, runId);
    await enqueueAdvanceAt(tx, runId, new Date(deps.clock.now().getTime() + SECOND_LOOK_MS));
  };
  const members = createMembers(deps);
  const enrolment: EnrolmentDeps = {
    ...deps,
    offersBySite: listOffersBySite,
    forgetMembers: members.forget,
    onRevoked: (tx, siteId) =>
      dropSite({ clock: deps.clock, touched }, tx, { siteId, message: 'site.revoked: The site was revoked.' }),
  };
  const { signerOf } = members;
  const projects: ProjectsDeps = {
    ...deps,
    signerOf,
    onEnded: (tx, end) => stopRunsOf(deps, tx, end),
    onWithdrawn: (tx, word) =>
      dropSite({ clock: deps.clock, touched }, tx, {
        ...word,
        message: 'policy.not-approved: The site has no approval for this project any more.',
      }),
  };
  const routes: Route[] = [
    ...enrolmentRoutes(enrolment),
    ...exchangeRoutes({ ...deps, signerOf, rounds: roundAnswers, heard: members.heard }),
    ...datasetRoutes(deps),
    ...bundleRoutes(deps),
    ...projectRoutes(projects),
    ...questionRoutes(deps),
    ...runRoutes(deps),
    ...modelRoutes(deps),
    ...anchorRoutes({ ...deps, signerOf }),
  ];
  return {
    looks,
    members,
    routes,
    jobs: {
      advanceRun: ({ runId }, signal) => advance(runId, { signal, isJob: true }),
      sweepRound: (job) => sweepRound(deps, job),
      expireProject: ({ projectId }) => expireProject(projects, projectId),
      expireDecision: (job) => expireDecision(projects, job),
    } satisfies JobHandlers,
    async jobFailed({ name, payload, error }: FailedJob): Promise<void> {
      const runId = runIdOfJob(name, payload);
      if (runId !== undefined) await failBrokenRun(deps, runId, error);
    },
  };
}
