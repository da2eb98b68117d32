/**
 * Who is signed in where: one secret file (mode 0600) per server in the person's own configuration folder, outside every data
 * folder, so that whoever administers a site does not thereby hold the token of its governance lead.
 *
 * The last one who signed in comes first and is who commands act as; `--as` chooses another.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { AppError, parse } from '@lantern/contract';
import { makeNamedFolder, readSecretFile, sha256, writeSecretFile } from '@lantern/service';
import { type Static, Type } from 'typebox';

/** What a command takes from its environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

const SESSION_COUNT_MAX = 10; // people on one account of one machine; a secret file has 4 KiB at most

const SessionSchema = Type.Object(
  { name: Type.String(), token: Type.String(), expiresAt: Type.String({ format: 'date-time' }) },
  { additionalProperties: false },
);
export type Session = Static<typeof SessionSchema>;
const SessionFileSchema = Type.Object(
  { url: Type.String(), sessions: Type.Array(SessionSchema) },
  { additionalProperties: false },
);

/** Newest first; none where the environment names no home. */
export async function listSessions(env: Environment, url: string): Promise<Session[]> {
  const file = sessionFile(env, url);
  const text = file === undefined ? undefined : await readSecretFile(file);
  if (text === undefined) return [];
  return parse(SessionFileSchema, parseJson(text), { what: `${file}`, code: 'set-up.failed' }).sessions;
}

/** What is no JSON is refused by the schema, like everything else that we did not write. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // half a document is no document
  }
}

/** Durable on return; replaces an earlier session of the same name. */
export async function saveSession(env: Environment, url: string, session: Session): Promise<void> {
  const others = (await listSessions(env, url)).filter(({ name }) => name !== session.name);
  await write(env, url, [session, ...others].slice(0, SESSION_COUNT_MAX));
}

export async function removeSession(env: Environment, url: string, name: string): Promise<void> {
  await write(
    env,
    url,
    (await listSessions(env, url)).filter((session) => session.name !== name),
  );
}

async function write(env: Environment, url: string, sessions: readonly Session[]): Promise<void> {
  const file = sessionFile(env, url);
  if (file === undefined)
    throw new AppError('config.invalid', 'Neither XDG_CONFIG_HOME nor HOME says where a session may be kept.');
  if (sessions.length === 0) return rm(file, { force: true });
  await makeNamedFolder(path.dirname(file), { mode: 0o700 });
  await writeSecretFile(file, `${JSON.stringify({ url: originOf(url), sessions })}\n`);
}

function sessionFile(env: Environment, url: string): string | undefined {
  const home = env['HOME'];
  const config = env['XDG_CONFIG_HOME'] ?? (home === undefined ? undefined : path.join(home, '.config'));
  if (config === undefined || config === '') return undefined;
  return path.join(config, 'lantern', `session-${sha256(Buffer.from(originOf(url))).slice(0, 16)}.json`);
}

function originOf(url: string): string {
  try {
    return new URL(url).origin;
  } catch (cause) {
    throw new AppError('config.invalid', `"${url}" is not the address of a server.`, { cause });
  }
}
