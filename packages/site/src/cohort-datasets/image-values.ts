/**
 * Columns made of images: whose they are by the CDM or by accession numbers, which of them fit by the archive, and what can be referred
 * to by the research copies.
 *
 *   links (person, series, day) ──► in the window ──► fitting series of the archive ──► of nobody else ──► copies ──► columns
 *
 * Invariants: an image that more than one person has, or that names another patient, is nobody's; nothing is looked at of persons who
 * are not used; what is left out is counted by its reason. A row is linked to its images by the key of the person, and by nothing else.
 */
import type { DatasetBuildReport, FeatureSpecification, ImageSelection } from '@lantern/contract';
import { quoteIdentifier, quoteLiteral } from '@lantern/omop';
import type { Cdm } from '../cdm/cdm.ts';
import type { OptOuts } from '../opt-outs/opt-outs.ts';
import { patientResourceSource } from '../records/record-patients.ts';
import type { ArchivedStudy, ResearchSeries } from '../research-images/research-series.ts';
import { fillImageColumn, type PlacedImage } from './image-columns.ts';
import type { ResourceSource } from './view-values.ts';

/** Some megabytes, and short enough between two turns of the event loop. */
const STUDIES_AT_ONCE = 500;
const ROWS_AT_ONCE = 2_000;

/** Resources that may carry the accession number of a study. */
const ACCESSION_RESOURCES = ['ServiceRequest', 'Procedure', 'DiagnosticReport', 'ImagingStudy'] as const;

export type ImageDeps = {
  readonly series: ResearchSeries;
  readonly resources: ResourceSource;
  readonly optOuts: Pick<OptOuts, 'verdictsOn'>;
};

export type ImageReport = NonNullable<DatasetBuildReport['images']>[number];

/** Adds to the needs of a plan: rows of images, where a selection is linked by them. */
export function imageNeeds({ images = [] }: FeatureSpecification): readonly [string, ReadonlySet<string>][] {
  if (images.every(({ link }) => link !== 'patient')) return [];
  return [['image_occurrence', new Set(['person_id', 'image_study_uid', 'image_series_uid', 'image_occurrence_date'])]];
}

/** Fills the columns; rows are gathered and persons keyed already, and `person_identifier` is there. */
export async function fillImageColumns(
  cdm: Cdm,
  specification: FeatureSpecification,
  deps: ImageDeps,
): Promise<ImageReport[]> {
  const { images = [], columns } = specification;
  const reports: ImageReport[] = [];
  await cdm.results.run('CREATE OR REPLACE TEMP TABLE image_identifier (person_id BIGINT, identifier VARCHAR)');
  for (const selection of images) {
    await linkImages(cdm, selection, deps);
    await findSeries(cdm, selection, deps);
    await judge(cdm);
    for (const [place, feature] of columns.entries()) {
      const placed: PlacedImage | undefined =
        feature.kind === 'image' && feature.image === selection.name ? { feature, place, selection } : undefined;
      if (placed !== undefined) await fillImageColumn(cdm.results, placed);
    }
    reports.push(await report(cdm, selection.name));
  }
  return reports;
}

/** `image_link`: person_id, study_uid, series_uid, day, is_shared; of persons who are used, in the window. */
async function linkImages(cdm: Cdm, selection: ImageSelection, deps: ImageDeps): Promise<void> {
  const { results } = cdm;
  if (selection.link === 'patient') await linksOfRecord(cdm);
  else await linksByAccession(cdm, deps);
  const { from, to } = selection.window;
  await results.run(`CREATE OR REPLACE TEMP TABLE image_link AS
    SELECT l.*, CAST(l.day - f.index_date AS INTEGER) AS days FROM (
      SELECT DISTINCT *, min(person_id) OVER (PARTITION BY study_uid) <> max(person_id) OVER (PARTITION BY study_uid) AS is_shared
      FROM temp.image_of_person) l
    JOIN temp.feature_row f ON f.person_id = l.person_id JOIN temp.feature_person k ON k.person_id = l.person_id
    WHERE l.day BETWEEN f.index_date + (${from}) AND f.index_date + (${to})`);
}

async function linksOfRecord(cdm: Cdm): Promise<void> {
  const schema = cdm.schema === undefined ? '' : `${quoteIdentifier(cdm.schema)}.`;
  await cdm.gather(
    `SELECT person_id, image_study_uid AS study_uid, image_series_uid AS series_uid, image_occurrence_date AS day
     FROM ${schema}image_occurrence`,
    { person_id: 'BIGINT', study_uid: 'VARCHAR', series_uid: 'VARCHAR', day: 'DATE' },
  );
  await cdm.results.run('CREATE OR REPLACE TEMP TABLE image_of_person AS SELECT * FROM temp.result');
}

