/** A site that makes its CDM of its own records, for tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type CdmPass, SITE_API } from '@lantern/contract';
import { loadConfig, systemClock } from '@lantern/service';
import { openCdm } from '../src/cdm/cdm.ts';
import type { PassSettings } from '../src/cdm-passes/pass-settings.ts';
import type { SiteConfig } from '../src/config.ts';
import { DicomSettingsSchema } from '../src/dimse/dicom-settings.ts';
import { createFhirStore } from '../src/fhir/fhir-store.ts';
import { loadFiles } from '../src/fhir/loader.ts';
import { type ScriptedHub, startScriptedHub } from './scripted-hub.ts';
import { startTestSite, type TestSite } from './site-harness.ts';

export const VOCABULARY = path.resolve(import.meta.dirname, '../../../fixtures/omop-vocabulary');
export const HOSPITAL = path.resolve(import.meta.dirname, '../../../fixtures/fhir-synthea/hospital-a.ndjson.gz');
const ENDED: ReadonlySet<string> = new Set(['done', 'failed']);

export type CdmPassSite = {
  readonly hub: ScriptedHub;
  readonly site: TestSite;
  /** Of the CDM. */
  readonly file: string;
  /** Asks for a pass and waits for its end. */
  pass(isRebuild?: boolean): Promise<CdmPass>;
  /** Waits until nothing is asked for any more. */
  settle(): Promise<CdmPass | undefined>;
  load(...files: readonly string[]): Promise<void>;
  /** Creates or replaces a resource, or deletes it, over HTTP. */
  put(resource: Readonly<Record<string, unknown>>): Promise<void>;
  remove(type: string, id: string): Promise<void>;
  /** Hands images in by STOW-RS; throws where one is not kept. */
  store(...files: readonly Uint8Array[]): Promise<void>;
  /** Asks the CDM as it is published; each row as one text. */
  ask(sql: string): Promise<string[]>;
  close(): Promise<void>;
};

/** Of a site that takes images under one title. */
export function dicomSettings(title: { readonly quietMs?: number } = {}): NonNullable<SiteConfig['dicom']> {
  const overrides = { port: 0, aeTitles: [{ aeTitle: 'LANTERN', ...title }] };
  return loadConfig({ schema: DicomSettingsSchema, env: {}, prefix: '', overrides });
}

export async function startCdmPassSite(
  name: string,
  change: Partial<SiteConfig> & { readonly vocabulary?: string; readonly etl?: Partial<PassSettings> } = {},
): Promise<CdmPassSite> {
  const { vocabulary = VOCABULARY, etl: changed, ...settings } = change;
  const folder = await mkdtemp(path.join(tmpdir(), 'lantern-pass-'));
  const file = path.join(folder, 'cdm.duckdb');
  const hub = await startScriptedHub();
  const etl = { vocabulary, everyMinutes: 10_080, patientNumbers: [], memoryMiB: 512, threads: 1, ...changed };
  const records = { cdm: file, dataset: 'records', feasibility: 'any-project' as const, etl };
  const site = await startTestSite(hub, name, { records, ...settings }).catch(async (caught: unknown) => {
    await hub.close();
    throw caught;
  });
  const api = () => site.as('data-engineer');
  const settle = async () => {
    for (;;) {
      const { passes } = await api().call(SITE_API.listCdmPasses, {});
      if (passes.every(({ state }) => ENDED.has(state))) return passes[0];
      await delay(20);
    }
  };
  return {
    hub,
    site,
    file,
    settle,
    async pass(isRebuild = false) {
      const { passId } = await api().call(SITE_API.askForCdmPass, { body: { isRebuild } });
      for (;;) {
        const pass = await api().call(SITE_API.readCdmPass, { params: { passId } });
        if (ENDED.has(pass.state)) return pass;
        await delay(20);
      }
    },
    async load(...files) {
      const store = createFhirStore({ database: site.database, clock: systemClock });
      for (const one of files) await loadFiles(store, one);
    },
    put: (resource) => changeRecord(site, 'PUT', `${resource['resourceType']}/${resource['id']}`, resource),
    remove: (type, id) => changeRecord(site, 'DELETE', `${type}/${id}`),
    store: (...files) => storeImages(site, files),
    ask: (sql) => askCdm(file, sql),
    async close() {
      await site.close();
      await hub.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function askCdm(file: string, sql: string): Promise<string[]> {
  const { signal } = new AbortController();
  const cdm = await openCdm({ where: file, schema: undefined, signal, onProgress: () => undefined });
  try {
    return (await cdm.rows(sql)).map((row) => row.join(' '));
  } finally {
    await cdm.close();
  }
}

async function storeImages(site: TestSite, files: readonly Uint8Array[]): Promise<void> {
  const head = '--b\r\nContent-Type: application/dicom\r\n\r\n';
  const parts = files.flatMap((file) => [Buffer.from(head), file, Buffer.from('\r\n')]);
  const response = await fetch(`${site.url()}/dicom-web/studies`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${site.tokens()['data-engineer']}`,
      'content-type': 'multipart/related; type="application/dicom"; boundary=b',
      accept: 'application/dicom+json',
    },
    body: Buffer.concat([...parts, Buffer.from('--b--\r\n')]),
  });
  if (response.status !== 200) throw new Error(`STOW-RS: ${response.status} ${await response.text()}`);
}

async function changeRecord(site: TestSite, method: string, where: string, body?: unknown): Promise<void> {
  const response = await fetch(`${site.url()}/fhir/${where}`, {
    method,
    headers: {
      authorization: `Bearer ${site.tokens()['data-engineer']}`,
      ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${where}: ${response.status} ${await response.text()}`);
}
