/** Runs a hub or site until told to stop, and leaves its address in the data folder for commands on the same machine. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isClusterMade, makeDataFolder } from '@lantern/service';
import type { CommandContext } from './command-context.ts';
import { SERVER_FILE } from './connection.ts';
import { requireFile } from './file-fault.ts';
import type { Output } from './output.ts';

export type RunningServer = { readonly url: string; close(): Promise<void> };

export async function serve(
  context: CommandContext,
  output: Output,
  options: {
    what: string;
    dataDir: string;
    /** Shown at start, secrets already replaced. */
    settings: Readonly<Record<string, unknown>>;
    start: () => Promise<RunningServer>;
  },
): Promise<void> {
  await makeDataFolder(options.dataDir);
  output.note(`Settings: ${JSON.stringify(options.settings)}`);
  const isEmbedded = options.settings['databaseUrl'] === undefined;
  if (isEmbedded && !isClusterMade(options.dataDir))
    output.note('First start on this folder: its database is being made, which takes some seconds.');
  const server = await started(context.signal, output, options.start);
  if (server === undefined) return;
  const file = path.join(options.dataDir, SERVER_FILE);
  const content = JSON.stringify({ url: server.url, pid: process.pid });
  await writeFile(`${file}.new`, content, { mode: 0o600 });
  await rename(`${file}.new`, file); // whole, or not there: commands and the doctor read it meanwhile
  context.stdout.write(
    output.json
      ? `${JSON.stringify({ ready: true, url: server.url, pid: process.pid })}\n`
      : `The ${options.what} answers at ${server.url} (API description: ${server.url}/openapi.json). Stop it with Ctrl-C.\n`,
  );
  await stopped(context.signal);
  await server.close();
  // Another process may have started on the same folder meanwhile; its address stays.
  if ((await readFile(file, 'utf8').catch(() => '')) === content) await rm(file, { force: true });
}

/** A start is not left half done: who is told to stop meanwhile stops after it, and gives `undefined`. */
async function started(
  signal: AbortSignal,
  output: Output,
  start: () => Promise<RunningServer>,
): Promise<RunningServer | undefined> {
  signal.throwIfAborted();
  const say = (): void => output.note('Stops as soon as the start is done; once more ends it at once.');
  signal.addEventListener('abort', say, { once: true });
  try {
    const server = await start();
    if (!signal.aborted) return server;
    await server.close();
    return undefined;
  } finally {
    signal.removeEventListener('abort', say);
  }
}

function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** The settings file named by `--config`, as text; settings are parsed once, by the process that uses them. */
export async function readSettings(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  await requireFile(file);
  return readFile(file, 'utf8');
}