/** Whose a number is, says a resource of the record; of which day the study is, says the archive. */
async function linksByAccession(cdm: Cdm, { resources, series }: ImageDeps): Promise<void> {
  const { results } = cdm;
  await cdm.gather(await patientResourceSource(cdm), { person_id: 'BIGINT', source: 'VARCHAR' });
  await results.run('CREATE OR REPLACE TEMP TABLE person_source AS SELECT * FROM temp.result');
  const numbers = inserter(results, 'accession_of_patient (patient VARCHAR, number VARCHAR)');
  await numbers.begin();
  for (const type of ACCESSION_RESOURCES) {
    for await (const resource of resources(type, results.signal)) {
      for (const number of identifiersIn(resource)) await numbers.add([patientIn(resource), number]);
    }
  }
  await numbers.end();
  await results.run(`CREATE OR REPLACE TEMP TABLE accession_of_person AS SELECT DISTINCT s.person_id, a.number
    FROM temp.accession_of_patient a JOIN temp.person_source s ON s.source IN (a.patient, 'Patient/' || a.patient)`);
  const studies = inserter(
    results,
    'accession_study (number VARCHAR, study_uid VARCHAR, series_uid VARCHAR, day VARCHAR)',
  );
  await studies.begin();
  const wanted =
    'SELECT DISTINCT number FROM temp.accession_of_person WHERE person_id IN (SELECT person_id FROM temp.feature_person)';
  for await (const accessionNumbers of pages(results, wanted)) {
    for (const study of await series.studies({ accessionNumbers })) {
      for (const one of study.series) {
        const day = dayOf(study.studyDate) ?? dayOf(one.seriesDate);
        await studies.add([study.accessionNumber, study.studyInstanceUid, one.seriesInstanceUid, day]);
      }
    }
  }
  await studies.end();
  await results.run(`CREATE OR REPLACE TEMP TABLE image_of_person AS
    SELECT a.person_id, s.study_uid, s.series_uid, TRY_CAST(s.day AS DATE) AS day
    FROM temp.accession_study s JOIN temp.accession_of_person a ON a.number = s.number`);
}

/** "20260131", and the "2026.01.31" of old devices, as "2026-01-31". */
function dayOf(text: string): string | undefined {
  const [, year, month, day] = /^(\d{4})\.?(\d\d)\.?(\d\d)$/.exec(text.trim()) ?? [];
  return year === undefined ? undefined : `${year}-${month}-${day}`;
}

/** `image_series`: of the linked studies those series that fit, with what they are to the archive and its copies. */
async function findSeries({ results }: Cdm, selection: ImageSelection, { series, optOuts }: ImageDeps): Promise<void> {
  const collectionId = selection.collection === undefined ? undefined : await series.collectionOf(selection.collection);
  const found = inserter(
    results,
    'image_series (study_uid VARCHAR, series_uid VARCHAR, came BIGINT, patient_id VARCHAR, is_opted_out BOOLEAN, reference VARCHAR)',
  );
  await found.begin();
  for await (const studyInstanceUids of pages(results, 'SELECT DISTINCT study_uid FROM temp.image_link')) {
    const studies = await series.studies({ studyInstanceUids });
    const verdicts = await optOuts.verdictsOn(studies.map(({ patientId }) => [patientId]));
    for (const [index, study] of studies.entries()) {
      results.signal.throwIfAborted();
      const isOptedOut = verdicts[index] === 'opted-out';
      const fitting = isOptedOut ? new Set<string>() : await series.fitting(study.studyKey, selection.series);
      const references =
        collectionId === undefined || fitting.size === 0
          ? new Map<string, string>()
          : await series.referencesOf({ collectionId, studyKey: study.studyKey });
      for (const one of study.series) {
        if (!isOptedOut && !fitting.has(one.seriesKey)) continue;
        const reference = collectionId === undefined ? '' : references.get(one.seriesKey);
        await found.add(rowOf(study, one, { isOptedOut, reference }));
      }
    }
  }
  await found.end();
}

