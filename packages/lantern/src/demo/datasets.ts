/** Each hospital registers its table. The rows stay; the hub learns the schema. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { HUB_API, SITE_API } from '@lantern/contract';
import { table } from '../cli/output.ts';
import { uploadFile } from '../cli/upload.ts';
import type { Story } from './demo.ts';
import type { DemoSite } from './federation.ts';
import { hospitalCsv } from './fixtures.ts';
import { DATASET } from './heart-disease.ts';

export async function datasetChapter({ narrator, federation }: Story): Promise<void> {
  narrator.chapter('Each hospital registers its table with a schema; the hub sees the schema, never a row');
  const registered = await Promise.all(federation.sites.map(register));
  narrator.table(table([['hospital', 'rows (known inside only)', 'schema'], ...registered]));
  const { sites } = await federation.researcher.api.call(HUB_API.listSites, {});
  const offers = sites.flatMap((site) => site.datasets.map((offer) => offer.schemaDigest));
  narrator.say(
    `The hub now lists "${DATASET.name}" at ${offers.length} sites; their schemas are ${new Set(offers).size === 1 ? 'equal, by digest' : 'different'}.`,
  );
  narrator.fact(
    'datasets',
    registered.map(([hospital, rows]) => ({ hospital, rows: Number(rows) })),
  );
}

async function register(site: DemoSite): Promise<[string, string, string]> {
  const file = path.join(path.dirname(site.process.dataDir), `${site.hospital.key}.csv`);
  await writeFile(file, await hospitalCsv(site.hospital), { mode: 0o600 });
  const digest = await uploadFile(
    site.dataEngineer,
    { offset: SITE_API.importOffset, append: SITE_API.appendImport },
    file,
  );
  const dataset = await site.dataEngineer.api.call(SITE_API.registerDataset, {
    body: { schema: DATASET, source: { digest, format: 'csv' }, feasibility: 'any-project' },
  });
  return [site.hospital.siteName, String(dataset.rowCount), dataset.offer.schemaDigest.slice(0, 16)];
}
