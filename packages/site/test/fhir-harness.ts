/** A FHIR server over a database of its own, with the token of its administrator. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Clock, createLogger, loadConfig, openTestDatabase } from '@lantern/service';
import { FhirNodeConfigSchema, startFhirNode } from '../src/fhir-node.ts';

type Reply = { readonly status: number; readonly headers: Headers; readonly text: string };

export type TestFhir = {
  /** Of the server; resources lie below `/fhir`. */
  readonly url: string;
  readonly database: Awaited<ReturnType<typeof openTestDatabase>>;
  readonly token: string;
  /** `path` below /fhir. A body that is a text goes as it is. */
  ask(
    method: string,
    path: string,
    options?: { body?: unknown; headers?: Record<string, string>; token?: string },
  ): Promise<Reply>;
  close(): Promise<void>;
};

export async function startTestFhir(name: string, options: { clock?: Clock } = {}): Promise<TestFhir> {
  const database = await openTestDatabase(name);
  const dataDir = await mkdtemp(path.join(tmpdir(), 'lantern-fhir-'));
  const overrides = { dataDir, databaseUrl: database.url, httpPort: 0, logLevel: 'silent', jobConcurrency: 1 };
  const settings = loadConfig({ schema: FhirNodeConfigSchema, env: {}, prefix: '', overrides });
  const log = createLogger({ name: 'test-fhir', level: 'silent' });
  const node = await startFhirNode(settings, { log, ...options });
  const token = (await readFile(path.join(dataDir, 'admin.token'), 'utf8')).trim();
  return {
    url: node.url,
    database,
    token,
    async ask(method, where, { body, headers = {}, token: other } = {}) {
      const response = await fetch(where.startsWith('http') ? where : `${node.url}/fhir${where}`, {
        method,
        headers: {
          authorization: `Bearer ${other ?? token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      return { status: response.status, headers: response.headers, text: await response.text() };
    },
    async close() {
      await node.close();
      await database.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
