/**
 * The site's one standing connection: it asks the hub for tasks by a long poll and hands them to the inbox. The site always
 * dials out; nothing ever connects to it from outside.
 *
 * States: connected (the last poll was answered and its tasks are kept here) or not, with the reason. A hub that is away is
 * asked again with growing, jittered waits, and so it is while a full disk keeps this site from taking tasks over; nothing is
 * given up and nothing has to be restarted afterwards.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { AppError, type HubLink, type SignedEnvelope, TASK_WAIT_MS_MAX, toAppError } from '@lantern/contract';
import type { Clock, Logger } from '@lantern/service';
import type { LinkFile } from './link-file.ts';
import type { Outbound } from './outbound.ts';

const BACK_OFF_MS_MIN = 250; // a hub that restarts is back within a second or two
const BACK_OFF_MS_MAX = 30_000; // an hour of absence costs 120 requests, and the first task waits half a minute at most
const NOTHING_NEW_WAIT_MS = 100; // tasks that are only repeats do not turn the poll into a busy loop

export type HubLinkDeps = {
  readonly link: LinkFile;
  readonly outbound: Outbound;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1); spreads the returning sites of a hub that was away. */
  readonly uniform: () => number;
  /** Takes tasks over durably; says how many were new. */
  readonly receive: (envelopes: readonly SignedEnvelope[]) => Promise<number>;
  /** Called when the hub answers after it had not. */
  readonly onConnected: () => Promise<void>;
  /** Called after each answered poll; must be quick. */
  readonly onContact: (signal: AbortSignal) => Promise<void>;
};

export type HubLinkLoop = { status(): HubLink; close(): Promise<void> };

export function startHubLink(deps: HubLinkDeps): HubLinkLoop {
  const stop = new AbortController();
  const contact: Contact = { connected: false, failures: 0 };
  const ended = pollUntilStopped(deps, contact, stop.signal);
  return {
    status: () => statusOf(deps.link, contact),
    async close() {
      stop.abort(new AppError('stopped', 'The site is shutting down.'));
      await ended;
    },
  };
}

type Contact = {
  connected: boolean;
  failures: number;
  lastContactAt?: Date;
  lastError?: { code: string; message: string };
};

async function pollUntilStopped(deps: HubLinkDeps, contact: Contact, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      // Without waiting, the hub hands over every open task again: nothing is lost that either side forgot meanwhile.
      const waitMs = contact.connected ? TASK_WAIT_MS_MAX : 0;
      const { tasks } = await deps.outbound.call('pollTasks', { query: { waitMs }, signal });
      contact.lastContactAt = deps.clock.now();
      const newCount = await deps.receive(tasks);
      if (!contact.connected) await connected(deps, contact);
      await deps.onContact(signal);
      if (tasks.length > 0 && newCount === 0) await pause(NOTHING_NEW_WAIT_MS, signal);
    } catch (caught) {
      if (signal.aborted) return;
      await pause(failed(deps, contact, caught), signal);
    }
  }
}

async function connected(deps: HubLinkDeps, contact: Contact): Promise<void> {
  await deps.onConnected(); // first: a database that is away must not make this look like a hub that comes and goes
  contact.connected = true;
  contact.failures = 0;
  delete contact.lastError;
  deps.log.info({ hubUrl: deps.link.hubUrl }, 'connected to the hub');
}

/** Notes the failure and says how long to wait: doubling, with half of it random. */
function failed(deps: HubLinkDeps, contact: Contact, caught: unknown): number {
  const error = toAppError(caught);
  const first = contact.connected || contact.lastError?.code !== error.code;
  contact.connected = false;
  contact.failures += 1;
  contact.lastError = { code: error.code, message: error.message };
  if (first) deps.log.warn({ err: error, hubUrl: deps.link.hubUrl }, 'tasks of the hub cannot be taken over yet');
  const backOffMs = Math.min(BACK_OFF_MS_MAX, BACK_OFF_MS_MIN * 2 ** Math.min(contact.failures - 1, 16));
  return backOffMs * (0.5 + 0.5 * deps.uniform());
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch((caught: unknown) => {
    if (!signal.aborted) throw caught;
  });
}

function statusOf(link: LinkFile, contact: Contact): HubLink {
  return {
    siteId: link.siteId,
    siteName: link.siteName,
    hubUrl: link.hubUrl,
    hubName: link.hubName,
    connected: contact.connected,
    ...(contact.lastContactAt === undefined ? {} : { lastContactAt: contact.lastContactAt.toISOString() }),
    ...(contact.lastError === undefined ? {} : { lastError: contact.lastError }),
  };
}
