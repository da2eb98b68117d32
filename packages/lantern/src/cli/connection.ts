/**
 * How a command finds the hub or site it talks to, and as whom. On the same machine `--data DIR` is enough: a running server
 * leaves its address in `DIR/server.json` and its administrator's token in `DIR/admin.token` (mode 0600). From elsewhere:
 * `--url` (or LANTERN_URL).
 *
 * As whom, the first that is there: `--token-file`, LANTERN_TOKEN, the signed-in account that `--as` names or that signed in
 * last, the administrator of `--data`. A session that has ended is said to have, and is never replaced by the administrator.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type ApiClient, AppError } from '@lantern/contract';
import { createHttpClient, type HttpClient, systemClock } from '@lantern/service';
import { createSidedClient } from './server-side.ts';
import { type Environment, listSessions, type Session } from './sessions.ts';

export type ConnectionOptions = {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly data?: string;
  readonly caFile?: string;
  readonly as?: string;
};
export type Connection = { readonly url: string; readonly api: ApiClient; readonly http: HttpClient };

export const SERVER_FILE = 'server.json';
const ADMIN_NAME = 'admin';
const TOKEN = /^[\x20-\x7e]+$/; // what a header may hold; whether it is one of its own, the server says
/** Made by a hub or site at its first start. */
export const ADMIN_TOKEN_FILE = 'admin.token';

export async function connect(options: ConnectionOptions, env: Environment): Promise<Connection> {
  const url = await serverUrl(options, env);
  const token = await findToken(url, options, env);
  return connectTo({ url, token, ...(options.caFile === undefined ? {} : { caFile: options.caFile }) });
}

export async function serverUrl(options: ConnectionOptions, env: Environment): Promise<string> {
  return options.url ?? env['LANTERN_URL'] ?? (await urlOfFolder(options.data));
}

export function connectTo(target: { url: string; token?: string | undefined; caFile?: string }): Connection {
  const http = createHttpClient({
    baseUrl: target.url,
    clock: systemClock,
    ...(target.token === undefined ? {} : { token: target.token }),
    ...(target.caFile === undefined ? {} : { caFile: target.caFile }),
  });
  return { url: target.url, api: createSidedClient(http, target.url), http };
}

async function urlOfFolder(folder: string | undefined): Promise<string> {
  if (folder === undefined) {
    throw new AppError('config.invalid', 'Say which server: --data DIR on the same machine, or --url URL.');
  }
  const server = await readServerFile(folder);
  if (server === undefined)
    throw new AppError('config.invalid', `No server is running on ${folder} (no ${SERVER_FILE} there).`);
  return server.url;
}

/** Where the server of a data folder answers; `undefined` when none runs. A server that was killed may leave its address. */
export async function readServerFile(folder: string): Promise<{ readonly url: string } | undefined> {
  const file = path.join(folder, SERVER_FILE);
  const text = await readText(file);
  if (text === undefined) return undefined;
  const value = jsonOf(text);
  if (typeof value === 'object' && value !== null && 'url' in value && typeof value.url === 'string')
    return { url: value.url };
  throw new AppError(
    'set-up.failed',
    `${file} does not say where the server answers: remove it, and start the server again.`,
  );
}

/** Half a document is no document. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // said by the caller, which knows the file
  }
}

async function findToken(url: string, options: ConnectionOptions, env: Environment): Promise<string | undefined> {
  const token = await chosenToken(url, options, env);
  if (token === undefined || TOKEN.test(token)) return token;
  throw new AppError(
    'config.invalid',
    'What was given as the token is none: it is one line of plain letters, digits and signs.',
  );
}

async function chosenToken(url: string, options: ConnectionOptions, env: Environment): Promise<string | undefined> {
  if (options.tokenFile !== undefined) {
    const token = await readText(options.tokenFile);
    if (token === undefined)
      throw new AppError('config.invalid', `The token file ${options.tokenFile} cannot be read.`);
    return token;
  }
  if (env['LANTERN_TOKEN'] !== undefined) return env['LANTERN_TOKEN'];
  const { as } = options;
  const sessions = await listSessions(env, url);
  const session = as === undefined ? sessions[0] : sessions.find(({ name }) => name === as);
  if (session !== undefined) return tokenOf(session);
  if (as !== undefined && as !== ADMIN_NAME)
    throw new AppError('auth.missing', `${as} is not signed in at ${url}: lantern sign-in ${as}.`);
  return options.data === undefined ? undefined : readText(path.join(options.data, ADMIN_TOKEN_FILE));
}

function tokenOf({ name, token, expiresAt }: Session): string {
  if (Date.parse(expiresAt) > Date.now()) return token;
  throw new AppError('auth.rejected', `The session of ${name} ended at ${expiresAt}: sign in again, or sign out.`);
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && ['ENOENT', 'EACCES', 'EISDIR'].includes(String(error.code)))
      return undefined;
    throw error;
  }
}
