/**
 * How a site becomes a member and ceases to be one.
 *
 * An administrator makes a one-time code for a named site; the site sends it with its public key in a request signed by
 * that very key, so a code that leaked is useless with somebody else's key and a key cannot be claimed without its private
 * half. Only the hash of a code is kept. Invariant: one code enrols one key; the same code with the same key again (the
 * answer was lost) gives the same answer. A revoked site is refused from the next request on and its open tasks end.
 */
import {
  AppError,
  type DatasetOffer,
  type EnrolledSite,
  type Enrolment,
  type EnrolmentRequest,
  SITE_STATES,
  type SiteId,
  transition,
} from '@lantern/contract';
import { newId, newSecret, type PublicKey, publicKeyFromPem, sha256 } from '@lantern/service';
import { audit, type HubContext, type Person } from '../hub-context.ts';
import type { HubDb, HubTx } from '../tables.ts';
import { wake } from '../wakeups.ts';
import * as store from './store.ts';

const CODE_BYTES = 20; // 160 random bits: guessing is hopeless even without a rate limit
const CODE_LIFETIME_MS = 24 * 3600 * 1000; // long enough to be carried to a hospital, short enough to be forgotten

export type EnrolmentDeps = HubContext & {
  readonly offersBySite: (db: HubDb) => Promise<ReadonlyMap<SiteId, readonly DatasetOffer[]>>;
  /** Ends what the site still had to do; called in the transaction that revokes it. */
  readonly onRevoked: (tx: HubTx, siteId: SiteId) => Promise<void>;
  /** Called once a revocation has committed. */
  readonly forgetMembers: () => void;
};

export async function createCode(
  deps: EnrolmentDeps,
  siteName: string,
  person: Person,
): Promise<{ code: string; expiresAt: string }> {
  const code = newSecret(CODE_BYTES);
  const createdAt = deps.clock.now();
  const expiresAt = new Date(createdAt.getTime() + CODE_LIFETIME_MS);
  await deps.transaction(async (tx: HubTx) => {
    await store.insertCode(tx, { codeHash: sha256(code), siteName, createdBy: person.name, createdAt, expiresAt });
    audit(deps, tx, { actor: person.userId, action: 'enrolment-code.create', object: siteName });
  });
  return { code, expiresAt: expiresAt.toISOString() };
}

/** The request's signature by `request.publicKeyPem` was verified by the caller. */
export async function enrol(deps: EnrolmentDeps, request: EnrolmentRequest): Promise<Enrolment> {
  const key = publicKeyFromPem(request.publicKeyPem);
  const siteId = await deps.transaction((tx: HubTx) => enrolInside(deps, tx, { request, key }));
  return { siteId, name: request.name, hubName: deps.hubName, hubPublicKeyPem: deps.keyPair.publicKeyPem };
}

async function enrolInside(
  deps: EnrolmentDeps,
  tx: HubTx,
  { request, key }: { request: EnrolmentRequest; key: PublicKey },
): Promise<SiteId> {
  const { keyId, publicKeyPem } = key;
  const { name } = request;
  const codeHash = sha256(request.code);
  const now = deps.clock.now();
  const code = await store.lockCode(tx, codeHash);
  const holder = await store.findSiteByKey(tx, keyId);
  const codeFits = code !== undefined && code.site_name === name;
  if (codeFits && holder !== undefined && holder.state === 'active' && code.used_by === holder.site_id) {
    return holder.site_id; // the first answer was lost on the way
  }
  if (!codeFits || code.used_at !== null || code.expires_at <= now) {
    throw new AppError('enrolment.code-rejected', 'The one-time code does not fit this site, is used or has expired.');
  }
  if (holder !== undefined) throw new AppError('conflict', 'This key is or was enrolled; the site needs a new key.');
  if ((await store.findActiveSiteByName(tx, name)) !== undefined) {
    throw new AppError('conflict', 'A site of this name is enrolled; revoke it first or choose another name.');
  }
  const siteId = newId('SiteId');
  await store.insertSite(tx, { siteId, name, keyId, publicKeyPem, enrolledAt: now });
  await store.markCodeUsed(tx, codeHash, { siteId, at: now });
  audit(deps, tx, { actor: siteId, action: 'site.enrol', object: siteId, details: { keyId } });
  return siteId;
}

export async function listSites(deps: EnrolmentDeps): Promise<EnrolledSite[]> {
  const [rows, offers] = await Promise.all([store.listSiteRows(deps.db), deps.offersBySite(deps.db)]);
  return rows.map((row) => ({
    siteId: row.site_id,
    name: row.name,
    state: row.state,
    enrolledAt: row.enrolled_at.toISOString(),
    ...(row.last_seen_at === null ? {} : { lastSeenAt: row.last_seen_at.toISOString() }),
    datasets: [...(offers.get(row.site_id) ?? [])],
  }));
}

export async function revokeSite(deps: EnrolmentDeps, siteId: SiteId, person: Person): Promise<void> {
  await deps.transaction(async (tx: HubTx) => {
    const row = await store.lockSite(tx, siteId);
    if (row === undefined) throw new AppError('not-found', 'There is no such site.');
    const state = transition(SITE_STATES, { what: 'site', state: row.state, event: 'revoke' });
    await store.updateSiteState(tx, siteId, state);
    await deps.onRevoked(tx, siteId);
    wake(tx, 'members');
    audit(deps, tx, { actor: person.userId, action: 'site.revoke', object: siteId });
  });
  deps.forgetMembers();
}

/** Those of `siteIds` that are members now and until the transaction ends, in ascending order. */
export async function activeSites(tx: HubTx, siteIds: readonly SiteId[]): Promise<SiteId[]> {
  return store.shareActiveSites(tx, siteIds);
}

/** Names to show to people; also of sites that were revoked. */
export async function namesOfSites(db: HubDb, siteIds: readonly SiteId[]): Promise<ReadonlyMap<SiteId, string>> {
  return store.listNamesOfSites(db, siteIds);
}
