/** The feed alone: real database and sockets, with whoever applies bundles in the test's hand. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createMllpSender, type MllpSender } from '@lantern/hl7';
import {
  type Clock,
  createLogger,
  type Database,
  loadConfig,
  migrate,
  migrateService,
  openTestDatabase,
  systemClock,
} from '@lantern/service';
import { createFhirRecords, type FhirRecords } from '../src/fhir-records.ts';
import { FeedSettingsSchema } from '../src/hl7-feed/feed-settings.ts';
import { createHl7Feed, type Hl7Feed } from '../src/hl7-feed/hl7-feed.ts';
import type { ApplyBundle } from '../src/hl7-feed/processing.ts';

export type TestFeed = {
  readonly database: Database;
  readonly feed: Hl7Feed;
  readonly port: number;
  sender(): MllpSender;
  sweep(): Promise<void>;
  close(): Promise<void>;
};

type Options = {
  readonly name: string;
  readonly settings?: object;
  readonly applyBundle?: ApplyBundle;
  readonly clock?: Clock;
};

export async function startTestFeed({ name, settings, applyBundle, clock = systemClock }: Options): Promise<TestFeed> {
  const database = await openTestDatabase(name);
  await migrateService(database);
  await migrate(database, { name: 'site', dir: fileURLToPath(new URL('../migrations', import.meta.url)) });
  const senders = [{ name: 'lab', hosts: ['127.0.0.1'] }];
  const overrides = { port: 0, senders, ...settings };
  const feed = await createHl7Feed({
    database,
    clock,
    log: createLogger({ name: 'feed', level: 'silent' }),
    settings: loadConfig({ schema: FeedSettingsSchema, env: {}, prefix: '', overrides }),
    ...(applyBundle === undefined ? {} : { applyBundle }),
  });
  const port = await feed.listen();
  const opened: MllpSender[] = [];
  return {
    database,
    feed,
    port,
    sender() {
      const sender = createMllpSender({
        host: '127.0.0.1',
        port,
        uniform: () => 0.5,
        backOffMs: { first: 5, max: 50 },
      });
      opened.push(sender);
      return sender;
    },
    async sweep() {
      for (const { run } of feed.sweeps) await run(new AbortController().signal);
    },
    async close() {
      for (const sender of opened) sender.close();
      await feed.close();
      await database.close();
    },
  };
}

/** The feed and the records of a site, wired as `main.ts` wires them. */
export async function startTestRecordsFeed(options: Omit<Options, 'applyBundle'>): Promise<TestFeed> {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'lantern-feed-records-'));
  let records: FhirRecords | undefined;
  const feed = await startTestFeed({
    ...options,
    applyBundle: async (tx, bundle, source) => {
      const log = createLogger({ name: 'feed-records', level: 'silent' });
      records ??= await createFhirRecords({ database: feed.database, clock: systemClock, log, dataDir });
      return records.applyMessage(tx, bundle, source);
    },
  });
  const close = async () => {
    await feed.close();
    await rm(dataDir, { recursive: true, force: true });
  };
  return { ...feed, close };
}

export type Admission = {
  readonly controlId: string;
  readonly patient?: string;
  readonly birth?: string;
  readonly event?: string;
  readonly application?: string;
  readonly processingId?: string;
  readonly more?: readonly string[];
};

/** An ADT message of a made-up patient. */
export function admission(given: Admission): Buffer {
  const {
    controlId,
    patient = 'P1',
    birth = '19700102',
    event = 'A01',
    application = 'ADT',
    processingId = 'P',
  } = given;
  const lines = [
    `MSH|^~\\&|${application}|NORTH|LANTERN|SITE|20260203||ADT^${event}^ADT_A01|${controlId}|${processingId}|2.5.1`,
    'EVN||20260203',
    `PID|1||${patient}^^^NORTH^MR||Doe^Jo||${birth}|F`,
    `PV1|1|I|W1^2^3||||||||||||||||V${patient}`,
    ...(given.more ?? []),
  ];
  return Buffer.from(`${lines.join('\r')}\r`);
}
