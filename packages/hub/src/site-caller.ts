/** The site behind a signed request, and the access of every route that sites call. */
import { AppError, isId, type SiteId } from '@lantern/contract';
import type { SiteCaller } from '@lantern/service';

export const SITE = { kind: 'site' } as const;

export function siteOf(caller: SiteCaller): SiteId {
  if (!isId('SiteId', caller.siteId)) throw new AppError('internal', 'The verifier named something that is no site.');
  return caller.siteId;
}