function rowOf(
  { studyInstanceUid, patientId }: ArchivedStudy,
  { seriesInstanceUid, seriesKey }: ArchivedStudy['series'][number],
  { isOptedOut, reference }: { isOptedOut: boolean; reference: string | undefined },
): (string | undefined)[] {
  return [studyInstanceUid, seriesInstanceUid, seriesKey, patientId.trim(), String(isOptedOut), reference];
}

/**
 * `image_candidate`: person_id, days, came, reference of what counts; `image_judged` with the reason of what does not. A number of the
 * image that the records know as another person's, and not as this one's, means another patient, whatever authority gave it.
 */
async function judge({ results }: Cdm): Promise<void> {
  await results.run(`CREATE OR REPLACE TEMP TABLE image_judged AS
    SELECT l.person_id, l.days, s.came, s.reference, s.patient_id, l.series_uid,
      CASE WHEN l.is_shared THEN 'ambiguous'
        WHEN s.patient_id IN (SELECT identifier FROM temp.person_identifier)
          AND (l.person_id, s.patient_id) NOT IN (SELECT (person_id, identifier) FROM temp.person_identifier WHERE identifier IS NOT NULL)
          THEN 'other-patient'
        WHEN s.is_opted_out THEN 'opted-out'
        WHEN s.reference IS NULL THEN 'without-copy'
        ELSE 'counts' END AS standing
    FROM temp.image_link l JOIN temp.image_series s ON s.study_uid = l.study_uid AND s.series_uid = l.series_uid`);
  await results.run(
    "CREATE OR REPLACE TEMP TABLE image_candidate AS SELECT * FROM temp.image_judged WHERE standing = 'counts'",
  );
  await results.run(`INSERT INTO temp.image_identifier
    SELECT DISTINCT person_id, patient_id FROM temp.image_candidate WHERE patient_id <> ''`);
}

async function report({ results }: Cdm, name: string): Promise<ImageReport> {
  const rows = await results.rows(
    'SELECT standing, count(DISTINCT series_uid) FROM temp.image_judged GROUP BY standing',
  );
  const counts = new Map(rows.map(([standing, count]) => [standing, Number(count)]));
  return {
    name,
    seriesCount: counts.get('counts') ?? 0,
    withoutCopyCount: counts.get('without-copy') ?? 0,
    ambiguousCount: counts.get('ambiguous') ?? 0,
    otherPatientCount: counts.get('other-patient') ?? 0,
    optedOutCount: counts.get('opted-out') ?? 0,
  };
}

/** Texts of the one column of a query that gives each once, some at a time. */
async function* pages(results: Cdm['results'], query: string): AsyncGenerator<string[]> {
  for (let after = ''; ; ) {
    const rows = await results.rows(
      `SELECT * FROM (${query}) AS wanted(name) WHERE name > ${quoteLiteral(after)} ORDER BY name LIMIT ${STUDIES_AT_ONCE}`,
    );
    const names = rows.flatMap(([name]) => (name == null ? [] : [name]));
    if (names.length > 0) yield names;
    const last = names.at(-1);
    if (last === undefined || names.length < STUDIES_AT_ONCE) return;
    after = last;
  }
}

/** Rows of texts into a temporary table, some thousands at a time. */
function inserter(results: Cdm['results'], table: string) {
  const [name = ''] = table.split(' ');
  let rows: string[] = [];
  const flush = async () => {
    if (rows.length > 0) await results.run(`INSERT INTO temp.${name} VALUES ${rows.join(', ')}`);
    rows = [];
  };
  return {
    begin: () => results.run(`CREATE OR REPLACE TEMP TABLE ${table}`),
    end: flush,
    async add(cells: readonly (string | undefined)[]): Promise<void> {
      rows.push(`(${cells.map((cell) => (cell === undefined ? 'NULL' : quoteLiteral(cell))).join(', ')})`);
      if (rows.length >= ROWS_AT_ONCE) await flush();
    },
  };
}

function membersOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function identifiersIn(resource: unknown): string[] {
  const identifiers = membersOf(resource, 'identifier');
  if (!Array.isArray(identifiers)) return [];
  return identifiers.flatMap((one) => {
    const value = membersOf(one, 'value');
    return typeof value === 'string' && value !== '' ? [value] : [];
  });
}

/** The id of a reference that is, or ends with, "Patient/17". */
function patientIn(resource: unknown): string | undefined {
  const reference = membersOf(membersOf(resource, 'subject'), 'reference');
  return typeof reference === 'string' ? /(?:^|\/)Patient\/([A-Za-z0-9.-]{1,64})$/.exec(reference)?.[1] : undefined;
}
