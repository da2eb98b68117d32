/**
 * Who is behind a key, asked with every signed request, hence kept in memory. Which site a key belongs to never changes; that
 * the site is still a member is believed only until a revocation anywhere commits, which wakes every hub process.
 */
import { AppError, type SiteId } from '@lantern/contract';
import { type KeyLookup, type PublicKey, publicKeyFromPem } from '@lantern/service';
import type { HubContext } from '../hub-context.ts';
import * as store from './store.ts';

const LAST_SEEN_INTERVAL_MS = 10_000; // finer would be a write per poll for no reader
const KEY_HOLDER_COUNT_MAX = 2000; // twice the most sites a project can have

/** A site and the key with which it signs its documents. */
export type KeyHolder = { readonly siteId: SiteId; readonly signer: PublicKey };

export type Members = {
  /** For the verifier of signed requests. */
  readonly lookupKey: (keyId: string) => Promise<KeyLookup<{ siteId: string }>>;
  /** Looks everybody up again; for the process that revoked a site and must not wait for its own notification. */
  readonly forget: () => void;
  /** For documents. Throws `site.unknown` for a key that was never enrolled. */
  readonly signerOf: (keyId: string) => Promise<KeyHolder>;
  /** Notes that a site was heard; at most one write per site and ten seconds. */
  readonly heard: (siteId: SiteId) => Promise<void>;
};

export function createMembers(context: Pick<HubContext, 'db' | 'clock' | 'wakeups'>): Members {
  const holders = new Map<string, KeyHolder>();
  /** Keys of sites that were members when last looked at; replaced by an empty set at every revocation. */
  let members = new Set<string>();
  const forget = () => {
    members = new Set();
  };
  context.wakeups.on('members', forget);
  const seenAtMs = new Map<SiteId, number>();

  function holderOf(row: store.SiteRow): KeyHolder {
    const known = holders.get(row.key_id);
    if (known !== undefined) return known;
    if (holders.size >= KEY_HOLDER_COUNT_MAX) holders.clear();
    const holder = { siteId: row.site_id, signer: publicKeyFromPem(row.public_key_pem) };
    holders.set(row.key_id, holder);
    return holder;
  }

  return {
    forget,

    async lookupKey(keyId) {
      const holder = holders.get(keyId);
      if (holder !== undefined && members.has(keyId)) {
        return { state: 'active', publicKey: holder.signer.publicKey, owner: { siteId: holder.siteId } };
      }
      const believed = members; // a revocation during the look replaces the set, and this look then counts for nothing
      const row = await store.findSiteByKey(context.db, keyId);
      if (row === undefined) return { state: 'unknown' };
      const { publicKey } = holderOf(row).signer;
      if (row.state !== 'active') return { state: 'revoked', publicKey };
      if (believed.size < KEY_HOLDER_COUNT_MAX) believed.add(keyId);
      return { state: 'active', publicKey, owner: { siteId: row.site_id } };
    },

    async signerOf(keyId) {
      const known = holders.get(keyId);
      if (known !== undefined) return known;
      const row = await store.findSiteByKey(context.db, keyId);
      if (row === undefined) throw new AppError('site.unknown', 'The key is not enrolled here.');
      return holderOf(row);
    },

    async heard(siteId) {
      const nowMs = context.clock.monotonicMs();
      const lastMs = seenAtMs.get(siteId);
      if (lastMs !== undefined && nowMs - lastMs < LAST_SEEN_INTERVAL_MS) return;
      seenAtMs.set(siteId, nowMs);
      await store.updateLastSeen(context.db, siteId, context.clock.now());
    },
  };
}
