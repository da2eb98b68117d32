/**
 * Records in the standard form: three of the hospitals also hold synthetic patients as FHIR, make an OMOP CDM of them, and count a
 * cohort that a researcher defined as ATLAS does. The heart data of the other chapters are real, these patients are not.
 */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type AnswerBody, HUB_API, type ProjectId, type Question, RECORDS_DATASET_DEFAULT } from '@lantern/contract';
import { fhirFileSource, loadVocabulary, openCdmDatabase, readAccount, runEtl } from '@lantern/site';
import { table } from '../cli/output.ts';
import { waitForAnswers } from '../commands/project.ts';
import type { Story } from './demo.ts';
import type { DemoSite } from './federation.ts';
import type { Hospital } from './fixtures.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures');
const CDM_MEMORY_MIB = 512;
const PROJECT_DAYS = 30;

/** Which of the three synthetic hospitals a hospital of the demonstration holds; Long Beach holds none. */
const SYNTHETIC: Readonly<Partial<Record<Hospital['key'], string>>> = {
  cleveland: 'hospital-a',
  hungarian: 'hospital-b',
  switzerland: 'hospital-c',
};

export type RecordAccount = { readonly resourceCount: number; readonly endings: Readonly<Record<string, number>> };

/** As `lantern omop vocabulary` and `lantern omop etl` do; with the settings by which a site finds its CDM. */
export async function makeRecords(
  hospital: Hospital,
  dataDir: string,
): Promise<{ readonly configFile: string; readonly account: RecordAccount } | undefined> {
  const name = SYNTHETIC[hospital.key];
  if (name === undefined) return undefined;
  const file = path.join(dataDir, 'records.duckdb');
  const database = await openCdmDatabase({ file, memoryMiB: CDM_MEMORY_MIB, threads: 1 });
  try {
    await loadVocabulary(database, path.join(FIXTURES, 'omop-vocabulary'));
    const source = fhirFileSource([path.join(FIXTURES, 'fhir-synthea', `${name}.ndjson.gz`)]);
    const { readCount } = await runEtl(database, source);
    const endings: Record<string, number> = {};
    for (const { outcome, count } of (await readAccount(database, 0)).byType) {
      endings[outcome] = (endings[outcome] ?? 0) + Number(count);
    }
    const configFile = path.join(dataDir, 'settings.json');
    await writeFile(configFile, JSON.stringify({ records: { cdm: file, feasibility: 'any-project' } }));
    return { configFile, account: { resourceCount: readCount, endings } };
  } finally {
    database.close();
  }
}

export async function syntheticRecordsChapter(story: Story): Promise<void> {
  const { narrator, federation } = story;
  const sites = federation.sites.filter(({ records }) => records !== undefined);
  narrator.chapter('Records: three hospitals make an OMOP CDM of FHIR, and a cohort is counted over all three');
  narrator.say('These patients are synthetic (Synthea); every resource that was read ended in one of these ways:');
  const endings = ['mapped', 'mapped-with-warning', 'unmapped', 'refused'];
  narrator.table(
    table([
      ['hospital', 'read', ...endings],
      ...sites.map(({ hospital, records }) => [
        hospital.siteName,
        String(records?.resourceCount),
        ...endings.map((ending) => String(records?.endings[ending] ?? 0)),
      ]),
    ]),
  );
  const projectId = await draftProject(story, sites);
  const common = await ask(story, projectId, 'airway-infection.json');
  const rare = await ask(story, projectId, 'stroke.json');
  narrator.say('Asked as ATLAS writes it: a first infection of the airways (and then: 18 or older); and a stroke.');
  narrator.table(
    table([
      ['patients', ...sites.map(({ hospital }) => hospital.siteName)],
      ['infection of the airways, 18 or older', ...sites.map((site) => totalText(bodyOf(common, site)))],
      ...['female', 'male'].map((sex) => [`… ${sex}`, ...sites.map((site) => sexText(bodyOf(common, site), sex))]),
      ['stroke', ...sites.map((site) => totalText(bodyOf(rare, site)))],
    ]),
  );
  narrator.say(
    'The definition was turned into SQL at each hospital; patients who opted out are removed first, and every number passed the same gate as the counts above. Strokes are few: each hospital withholds their number, as it would withhold none at all.',
  );
  narrator.fact('records', { sites: sites.map(({ siteId, records }) => ({ siteId, ...records })), common, rare });
}

async function draftProject({ federation }: Story, sites: readonly DemoSite[]): Promise<ProjectId> {
  const { projectId } = await federation.researcher.api.call(HUB_API.createProject, {
    body: {
      title: 'Infections of the airways',
      purpose: 'See whether there are enough patients for a study, before anything is asked for.',
      sites: sites.map(({ siteId }) => siteId),
      datasets: [RECORDS_DATASET_DEFAULT],
      algorithms: [],
      egress: ['counts'],
      privacy: {},
      expiresAt: new Date(Date.now() + PROJECT_DAYS * 86_400_000).toISOString(),
    },
  });
  return projectId;
}

async function ask({ federation, signal }: Story, projectId: ProjectId, file: string): Promise<Question> {
  const definition = JSON.parse(await readFile(path.join(FIXTURES, 'fhir-synthea', file), 'utf8'));
  const asked = await federation.researcher.api.call(HUB_API.askQuestion, {
    params: { projectId },
    body: { dataset: RECORDS_DATASET_DEFAULT, cohort: { definition, describe: [{ kind: 'sex' }] } },
  });
  return waitForAnswers(federation.researcher, { asked, signal });
}

function bodyOf({ answers }: Question, { siteId }: DemoSite): AnswerBody | undefined {
  return answers.find((answer) => answer.siteId === siteId)?.body;
}

function totalText(body: AnswerBody | undefined): string {
  if (body?.kind !== 'cohort') return body?.kind ?? 'no answer';
  return body.total.kind === 'released' ? `~${body.total.value}` : 'withheld';
}

function sexText(body: AnswerBody | undefined, sex: string): string {
  if (body?.kind !== 'cohort') return '';
  const count = body.tables[0]?.cells.find(({ label }) => label.toLowerCase() === sex)?.count;
  return count?.kind === 'released' ? `~${count.value}` : 'withheld';
}
