/** The imaging plane alone: real database, folder and sockets, with peers that may do everything. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Clock,
  createLogger,
  createQueue,
  type Database,
  generateKeyPair,
  loadConfig,
  migrate,
  migrateQueue,
  migrateService,
  openTestDatabase,
  systemClock,
} from '@lantern/service';
import type { Received } from '../src/archive/archive.ts';
import { type DicomSettings, DicomSettingsSchema } from '../src/dimse/dicom-settings.ts';
import { createImaging, type Imaging, type ImagingDeps } from '../src/imaging.ts';

export const OWN_AE = 'LANTERN';
export const PEER_AE = 'SCANNER';

export type TestImaging = {
  readonly imaging: Imaging;
  readonly database: Database;
  readonly dir: string;
  readonly port: number;
  /** Runs every sweep once, as the sweeper of a site does from time to time. */
  sweep(): Promise<void>;
  /** Ends it as a site that closes does; the database stays. */
  stop(): Promise<void>;
  /** After `stop`: on the same port, over what was left. */
  restart(): Promise<void>;
  close(): Promise<void>;
};

type Options = Partial<Pick<ImagingDeps, 'freeBytesMin' | 'followers' | 'research' | 'log'>> & {
  readonly name: string;
  readonly clock?: Clock;
  /** A folder of the test; it is removed at the end. */
  readonly folder?: string;
  readonly settings?: object;
};

function dicomSettings(changes: object = {}): DicomSettings {
  const own = { aeTitles: [{ aeTitle: OWN_AE }], peers: [{ aeTitle: PEER_AE, hosts: ['127.0.0.1'], mayQuery: true }] };
  return loadConfig({ schema: DicomSettingsSchema, env: {}, prefix: '', overrides: { port: 0, ...own, ...changes } });
}

export async function startTestImaging({ name, clock, folder, settings, ...options }: Options): Promise<TestImaging> {
  const database = await openTestDatabase(name);
  await migrateService(database);
  await migrate(database, { name: 'site', dir: fileURLToPath(new URL('../migrations', import.meta.url)) });
  await migrateQueue(database);
  const dir = folder ?? (await mkdtemp(path.join(tmpdir(), 'lantern-images-')));
  const log = options.log ?? createLogger({ name: 'imaging', level: 'silent' });
  const keyPair = generateKeyPair();
  const start = async (port: number) => {
    const imaging = await createImaging({
      database,
      keyPair,
      dir: path.join(dir, 'images'),
      clock: clock ?? systemClock,
      log,
      freeBytesMin: 0,
      settings: dicomSettings({ port, ...settings }),
      ...options,
    });
    const onFailed = imaging.jobFailed;
    const queue = createQueue({ db: database, tasks: imaging.jobs, concurrency: 4, log, onFailed });
    await queue.start();
    return { imaging, queue, port: await imaging.listen() };
  };
  const stop = async ({ queue, imaging }: Awaited<ReturnType<typeof start>>) => {
    await queue.close();
    await imaging.close();
  };
  let running = await start(0);
  return {
    database,
    dir,
    get imaging() {
      return running.imaging;
    },
    get port() {
      return running.port;
    },
    async sweep() {
      for (const { run } of running.imaging.sweeps) await run(new AbortController().signal);
    },
    async stop() {
      await stop(running);
    },
    async restart() {
      running = await start(running.port);
    },
    async close() {
      await stop(running);
      await database.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

type Sent = {
  readonly sopClass: string;
  readonly sopInstance: string;
  readonly transferSyntax: string;
  /** The data set, encoded. */
  readonly content: Buffer;
};

type Taking = {
  readonly calledAe?: string;
  readonly lateOpensRevision?: boolean;
  /** How the data set arrives; by default in one piece. */
  readonly pieces?: (content: Buffer) => AsyncIterable<Uint8Array>;
};

/** Takes an instance into the archive without a network between. */
export function takeIn({ archive }: Pick<Imaging, 'archive'>, sent: Sent, options: Taking = {}): Promise<Received> {
  const { calledAe = OWN_AE, lateOpensRevision = true, pieces = inOnePiece } = options;
  return archive.receive({
    sopClassUid: sent.sopClass,
    sopInstanceUid: sent.sopInstance,
    transferSyntaxUid: sent.transferSyntax,
    callingAe: PEER_AE,
    calledAe,
    lateOpensRevision,
    dataSet: pieces(sent.content),
  });
}

async function* inOnePiece(content: Buffer): AsyncGenerator<Uint8Array> {
  yield content;
}
