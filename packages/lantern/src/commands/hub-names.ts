/** In a file that a person writes, sites and bundles may be called by the names that the hub lists instead of id and digest. */
import { type ApiClient, AppError, type Digest, HUB_API, isDigest, isId, type SiteId } from '@lantern/contract';

export async function siteIdsOf(api: ApiClient, texts: readonly string[]): Promise<SiteId[]> {
  if (texts.every((text) => isId('SiteId', text))) return [...texts];
  const { sites } = await api.call(HUB_API.listSites, {});
  return texts.map((text) => {
    if (isId('SiteId', text)) return text;
    const found = sites.filter(({ name, state }) => name === text && state === 'active');
    return theOne(
      found.map(({ siteId }) => siteId),
      `site "${text}"`,
      sites.map(({ name }) => name),
    );
  });
}

/** `text`: a digest, or "NAME VERSION". */
export async function bundleDigestOf(api: ApiClient, text: string): Promise<Digest> {
  if (isDigest(text)) return text;
  const { bundles } = await api.call(HUB_API.listBundles, {});
  const nameOf = ({ manifest }: (typeof bundles)[number]): string => `${manifest.name} ${manifest.version}`;
  const found = bundles.filter((bundle) => nameOf(bundle) === text);
  return theOne(
    found.map(({ bundleDigest }) => bundleDigest),
    `bundle "${text}"`,
    bundles.map(nameOf),
  );
}

function theOne<T>(found: readonly T[], what: string, known: readonly string[]): T {
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const many = found.length > 1;
  const why = many ? 'has several of that name; use its id or digest' : `knows: ${known.join(', ') || 'none yet'}`;
  throw new AppError('input.invalid', `The hub does not know one ${what}: it ${why}.`);
}
