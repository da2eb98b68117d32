/**
 * Joining a hub: the site makes its own key, proves a one-time code and that key to the hub in one signed request, and keeps
 * the hub's public key. The private key never leaves the folder it was made in.
 *
 * The same code and key sent again (the first answer was lost) give the same site, so joining can simply be repeated.
 */
import { existsSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { AppError, type ErrorCode, type HubLink } from '@lantern/contract';
import {
  createHttpClient,
  type KeyPair,
  loadOrCreateKeyPair,
  makeDataFolder,
  publicKeyFromPem,
  systemClock,
} from '@lantern/service';
import type { SiteConfig } from '../config.ts';
import { KEY_FILE, readLinkFile, writeLinkFile } from './link-file.ts';
import { createOutbound } from './outbound.ts';

/** By these the hub, or this machine before it asked, says that nothing was enrolled. After any other failure it may have been. */
const NOT_ENROLLED: ReadonlySet<ErrorCode> = new Set(['enrolment.code-rejected', 'config.invalid', 'signature.stale']);

type Joining = { readonly hubUrl: string; readonly code: string; readonly siteName: string };

/**
 * Throws `conflict` when this folder has already joined a hub, and whatever the hub says to the code. A refusal leaves no key
 * and no folder behind that were not there before.
 */
export async function joinHub(settings: SiteConfig, joining: Joining): Promise<HubLink> {
  const { dataDir } = settings;
  const present = await readLinkFile(dataDir);
  if (present !== undefined) {
    throw new AppError('conflict', `This folder has already joined ${present.hubName} as ${present.siteName}.`);
  }
  const keyFile = path.join(dataDir, KEY_FILE);
  const isKeyNew = !existsSync(keyFile);
  const madeFolder = await makeDataFolder(dataDir, { mode: 0o700 });
  try {
    return await enrol(settings, joining, await loadOrCreateKeyPair(keyFile));
  } catch (caught) {
    if (caught instanceof AppError && NOT_ENROLLED.has(caught.code)) {
      if (isKeyNew) await rm(keyFile, { force: true });
      if (madeFolder !== undefined) await removeEmpty(path.resolve(dataDir), madeFolder);
    }
    throw caught;
  }
}

/** Removes a folder and those above it up to `topmost`; the first that holds something ends it. */
async function removeEmpty(folder: string, topmost: string): Promise<void> {
  for (let one = folder; one.startsWith(topmost); one = path.dirname(one)) {
    if (!(await isRemoved(one))) return;
  }
}

function isRemoved(folder: string): Promise<boolean> {
  return rmdir(folder).then(
    () => true,
    () => false, // not empty: somebody put something there meanwhile
  );
}

async function enrol(settings: SiteConfig, joining: Joining, keyPair: KeyPair): Promise<HubLink> {
  const http = createHttpClient({
    baseUrl: joining.hubUrl,
    signer: { keyPair },
    clock: systemClock,
    ...(settings.caFile === undefined ? {} : { caFile: settings.caFile }),
    ...(settings.httpsProxy === undefined ? {} : { proxyUrl: settings.httpsProxy }),
  });
  const outbound = createOutbound(http);
  try {
    const enrolment = await outbound.call('enrol', {
      body: { code: joining.code, name: joining.siteName, publicKeyPem: keyPair.publicKeyPem },
    });
    publicKeyFromPem(enrolment.hubPublicKeyPem);
    const link = {
      schema: 'lantern.hub-link/1' as const,
      hubUrl: joining.hubUrl,
      hubName: enrolment.hubName,
      hubPublicKeyPem: enrolment.hubPublicKeyPem,
      siteId: enrolment.siteId,
      siteName: enrolment.name,
      joinedAt: systemClock.now().toISOString(),
    };
    await writeLinkFile(settings.dataDir, link);
    const { siteId, siteName, hubUrl, hubName } = link;
    return { siteId, siteName, hubUrl, hubName, connected: true, lastContactAt: link.joinedAt };
  } finally {
    outbound.close();
  }
}
