/** The imaging plane with its jobs and its HTTP server, and what tests of research copies do with it. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import {
  type ApiClient,
  type ImageCollection,
  RESEARCH_IMAGES_API,
  SITE_ROLES,
  type SiteRole,
} from '@lantern/contract';
import { dataSetOf, encodeDataSet, textElement, transferSyntaxOf } from '@lantern/dicom';
import {
  type Clock,
  createAccounts,
  createHttpServer,
  createLogger,
  createMetrics,
  type Database,
  systemClock,
} from '@lantern/service';
import { sql } from 'kysely';
import type { ImagingDeps } from '../src/imaging.ts';
import { OWN_AE, startTestImaging, type TestImaging, takeIn } from './imaging-harness.ts';
import { apiOf, makeTokens } from './site-harness.ts';

const IDLE_WAIT_MS = 20_000;
const IDLE_POLL_MS = 20;

export type TestResearch = TestImaging & {
  readonly url: string;
  as(role: SiteRole): ApiClient;
  tokens: Readonly<Record<SiteRole, string>>;
  /** Ends studies and waits until no job waits or runs. */
  settle(): Promise<void>;
  endStudies(): Promise<void>;
  /** Waits until no job waits or runs. Throws where one has failed for good. */
  idle(): Promise<void>;
  /** Every file of research copies, below their folder. */
  copies(): Promise<string[]>;
  readonly copyDir: string;
};

type Options = Parameters<typeof startTestImaging>[0] & {
  readonly clock?: Clock;
  readonly research?: ImagingDeps['research'];
};

export async function startTestResearch(options: Options): Promise<TestResearch> {
  const node = await startTestImaging({
    ...options,
    settings: {
      aeTitles: [
        { aeTitle: OWN_AE, quietMs: 100 },
        { aeTitle: 'OTHER', quietMs: 100 },
      ],
      ...options.settings,
    },
  });
  const log = options.log ?? createLogger({ name: 'research', level: 'silent' });
  const { database } = node;
  const accounts = createAccounts({ db: database, clock: systemClock, roles: SITE_ROLES });
  const metrics = createMetrics('test-research');
  const serve = async (port: number) => {
    const server = await createHttpServer({
      routes: [...node.imaging.routes],
      authenticators: { token: (token) => accounts.authenticate(token) },
      ...{ log, metrics, clock: systemClock, title: 'Test', version: '0' },
      readyChecks: [],
    });
    return { server, url: await server.listen({ host: '127.0.0.1', port }) };
  };
  const served = await serve(0);
  const { url } = served;
  let { server } = served;
  const tokens = await makeTokens(database);
  const copyDir = path.join(node.dir, 'research-images');
  const endStudies = async () => {
    await sql`update image_arrival set last_at = last_at - interval '1 hour', first_at = first_at - interval '1 hour'
      where state = 'receiving'`.execute(database.kysely());
    await node.sweep();
  };
  return {
    ...node,
    get imaging() {
      return node.imaging; // another one after a restart
    },
    url,
    tokens,
    copyDir,
    as: (role) => apiOf(url, tokens[role]),
    endStudies,
    async settle() {
      await endStudies();
      await idle(database);
    },
    idle: () => idle(database),
    async copies() {
      const entries = await readdir(copyDir, { recursive: true, withFileTypes: true });
      return entries
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(copyDir, path.join(entry.parentPath, entry.name)))
        .sort();
    },
    /** With the HTTP server, which stands on what is wired anew. */
    async restart() {
      await server.close();
      await node.restart();
      server = (await serve(Number(new URL(url).port))).server;
    },
    async close() {
      await server.close();
      await metrics.close();
      await node.close();
    },
  };
}

async function idle(database: Database): Promise<void> {
  const deadline = performance.now() + IDLE_WAIT_MS;
  for (;;) {
    const { rows } = await database.pool.query<{ count: string; failed: string | null; error: string | null }>(
      `select count(*) filter (where attempts < max_attempts)::text as count,
         max(last_error) filter (where attempts >= max_attempts) as failed, max(last_error) as error
       from graphile_worker._private_jobs`,
    );
    if (rows[0]?.failed) throw new Error(`A job failed: ${rows[0].failed}`);
    if (rows[0]?.count === '0') return;
    if (performance.now() > deadline)
      throw new Error(`Jobs are still waiting: ${rows[0]?.error ?? 'without an error'}`);
    await new Promise((resolve) => setTimeout(resolve, IDLE_POLL_MS));
  }
}

type ElementBuilder = Parameters<typeof dataSetOf>[0][number];
const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';

/** Gives an object to the archive as if it had been received. */
export async function receive(
  node: TestImaging,
  object: { sopClassUid: string; sopInstanceUid: string; builders: readonly ElementBuilder[]; calledAe?: string },
): Promise<void> {
  const { sopClassUid, sopInstanceUid, builders } = object;
  const dataSet = dataSetOf([
    textElement('SOPClassUID', sopClassUid),
    textElement('SOPInstanceUID', sopInstanceUid),
    ...builders,
  ]);
  const pieces = encodeDataSet(dataSet, transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN));
  const content = Buffer.concat(pieces.filter((piece) => Buffer.isBuffer(piece)));
  const sent = { sopClass: sopClassUid, sopInstance: sopInstanceUid, transferSyntax: EXPLICIT_LITTLE_ENDIAN, content };
  await takeIn(node.imaging, sent, { calledAe: object.calledAe ?? OWN_AE });
}

/** A collection of all CT that arrives, unless told otherwise. */
export async function createCollection(node: TestResearch, changes: object = {}): Promise<ImageCollection> {
  return node.as('data-engineer').call(RESEARCH_IMAGES_API.createImageCollection, {
    body: {
      name: 'chest-ct',
      profile: { name: 'test' },
      series: [{ modalities: ['CT'] }],
      studies: { kind: 'arriving', aeTitles: [OWN_AE] },
      ...changes,
    },
  });
}

export async function approvedCollection(node: TestResearch, changes: object = {}): Promise<ImageCollection> {
  const { collectionId } = await createCollection(node, changes);
  return approve(node, collectionId);
}

export function approve(node: TestResearch, collectionId: ImageCollection['collectionId']): Promise<ImageCollection> {
  return node.as('governance').call(RESEARCH_IMAGES_API.approveImageCollection, {
    params: { collectionId },
    body: { reason: 'for the study of chests' },
  });
}
