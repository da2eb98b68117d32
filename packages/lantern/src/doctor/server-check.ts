/** Whether the hub or site of a data folder runs, and whether it says of itself that it can work. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { createApiClient, toAppError } from '@lantern/contract';
import { createHttpClient, READY, systemClock } from '@lantern/service';
import { ADMIN_TOKEN_FILE, readServerFile } from '../cli/connection.ts';
import type { Finding } from './checks.ts';

const START = 'Start it: lantern hub --data DIR, or lantern site --data DIR.';

export async function checkServer(dataDir: string, { caFile }: { readonly caFile?: string } = {}): Promise<Finding> {
  const check = 'server';
  let running: Awaited<ReturnType<typeof readServerFile>>;
  try {
    running = await readServerFile(dataDir);
  } catch (caught) {
    return { check, verdict: 'bad', says: toAppError(caught).message, fix: START };
  }
  if (running === undefined) {
    const started = await stat(path.join(dataDir, ADMIN_TOKEN_FILE)).catch(() => undefined);
    const says =
      started === undefined ? `No hub or site has run on ${dataDir} yet.` : `Nothing runs on ${dataDir} now.`;
    return { check, verdict: 'bad', says, fix: START };
  }
  const { url } = running;
  const http = createHttpClient({ baseUrl: url, clock: systemClock, ...(caFile === undefined ? {} : { caFile }) });
  try {
    const { checks } = await createApiClient(http.transport).call(READY, {});
    return { check, verdict: 'good', says: `${url} answers and is ready (${checks.join(', ')}).` };
  } catch (caught) {
    return {
      check,
      verdict: 'bad',
      says: `${url} does not answer as it should: ${toAppError(caught).message}`,
      fix: 'Read its log (its standard error); if the process has ended, start it again. With TLS, --ca-file names the authority.',
    };
  } finally {
    http.close();
  }
}
