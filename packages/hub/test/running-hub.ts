/** A real hub for tests: own database, own data folder, real sockets; and clients for people with each role. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import { type ApiClient, createApiClient, HUB_API, type HubRole } from '@lantern/contract';
import {
  type Clock,
  createHttpClient,
  type Database,
  type HttpClient,
  openTestDatabase,
  systemClock,
} from '@lantern/service';
import { type RunningHub, startHub } from '../src/main.ts';

export type TestPerson = { readonly api: ApiClient; readonly http: HttpClient; readonly token: string };

export type TestHub = {
  readonly url: string;
  readonly routes: RunningHub['routes'];
  readonly dataDir: string;
  readonly databaseUrl: string;
  readonly admin: TestPerson;
  /** A new account with one role, signed in. */
  readonly person: (name: string, role: HubRole) => Promise<TestPerson>;
  readonly close: () => Promise<void>;
};

const PASSWORD = 'correct horse battery';

/** Held open through a test file, so that a server started for this file alone is not started anew for each test. */
let anchor: Promise<Database> | undefined;
after(async () => (await anchor)?.close());

export function personAt(url: string, token: string): TestPerson {
  const http = createHttpClient({ baseUrl: url, token, clock: systemClock });
  return { http, token, api: createApiClient(http.transport) };
}

/** Starts a hub that ends with the test. `clock`: the hub's. */
export async function startTestHub(t: TestContext, options: { clock?: Clock } = {}): Promise<TestHub> {
  anchor ??= openTestDatabase('anchor');
  await anchor;
  const database = await openTestDatabase('hub');
  const dataDir = await mkdtemp(join(tmpdir(), 'lantern-hub-'));
  const hub = await startHub(
    {
      dataDir,
      httpHost: '127.0.0.1',
      httpPort: 0,
      hubName: 'Test hub',
      databaseUrl: database.url,
      logLevel: 'silent',
    },
    options,
  );
  const people: TestPerson[] = [];
  let closed: Promise<void> | undefined;
  const end = async () => {
    for (const person of people) person.http.close();
    await hub.close();
    await database.close();
    await rm(dataDir, { recursive: true, force: true });
  };
  const close = () => {
    closed ??= end();
    return closed;
  };
  t.after(close);

  const admin = personAt(hub.url, (await readFile(join(dataDir, 'admin.token'), 'utf8')).trim());
  people.push(admin);
  return {
    url: hub.url,
    routes: hub.routes,
    dataDir,
    databaseUrl: database.url,
    admin,
    async person(name, role) {
      await admin.api.call(HUB_API.createUser, { body: { name, password: PASSWORD, roles: [role] } });
      const { token } = await admin.api.call(HUB_API.signIn, { body: { name, password: PASSWORD } });
      const person = personAt(hub.url, token);
      people.push(person);
      return person;
    },
    close,
  };
}
