/** A site as its own hospital runs it: real process objects, real database, real sockets, in a folder of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  type ApiClient,
  createApiClient,
  type DatasetSchema,
  type FeasibilityPolicy,
  type NewDecision,
  type ProjectId,
  type ProjectSpec,
  parse,
  type RegisteredDataset,
  SITE_API,
  SITE_ROLES,
  type SiteProject,
  type SiteRole,
} from '@lantern/contract';
import {
  type Clock,
  createAccounts,
  createHttpClient,
  createLogger,
  type Database,
  documentDigest,
  newId,
  openTestDatabase,
  sha256,
  systemClock,
} from '@lantern/service';
import { type SiteConfig, SiteConfigSchema } from '../src/config.ts';
import { joinHub } from '../src/hub-link/join.ts';
import { type RunningSite, startSite } from '../src/main.ts';
import type { SiteTables } from '../src/tables.ts';
import type { ScriptedHub } from './scripted-hub.ts';

const TOKEN_MS = 12 * 3600 * 1000;

export type TestSite = {
  readonly settings: SiteConfig;
  readonly database: Database;
  readonly db: ReturnType<typeof kyselyOf>;
  url(): string;
  routes(): RunningSite['routes'];
  tokens(): Record<SiteRole, string>;
  as(role: SiteRole): ApiClient;
  /** Uploads and registers a table. */
  register(table: {
    schema: DatasetSchema;
    csv: string | Buffer;
    feasibility?: FeasibilityPolicy;
  }): Promise<RegisteredDataset>;
  /** Lets the hub ask for a project, and decides on it. */
  project(hub: ScriptedHub, spec: ProjectSpec, decision?: NewDecision): Promise<ProjectId>;
  decide(projectId: ProjectId, decision: NewDecision): Promise<SiteProject>;
  stop(): Promise<void>;
  start(options?: { clock?: Clock }): Promise<void>;
  close(): Promise<void>;
};

function kyselyOf(database: Database) {
  return database.kysely<SiteTables>();
}

export function settingsFor(dataDir: string, databaseUrl: string, change: Partial<SiteConfig> = {}): SiteConfig {
  return parse(
    SiteConfigSchema,
    {
      dataDir,
      databaseUrl,
      httpHost: '127.0.0.1',
      httpPort: 0,
      logLevel: 'silent',
      duckdbMemoryMiB: 256,
      duckdbThreads: 2,
      trainingThreads: 1,
      taskConcurrency: 4,
      questionMsMin: 0, // most tests ask many questions, and look at other things
      aucMin: 0.5,
      siteCountMin: 1,
      ...change,
    },
    { what: 'settings' },
  );
}

/** Joins the hub and starts. */
export async function startTestSite(
  hub: ScriptedHub,
  name: string,
  change: Partial<SiteConfig> = {},
): Promise<TestSite> {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'lantern-site-'));
  const database = await openTestDatabase(name);
  const settings = settingsFor(dataDir, database.url, change);
  await joinHub(settings, { hubUrl: hub.url, code: hub.code, siteName: 'Clinic' });
  const log = createLogger({ name: 'site', level: settings.logLevel });
  let site = await startSite(settings, { log });
  const tokens = await makeTokens(database);
  const as = (role: SiteRole) => apiOf(site.url, tokens[role]);
  return {
    settings,
    database,
    db: kyselyOf(database),
    url: () => site.url,
    routes: () => site.routes,
    tokens: () => tokens,
    as,
    async register({ schema, csv, feasibility = 'approved-projects' }) {
      const digest = await upload(site.url, tokens['data-engineer'], Buffer.from(csv));
      const source = { digest, format: 'csv' } as const;
      return as('data-engineer').call(SITE_API.registerDataset, { body: { schema, source, feasibility } });
    },
    async project(asking, spec, decision) {
      const projectId = newId('ProjectId');
      asking.asked.push({ projectId, spec, projectDigest: documentDigest(spec), state: 'submitted' });
      if (decision !== undefined)
        await as('governance').call(SITE_API.decide, { params: { projectId }, body: decision });
      return projectId;
    },
    decide: (projectId, body) => as('governance').call(SITE_API.decide, { params: { projectId }, body }),
    stop: () => site.close(),
    async start(options = {}) {
      site = await startSite(settings, { log, ...options });
    },
    async close() {
      await site.close();
      await database.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export function apiOf(url: string, token: string): ApiClient {
  return createApiClient(createHttpClient({ baseUrl: url, token, clock: systemClock }).transport);
}

/** An account per role, each with its role alone and a token; without passwords, whose hashing would be most of the test. */
export async function makeTokens(database: Database): Promise<Record<SiteRole, string>> {
  const accounts = createAccounts({ db: database, clock: systemClock, roles: SITE_ROLES });
  const tokenOf = (role: SiteRole) => {
    const account = { name: `test.${role}`, roles: [role], expiresInMs: TOKEN_MS };
    return database.transaction(async (tx) => (await accounts.createTokenAccount(account, tx)).token);
  };
  return {
    admin: await tokenOf('admin'),
    governance: await tokenOf('governance'),
    'data-engineer': await tokenOf('data-engineer'),
    clinician: await tokenOf('clinician'),
  };
}

export async function upload(url: string, token: string, bytes: Buffer) {
  const http = createHttpClient({ baseUrl: url, token, clock: systemClock });
  const digest = sha256(bytes);
  const { offset } = await apiOf(url, token).call(SITE_API.importOffset, { params: { digest } });
  const body = bytes.subarray(offset);
  await http.upload(`/api/v1/imports/${digest}?offset=${offset}&sizeBytes=${bytes.length}`, {
    body,
    sizeBytes: body.length,
    digest: sha256(body),
    schema: SITE_API.appendImport.response,
  });
  http.close();
  return digest;
}
