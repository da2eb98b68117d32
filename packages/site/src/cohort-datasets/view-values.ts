/**
 * Columns made of views of SQL on FHIR: the rows of a ViewDefinition over FHIR resources, joined to the persons of the cohort by what
 * the ETL keeps as their source value, the patient's resource ("Patient/17" or "17"), or by a patient who was merged into that one.
 *
 * Values become numbers of the gathered rows, as those of the CDM are; what is no number, is in a unit that does not become that of the
 * column, lies beyond the range, or has no day where a window asks for one, is left out and counted.
 */
import { AppError, type FeatureSpecification, type ViewFeature } from '@lantern/contract';
import { compileView, Hl7Error, type View } from '@lantern/hl7';
import { conversionsFor, quoteLiteral } from '@lantern/omop';
import type { Cdm } from '../cdm/cdm.ts';
import { patientResourceSource } from '../records/record-patients.ts';
import { conversionsTo } from './unit-conversions.ts';

/** Resources of a type, parsed. */
export type ResourceSource = (type: string, signal: AbortSignal) => AsyncIterable<unknown>;

/** Some megabytes of SQL. */
const ROWS_AT_ONCE = 2_000;

type ViewOf = NonNullable<FeatureSpecification['views']>[number];

/** Throws `input.invalid` naming the view that cannot be read, or the column that it does not have. */
export function compileViews({ views = [], columns }: FeatureSpecification): ReadonlyMap<string, View> {
  const compiled = new Map<string, View>();
  for (const [place, view] of views.entries()) compiled.set(view.name, compiledAt(view, `/views/${place}`));
  for (const [place, column] of columns.entries()) {
    if (column.kind !== 'view') continue;
    const view = compiled.get(column.view);
    const has = (name: string | undefined) => name === undefined || view?.columns.some((one) => one.name === name);
    if (view !== undefined && has(column.column) && has(column.unitColumn)) continue;
    const missing = view === undefined ? 'view' : has(column.column) ? 'unitColumn' : 'column';
    const field = `/columns/${place}/${missing}`;
    throw new AppError('input.invalid', `Feature specification: field ${field} names nothing that is there.`, {
      field,
    });
  }
  return compiled;
}

function compiledAt({ definition, patient, day }: ViewOf, at: string): View {
  const fault = (rule: string, cause?: unknown) =>
    new AppError('input.invalid', `Feature specification: field ${at}: ${rule}`, { field: at, cause });
  try {
    const view = compileView(definition);
    const names = new Set(view.columns.map(({ name }) => name));
    if (!names.has(patient) || (day !== undefined && !names.has(day)))
      throw fault('the view lacks the column it names.');
    return view;
  } catch (caught) {
    throw caught instanceof Hl7Error ? fault(caught.message, caught) : caught;
  }
}

/** Fills the columns that views give; the rows of the plan are gathered already. */
export async function fillViewColumns(
  cdm: Cdm,
  specification: FeatureSpecification,
  resources: ResourceSource | undefined,
): Promise<void> {
  const views = specification.views ?? [];
  const compiled = compileViews(specification);
  if (views.length === 0) return;
  if (resources === undefined)
    throw new AppError('input.invalid', 'The specification has views; name the FHIR resources that they are of.', {
      field: 'fhir',
    });
  await cdm.gather(await patientResourceSource(cdm), { person_id: 'BIGINT', source: 'VARCHAR' });
  await cdm.results.run('CREATE OR REPLACE TEMP TABLE person_source AS SELECT * FROM temp.result');
  for (const view of views) {
    const run = compiled.get(view.name);
    const columns = specification.columns.flatMap((one, place) =>
      one.kind === 'view' && one.view === view.name ? [{ feature: one, place }] : [],
    );
    if (run === undefined || columns.length === 0) continue;
    await loadRows(cdm, { view, run, columns }, resources);
    for (const one of columns) await fill(cdm, one);
  }
}

type Placed = { readonly feature: ViewFeature; readonly place: number };
type Loading = { readonly view: ViewOf; readonly run: View; readonly columns: readonly Placed[] };

/** patient, day, ordinal, and by the place of each column its text and unit. */
async function loadRows({ results }: Cdm, { view, run, columns }: Loading, resources: ResourceSource): Promise<void> {
  const cells = columns.map(({ place }) => `t${place} VARCHAR, u${place} VARCHAR`);
  await results.run(
    `CREATE OR REPLACE TEMP TABLE view_row (patient VARCHAR, day VARCHAR, ordinal BIGINT, ${cells.join(', ')})`,
  );
  let values: string[] = [];
  let ordinal = 0;
  const flush = async () => {
    if (values.length > 0) await results.run(`INSERT INTO temp.view_row VALUES ${values.join(', ')}`);
    values = [];
  };
  const text = (value: unknown) => (value === null || value === undefined ? 'NULL' : quoteLiteral(String(value)));
  for await (const resource of resources(run.resource, results.signal)) {
    for (const row of rowsOf(run, resource, view.name)) {
      ordinal += 1;
      const day = view.day === undefined ? null : row[view.day];
      const own = columns.flatMap(({ feature: { column, unitColumn } }) => [
        text(column === undefined ? '1' : row[column]),
        text(unitColumn === undefined ? null : row[unitColumn]),
      ]);
      values.push(`(${[text(row[view.patient]), text(day), ordinal, ...own].join(', ')})`);
      if (values.length >= ROWS_AT_ONCE) await flush();
    }
  }
  await flush();
}

