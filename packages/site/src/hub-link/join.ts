/**
 * Joining a hub: the site makes its own key, proves a one-time code and that key to the hub in one signed request, and keeps
 * the hub's public key. The private key never leaves the folder it was made in.
 *
 * The same code and key sent again (the first answer was lost) give the same site, so joining can simply be repeated.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { AppError, type HubLink } from '@lantern/contract';
import { createHttpClient, loadOrCreateKeyPair, publicKeyFromPem, systemClock } from '@lantern/service';
import type { SiteConfig } from '../config.ts';
import { KEY_FILE, readLinkFile, writeLinkFile } from './link-file.ts';
import { createOutbound } from './outbound.ts';

/** Throws `conflict` when this folder has already joined a hub, and whatever the hub says to the code. */
export async function joinHub(
  settings: SiteConfig,
  joining: { readonly hubUrl: string; readonly code: string; readonly siteName: string },
): Promise<HubLink> {
  await mkdir(settings.dataDir, { recursive: true, mode: 0o700 });
  const present = await readLinkFile(settings.dataDir);
  if (present !== undefined) {
    throw new AppError('conflict', `This folder has already joined ${present.hubName} as ${present.siteName}.`);
  }
  const keyPair = await loadOrCreateKeyPair(path.join(settings.dataDir, KEY_FILE));
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
