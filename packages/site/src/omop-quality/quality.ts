/** Runs the checks of the Data Quality Dashboard over a CDM, whichever engine holds it, one statement after the other. */
import {
  answeredResult,
  type Catalogue,
  countedResult,
  missingResult,
  planQuality,
  type QualityResult,
  type QualitySummary,
  qualityRules,
  summarize,
} from '@lantern/omop';

/** A CDM that answers questions; every column of an answer is a text or null. */
export type CdmReader = {
  rows(sql: string): Promise<readonly Readonly<Record<string, string | null>>[]>;
};

export type QualityOptions = {
  readonly schema?: string;
  readonly today: string;
  readonly onProgress?: (done: number, total: number) => void;
};

export type QualityReport = { readonly summary: QualitySummary; readonly results: readonly QualityResult[] };

export async function checkQuality(reader: CdmReader, options: QualityOptions): Promise<QualityReport> {
  const plan = planQuality(qualityRules(), await catalogueOf(reader, options.schema), options);
  const results: QualityResult[] = [
    ...plan.answered.map(({ rule, isPassed }) => answeredResult(rule, isPassed)),
    ...plan.missing.map(missingResult),
  ];
  for (const [index, query] of plan.queries.entries()) {
    const [row] = await reader.rows(query.sql);
    for (const [column, rule] of query.rules.entries()) {
      results.push(countedResult(rule, row?.[`broken_${column}`] ?? '0', row?.[`checked_${column}`] ?? '0'));
    }
    options.onProgress?.(index + 1, plan.queries.length);
  }
  return { summary: summarize(results), results };
}

async function catalogueOf(reader: CdmReader, schema: string | undefined): Promise<Catalogue> {
  const rows = await reader.rows(
    `SELECT lower(table_name) AS table_name, lower(column_name) AS column_name, lower(data_type) AS data_type
  FROM information_schema.columns
 WHERE table_schema = ${schema === undefined ? 'current_schema()' : `'${schema.replaceAll("'", "''")}'`}`,
  );
  const catalogue = new Map<string, Map<string, string>>();
  for (const row of rows) {
    const table = String(row['table_name']);
    const fields = catalogue.get(table) ?? new Map<string, string>();
    catalogue.set(table, fields.set(String(row['column_name']), String(row['data_type'])));
  }
  return catalogue;
}
