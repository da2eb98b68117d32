/** Whether a site's hub can be reached, agrees about the time, and still accepts the site's key. */
import path from 'node:path';
import { type AppError, createApiClient, HUB_API, toAppError } from '@lantern/contract';
import { createHttpClient, type KeyPair, loadKeyPair, systemClock } from '@lantern/service';
import { KEY_FILE, readLinkFile } from '@lantern/site';
import type { Finding } from './checks.ts';

const SKEW_WARN_MS = 60_000; // refused beyond five minutes; a minute already says that NTP does not work

const RESTORE = 'Restore the file from a backup of this folder, or join the hub anew with a folder of its own.';

/** `caFile`: the authority to trust, as the site would be told. */
type Trust = { readonly caFile?: string };

export async function checkHub(hubUrl: string, { caFile }: Trust = {}): Promise<Finding[]> {
  const http = createHttpClient({ baseUrl: hubUrl, clock: systemClock, ...(caFile === undefined ? {} : { caFile }) });
  const sentMs = Date.now();
  try {
    const health = await http.download('/health');
    const receivedMs = Date.now();
    health.body.destroy();
    const reached: Finding = { check: 'hub', verdict: 'good', says: `${hubUrl} answers.` };
    return [reached, clockFinding(dateOf(health.headers), (sentMs + receivedMs) / 2)];
  } catch (caught) {
    const says = `${hubUrl} does not answer: ${toAppError(caught).message}`;
    const fix =
      'Check the address, that outbound HTTPS (443) is allowed, and whether a proxy (httpsProxy) or an authority (caFile) must be set.';
    return [{ check: 'hub', verdict: 'bad', says, fix }];
  } finally {
    http.close();
  }
}

function dateOf(headers: Readonly<Record<string, unknown>>): Date | undefined {
  const date = new Date(String(headers['date']));
  return Number.isNaN(date.getTime()) ? undefined : date;
}

export function clockFinding(hubDate: Date | undefined, nowMs: number): Finding {
  if (hubDate === undefined) return { check: 'clock', verdict: 'skip', says: 'The hub does not tell the time.' };
  const skewMs = nowMs - hubDate.getTime();
  const seconds = Math.abs(Math.round(skewMs / 1000));
  if (Math.abs(skewMs) < SKEW_WARN_MS)
    return { check: 'clock', verdict: 'good', says: `Within ${Math.max(1, seconds)} s of the hub's.` };
  return {
    check: 'clock',
    verdict: 'bad',
    says: `This machine's clock is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} the hub's; signed requests are refused beyond 300 s.`,
    fix: 'Set the clock by NTP (chrony or systemd-timesyncd).',
  };
}

/** Makes the cheapest request that needs a valid signature: the list of projects that ask this site. */
export async function checkKey(dataDir: string, trust: Trust = {}): Promise<Finding[]> {
  let link: Awaited<ReturnType<typeof readLinkFile>>;
  try {
    link = await readLinkFile(dataDir);
  } catch (caught) {
    const says = `How this site joined its hub cannot be read: ${toAppError(caught).message}`;
    return [{ check: 'hub', verdict: 'bad', says, fix: RESTORE }];
  }
  if (link === undefined) {
    const says = 'No key of a joined site lies here: this is a hub, or a site before its lantern site join.';
    return [{ check: 'key', verdict: 'skip', says }];
  }
  const hub = await checkHub(link.hubUrl, trust);
  if (hub.some((finding) => finding.check === 'hub' && finding.verdict === 'bad')) return hub;
  const keyPair = await keyOf(dataDir);
  if ('verdict' in keyPair) return [...hub, keyPair];
  const { caFile } = trust;
  const http = createHttpClient({
    baseUrl: link.hubUrl,
    signer: { keyPair },
    clock: systemClock,
    ...(caFile === undefined ? {} : { caFile }),
  });
  try {
    await createApiClient(http.transport).call(HUB_API.listAskedProjects, {});
    return [...hub, { check: 'key', verdict: 'good', says: "The hub accepts this site's key." }];
  } catch (caught) {
    return [...hub, keyFinding(toAppError(caught))];
  } finally {
    http.close();
  }
}

/** Reads the key, and never makes one: a new key in the place of a lost one would only hide that it is lost. */
async function keyOf(dataDir: string): Promise<KeyPair | Finding> {
  try {
    const keyPair = await loadKeyPair(path.join(dataDir, KEY_FILE));
    return (
      keyPair ?? { check: 'key', verdict: 'bad', says: `The key of this site (${KEY_FILE}) is gone.`, fix: RESTORE }
    );
  } catch (caught) {
    return { check: 'key', verdict: 'bad', says: toAppError(caught).message, fix: RESTORE };
  }
}

export function keyFinding(error: AppError): Finding {
  return { check: 'key', verdict: 'bad', says: `The hub refuses this site: ${error.message}`, fix: error.hint };
}
