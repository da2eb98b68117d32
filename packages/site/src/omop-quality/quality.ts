/** Runs the checks of the Data Quality Dashboard over a CDM, whichever engine holds it, one statement after the other. */
import {
  answeredResult,
  type Catalogue,
  type CdmNeeds,
  countedResult,
  missingResult,
  planQuality,
  type QualityResult,
  type QualitySummary,
  qualityRules,
  quoteLiteral,
  summarize,
} from '@lantern/omop';
import type { Cdm } from '../cdm/cdm.ts';

export type QualityOptions = {
  /** "2026-11-27": later days lie in the future. */
  readonly today: string;
  readonly onProgress: (done: number, total: number) => void;
};

export type QualityReport = { readonly summary: QualitySummary; readonly results: readonly QualityResult[] };

export async function checkQuality(cdm: Cdm, { today, onProgress }: QualityOptions): Promise<QualityReport> {
  await cdm.prepare(cdm.tables);
  const schema = cdm.schema === undefined ? {} : { schema: cdm.schema };
  const plan = planQuality(qualityRules(), await catalogueOf(cdm), { ...schema, today });
  const results: QualityResult[] = [
    ...plan.answered.map(({ rule, isPassed }) => answeredResult(rule, isPassed)),
    ...plan.missing.map(missingResult),
  ];
  for (const [index, query] of plan.queries.entries()) {
    const [row = []] = await cdm.rows(query.sql);
    for (const [place, rule] of query.rules.entries()) {
      results.push(countedResult(rule, row[2 * place] ?? '0', row[2 * place + 1] ?? '0'));
    }
    onProgress(index + 1, plan.queries.length);
  }
  return { summary: summarize(results), results };
}

async function catalogueOf(cdm: Cdm): Promise<Catalogue> {
  const schema = cdm.schema === undefined ? 'current_schema()' : quoteLiteral(cdm.schema);
  const types = await cdm.rows(
    `SELECT lower(table_name), lower(column_name), lower(data_type) FROM information_schema.columns
 WHERE table_schema = ${schema} AND table_catalog = current_database()`,
  );
  const catalogue = new Map<string, Map<string, string>>();
  for (const [table, field, type] of types) {
    if (table === null || table === undefined || !isAt(cdm.tables, table, field ?? '')) continue;
    const fields = catalogue.get(table) ?? new Map<string, string>();
    catalogue.set(table, fields.set(field ?? '', type ?? ''));
  }
  return catalogue;
}

/** A folder's tables have all columns of the CDM, also those that its files lack. */
function isAt(tables: CdmNeeds, table: string, field: string): boolean {
  return tables.get(table)?.has(field) === true;
}
