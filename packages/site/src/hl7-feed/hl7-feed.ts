/**
 * The feed of HL7 v2 messages, wired: what listens, stores, maps and shows them.
 *
 *   senders ──► intake ──► hl7_message ──► processing ──► whoever applies a bundle (the FHIR store of the site)
 *
 * Without somebody who applies them, messages are stored and wait.
 */
import { readFile } from 'node:fs/promises';
import { AppError } from '@lantern/contract';
import { type MllpServer, startMllpServer } from '@lantern/hl7';
import { type Clock, type Database, type Logger, newSecret, type Route } from '@lantern/service';
import { createResearchKeys } from '../research-keys/research-keys.ts';
import type { Sweep } from '../sweeper.ts';
import { createFeedAccess } from './feed-access.ts';
import { assertFeedSettings, type FeedSettings } from './feed-settings.ts';
import { createIntake } from './intake.ts';
import { createPatientHasher } from './patient-keys.ts';
import { type ApplyBundle, createProcessing } from './processing.ts';
import { feedRoutes } from './routes.ts';
import { createFeedSenders } from './senders.ts';
import { dropContents, type FeedTables } from './store.ts';

const PROCESSING_SWEEP_MS = 5_000; // what was left by trouble; a new message is mapped at once
const RETENTION_SWEEP_MS = 3_600_000; // days are kept; nobody waits for it
const RETENTION_BATCH = 1000;
const DAY_MS = 86_400_000;
const LISTENER_ID_BYTES = 16;

export type Hl7Feed = {
  readonly routes: readonly Route[];
  readonly sweeps: readonly Sweep[];
  /** Opens the port, which it gives. */
  listen(): Promise<number>;
  /** Takes no more, and answers what is under way. */
  close(): Promise<void>;
};

export type FeedDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: FeedSettings;
  readonly applyBundle?: ApplyBundle;
};

export async function createHl7Feed(deps: FeedDeps): Promise<Hl7Feed> {
  const { settings, log, database, clock, applyBundle } = deps;
  assertFeedSettings(settings);
  const senders = createFeedSenders(settings);
  const processing = applyBundle === undefined ? undefined : createProcessing({ ...deps, senders, applyBundle });
  const hashPatient = createPatientHasher(await createResearchKeys(deps).keyOf('hl7-feed'));
  const listenerId = newSecret(LISTENER_ID_BYTES).slice(0, 8);
  const intake = createIntake({
    ...{ database, clock, log, settings, senders, hashPatient, listenerId },
    onStored: () => processing?.wake(),
  });
  let server: MllpServer | undefined;
  return {
    routes: feedRoutes(createFeedAccess(deps, () => processing?.wake())),
    sweeps: [
      { name: 'HL7 contents', everyMs: RETENTION_SWEEP_MS, run: (signal) => retain(deps, signal) },
      ...(processing === undefined
        ? []
        : [
            {
              name: 'HL7 messages',
              everyMs: PROCESSING_SWEEP_MS,
              run: (signal: AbortSignal) => processing.sweep(signal),
            },
          ]),
    ],
    async listen() {
      const tls = await readTls(settings);
      try {
        server = await startMllpServer({
          ...{ host: settings.host, port: settings.port, connectionCountMax: settings.connectionCountMax },
          ...(tls === undefined ? {} : { tls }),
          admit: ({ address }) => {
            const isKnown = senders.knows(address);
            if (!isKnown) log.warn({ address }, 'an HL7 connection was refused');
            return isKnown;
          },
          receive: (content, peer) => intake.receive(content, peer),
          receiveBroken: (broken, peer) => intake.receiveBroken(broken, peer),
          onProblem: (err, peer) => log.warn({ err, address: peer?.address }, 'an HL7 connection had a problem'),
        });
        return server.port;
      } catch (cause) {
        const message = `The HL7 port ${settings.port} on ${settings.host} cannot be listened on.`;
        throw new AppError('set-up.failed', message, { field: 'hl7.port', cause });
      }
    },
    async close() {
      await server?.close();
      await intake.close();
      await processing?.close();
    },
  };
}

async function retain({ database, clock, settings }: FeedDeps, signal: AbortSignal): Promise<void> {
  const before = new Date(clock.now().getTime() - settings.keepDays * DAY_MS);
  const db = database.kysely<FeedTables>();
  while (!signal.aborted && (await dropContents(db, before, RETENTION_BATCH)) === RETENTION_BATCH);
}

async function readTls({ tlsCertFile, tlsKeyFile, tlsCaFile }: FeedSettings) {
  if (tlsCertFile === undefined || tlsKeyFile === undefined) return undefined;
  try {
    const [cert, key, clientCa] = await Promise.all([
      readFile(tlsCertFile, 'utf8'),
      readFile(tlsKeyFile, 'utf8'),
      tlsCaFile === undefined ? undefined : readFile(tlsCaFile, 'utf8'),
    ]);
    return { cert, key, ...(clientCa === undefined ? {} : { clientCa }) };
  } catch (cause) {
    throw new AppError('config.invalid', 'hl7: a TLS file cannot be read.', { field: 'hl7.tlsCertFile', cause });
  }
}
