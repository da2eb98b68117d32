/** The demo's cast: a running hub, four running hospitals, and a signed-in person for each role that acts in the story. */
import { randomBytes } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import { AppError, COMMON_API, HUB_API, isId, type SiteId } from '@lantern/contract';
import { type Connection, connect, connectTo } from '../cli/connection.ts';
import { HOSPITALS, type Hospital } from './fixtures.ts';
import { type ProcessSettings, runLantern, type ServerProcess, startServer } from './processes.ts';
import { makeRecords, type RecordAccount } from './synthetic-records.ts';

export type DemoSite = {
  readonly hospital: Hospital;
  readonly siteId: SiteId;
  readonly process: ServerProcess;
  /** What became of the synthetic records, where the hospital holds some. */
  readonly records: RecordAccount | undefined;
  readonly admin: Connection;
  readonly governance: Connection;
  readonly dataEngineer: Connection;
};

export type Federation = {
  readonly hub: ServerProcess;
  readonly hubAdmin: Connection;
  readonly researcher: Connection;
  readonly sites: readonly DemoSite[];
  stop(): Promise<void>;
};

/** Starts everything and says what runs as soon as it does. On failure whatever already runs is stopped again. */
export async function startFederation(
  settings: ProcessSettings,
  say: (text: string) => void = () => undefined,
): Promise<Federation> {
  // The database may have to run as another OS user (it refuses root), who must be able to pass through this folder.
  await chmod(settings.root, 0o711);
  const started: ServerProcess[] = [];
  const connections: Connection[] = [];
  const keep = <T extends Connection>(connection: T): T => {
    connections.push(connection);
    return connection;
  };
  const stop = async (): Promise<void> => {
    for (const connection of connections) connection.http.close();
    await Promise.all(started.map((server) => server.stop()));
  };
  try {
    const hub = await startServer(settings, {
      name: 'The hub',
      folder: 'hub',
      args: ['hub', '--name', 'Lantern demo hub'],
    });
    started.push(hub);
    say(`The hub answers at ${hub.url} (process ${hub.pid}).`);
    const hubAdmin = keep(await connect({ data: hub.dataDir, url: hub.url }, {}));
    const researcher = keep(await signInAs(hubAdmin, 'researcher'));
    const sites = await allSettled(
      HOSPITALS.map(async (hospital) => {
        const siteId = await joinSite(settings, { hospital, hub, hubAdmin });
        const records = await makeRecords(hospital, `${settings.root}/${hospital.key}`);
        const args = records === undefined ? ['site'] : ['site', '--config', records.configFile];
        const site = await startServer(settings, { name: hospital.siteName, folder: hospital.key, args });
        started.push(site);
        say(`${hospital.siteName} answers at ${site.url} (process ${site.pid}), enrolled as ${siteId}.`);
        const admin = keep(await connect({ data: site.dataDir, url: site.url }, {}));
        const governance = keep(await signInAs(admin, 'governance'));
        const dataEngineer = keep(await signInAs(admin, 'data-engineer'));
        return { hospital, siteId, process: site, admin, governance, dataEngineer, records: records?.account };
      }),
    );
    return { hub, hubAdmin, researcher, sites, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** As `Promise.all`, but fails when all have come to their end: what is still being started could not be stopped. */
async function allSettled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

async function joinSite(
  settings: ProcessSettings,
  join: { hospital: Hospital; hub: ServerProcess; hubAdmin: Connection },
): Promise<SiteId> {
  const { hospital, hub } = join;
  const { code } = await join.hubAdmin.api.call(HUB_API.createEnrolmentCode, { body: { siteName: hospital.siteName } });
  const dataDir = `${settings.root}/${hospital.key}`;
  const link = await runLantern(settings, [
    'site',
    'join',
    '--hub',
    hub.url,
    '--code',
    code,
    '--name',
    hospital.siteName,
    '--data',
    dataDir,
  ]);
  if (typeof link === 'object' && link !== null && 'siteId' in link && isId('SiteId', link.siteId)) return link.siteId;
  throw new AppError('set-up.failed', `${hospital.siteName} joined, but its id is not known.`);
}

/** Makes an account with one role and signs in with it. */
async function signInAs(admin: Connection, role: string): Promise<Connection> {
  const password = randomBytes(18).toString('base64url');
  await admin.api.call(COMMON_API.createUser, { body: { name: `demo-${role}`, password, roles: [role] } });
  const { token } = await admin.api.call(COMMON_API.signIn, { body: { name: `demo-${role}`, password } });
  return connectTo({ url: admin.url, token });
}
