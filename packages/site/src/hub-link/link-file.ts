/**
 * `<dataDir>/hub-link.json`: which hub this site joined, under which id, and the key by which it knows the hub's documents.
 * Written once, at joining, whole or not at all. Losing it means joining again; it holds no secret, but whoever could change
 * it could make this site obey another hub, so only its owner may write it.
 */
import { open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { AppError, IdSchema, parse } from '@lantern/contract';
import { type Static, Type } from 'typebox';

export const KEY_FILE = 'site.key';
const LINK_FILE = 'hub-link.json';
const OWNER_ONLY = 0o600;

const LinkFileSchema = Type.Object(
  {
    schema: Type.Literal('lantern.hub-link/1'),
    hubUrl: Type.String({ minLength: 1, maxLength: 2048 }),
    hubName: Type.String(),
    hubPublicKeyPem: Type.String(),
    siteId: IdSchema('SiteId'),
    siteName: Type.String(),
    joinedAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);
export type LinkFile = Static<typeof LinkFileSchema>;

/** `undefined`: this site has not joined a hub. `set-up.failed`: the file is not what was written. */
export async function readLinkFile(dataDir: string): Promise<LinkFile | undefined> {
  let text: string;
  try {
    text = await readFile(path.join(dataDir, LINK_FILE), 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new AppError('set-up.failed', `${path.join(dataDir, LINK_FILE)} cannot be read.`, { cause });
  }
  return parse(LinkFileSchema, jsonOf(text), { what: LINK_FILE, code: 'set-up.failed' });
}

/** Throws `set-up.failed` when this folder is none of a site that has joined. */
export async function requireLink(dataDir: string): Promise<LinkFile> {
  const link = await readLinkFile(dataDir);
  if (link !== undefined) return link;
  throw new AppError(
    'set-up.failed',
    `The folder ${dataDir} is not that of a site that has joined a hub: check its name, or run \`lantern site join\` first.`,
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError('set-up.failed', `${LINK_FILE} is not JSON.`, { cause });
  }
}

export async function writeLinkFile(dataDir: string, link: LinkFile): Promise<void> {
  const file = path.join(dataDir, LINK_FILE);
  const handle = await open(`${file}.new`, 'w', OWNER_ONLY);
  try {
    await handle.writeFile(`${JSON.stringify(link, undefined, 2)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.new`, file);
  const folder = await open(dataDir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