/** A message of the reader names places in the definition, and no value. */
function rowsOf(run: View, resource: unknown, name: string) {
  try {
    return run.rowsOf(resource);
  } catch (caught) {
    if (!(caught instanceof Hl7Error)) throw caught;
    throw new AppError('dataset.invalid', `A resource does not fit the view "${name}": ${caught.message}`, {
      cause: caught,
    });
  }
}

/** Resources have ids, not numbers: rows of one day are in the order of their patients' resources as they are stored. */
async function fill({ results }: Cdm, { feature, place }: Placed): Promise<void> {
  const { window, range, aggregation } = feature;
  const isCount = aggregation === 'count' || aggregation === 'exists';
  const day = `TRY_CAST(left(w.day, 10) AS DATE)`;
  const inWindow =
    window === undefined ? '' : `AND ${day} BETWEEN f.index_date + (${window.from}) AND f.index_date + (${window.to})`;
  const bound = range === undefined || isCount ? 'TRUE' : `x BETWEEN ${range.min} AND ${range.max}`;
  await results.run(`CREATE OR REPLACE TEMP TABLE view_value AS
    SELECT f.person_id, ${day} AS d, w.ordinal AS o, TRY_CAST(w.t${place} AS DOUBLE) AS n,
      ${isCount ? 'n' : inUnit(feature, `w.u${place}`)} AS x, n IS NOT NULL AND x IS NULL AS lacks_unit
    FROM temp.view_row w JOIN temp.person_source s ON s.source IN (w.patient, 'Patient/' || w.patient)
    JOIN temp.feature_row f ON f.person_id = s.person_id WHERE w.t${place} IS NOT NULL ${inWindow}`);
  await results.run(`UPDATE temp.feature_row SET v${place} = a.v, u${place} = a.u, r${place} = a.r FROM (
    SELECT person_id, ${AGGREGATIONS[aggregation](bound)} AS v, count(*) FILTER (WHERE lacks_unit) AS u,
      ${isCount ? '0' : `count(*) FILTER (WHERE NOT lacks_unit AND (x IS NULL OR NOT (${bound})))`} AS r
    FROM temp.view_value GROUP BY person_id) a WHERE a.person_id = feature_row.person_id`);
  if (!isCount) return;
  await results.run(`UPDATE temp.feature_row SET v${place} = 0 WHERE v${place} IS NULL`);
  if (range === undefined || aggregation === 'exists') return;
  await results.run(
    `UPDATE temp.feature_row SET v${place} = NULL, r${place} = 1 WHERE v${place} NOT BETWEEN ${range.min} AND ${range.max}`,
  );
}

/** The number `n` in the unit of the column; nothing where its own is not known. Without a column for it, it is the one declared. */
function inUnit(feature: ViewFeature, unit: string): string {
  const { unitColumn, withoutUnit } = feature;
  if (unitColumn === undefined) return 'n';
  const cases = conversionsFor(feature, conversionsTo(feature.unit)).map((one) => {
    const scaled = one.factor === 1 ? 'n' : `n * CAST(${one.factor} AS DOUBLE)`;
    return `WHEN ${unit} = ${quoteLiteral(one.unit)} THEN ${scaled}${one.offset === 0 ? '' : ` + CAST(${one.offset} AS DOUBLE)`}`;
  });
  const without = withoutUnit === 'as-declared' ? `WHEN ${unit} IS NULL THEN n` : '';
  return `CASE ${cases.join(' ')} ${without} END`;
}

const kept = (bound: string) => `FILTER (WHERE x IS NOT NULL AND ${bound})`;
const AGGREGATIONS: Readonly<Record<ViewFeature['aggregation'], (bound: string) => string>> = {
  first: (bound) => `(list(x ORDER BY d, o) ${kept(bound)})[1]`,
  last: (bound) => `(list(x ORDER BY d, o) ${kept(bound)})[-1]`,
  mean: (bound) => `sum(x ORDER BY d, o) ${kept(bound)} / count(*) ${kept(bound)}`,
  min: (bound) => `min(x) ${kept(bound)}`,
  max: (bound) => `max(x) ${kept(bound)}`,
  count: () => 'count(*)',
  exists: () => '1',
};
