/**
 * Reading a file of somebody else's CDM as a table of ours, in DuckDB's SQL: every value typed strictly, and for each row the first
 * rule that it breaks, so that no row is lost unsaid and none is bent into shape.
 *
 * Whole numbers are whole (a double that holds one is, as programs write columns with gaps as doubles), days are days of the
 * calendar: 2026-11-27, that with a time of midnight, or 20261127 as OHDSI's vocabulary files have them.
 */
import { quoteIdentifier, quoteLiteral } from '../dataset/sql-text.ts';
import { type CdmField, type CdmFieldKind, cdmFields } from './cdm-schema.ts';

/** `type`: as DuckDB names the type of the column in the file; 'VARCHAR' for CSV. */
export type SourceColumn = { readonly name: string; readonly type: string };

export type ImportPlan = {
  /** Columns of the CDM that the file has, and those it lacks. */
  readonly present: readonly string[];
  readonly absent: readonly string[];
  /** Columns of the file that the CDM does not know. */
  readonly unknown: readonly string[];
  /** rule, row_count: how many rows break which rule first; rule is null for those that break none. */
  readonly accountSql: string;
  /** The rows that break none, with the columns of `present`. */
  readonly rowsSql: string;
};

/** Names of columns that changed from CDM 5.3 to 5.4. */
const RENAMED: Readonly<Record<string, string>> = {
  admitting_source_concept_id: 'admitted_from_concept_id',
  admitting_source_value: 'admitted_from_source_value',
  discharge_to_concept_id: 'discharged_to_concept_id',
  discharge_to_source_value: 'discharged_to_source_value',
  visit_detail_parent_id: 'parent_visit_detail_id',
};

/** The name of a CDM column that a file's header means: in any case, and as a query of SQLite that was exported without a name. */
function columnMeant(header: string): string {
  const name = header.trim().toLowerCase();
  const exported = /^date\((\w+),\s*'unixepoch'\)$/.exec(name) ?? /^case (\w+) when null then .* end$/.exec(name);
  const plain = exported?.[1] ?? name;
  return RENAMED[plain] ?? plain;
}

/** Undefined where the CDM has no such table. `wanted`: only these columns. `source`: what stands after FROM. */
export function planImport(
  table: string,
  source: { readonly sql: string; readonly columns: readonly SourceColumn[] },
  wanted?: ReadonlySet<string>,
): ImportPlan | undefined {
  const all = cdmFields(table);
  if (all === undefined) return undefined;
  const byName = new Map(source.columns.map((one) => [columnMeant(one.name), one]));
  const known = new Set(all.map(({ name }) => name));
  const fields = all.filter(({ name }) => wanted === undefined || wanted.has(name));
  const present = fields.filter(({ name }) => byName.has(name));
  const read = present.map((field) => ({ field, value: readingOf(field, byName.get(field.name)) }));
  const values = read.map(({ field, value }) => `${value.typed} AS ${quoteIdentifier(field.name)}`);
  const missing = fields.filter(({ name, isRequired }) => isRequired && !byName.has(name));
  const rules = [
    ...missing.map(({ name }) => `WHEN TRUE THEN ${quoteLiteral(`${name} is missing: the file has no such column`)}`),
    ...read.flatMap(({ field, value }) => brokenRules(field, value)),
  ];
  const rule = rules.length === 0 ? 'CAST(NULL AS VARCHAR)' : `CASE ${rules.join(' ')} END`;
  return {
    present: present.map(({ name }) => name),
    absent: fields.filter(({ name }) => !byName.has(name)).map(({ name }) => name),
    unknown: source.columns.filter(({ name }) => !known.has(columnMeant(name))).map(({ name }) => name),
    accountSql: `SELECT ${rule} AS rule, count(*) AS row_count FROM ${source.sql} GROUP BY 1 ORDER BY 1`,
    rowsSql: `SELECT ${values.join(', ')} FROM ${source.sql} WHERE (${rule}) IS NULL`,
  };
}

/** `raw` is null where nothing was there; `typed` also where something was that is none of its kind. */
type Value = { readonly raw: string; readonly typed: string };

function readingOf(field: CdmField, column: SourceColumn | undefined): Value {
  const name = quoteIdentifier(column?.name ?? '');
  if (column?.type === 'VARCHAR') {
    // Required texts may be empty; everything else that is empty is missing.
    const raw = field.kind === 'text' && field.isRequired ? name : `NULLIF(${name}, '')`;
    return { raw, typed: typedText(field.kind, raw) };
  }
  return { raw: name, typed: typedValue(field, { name, type: column?.type ?? '' }) };
}

/** What reads back as it was written is of its kind; only other texts are looked at more closely, which takes far longer. */
function plainOr(raw: string, type: string, otherwise: string): string {
  const value = `TRY_CAST(${raw} AS ${type})`;
  const isPlain = `CAST(${value} AS VARCHAR) = ${raw}${PLAIN_LENGTHS[type] === undefined ? '' : ` AND length(${raw}) ${PLAIN_LENGTHS[type]}`}`;
  return `CASE WHEN ${raw} IS NULL THEN NULL WHEN ${isPlain} THEN ${value} ${otherwise} END`;
}

/** Keeps out what DuckDB reads as days and times besides: "infinity", years before our era and after 9999. */
const PLAIN_LENGTHS: Readonly<Record<string, string>> = { DATE: '= 10', TIMESTAMP: 'BETWEEN 19 AND 26' };

function typedText(kind: CdmFieldKind, raw: string): string {
  const trimmed = `trim(${raw})`;
  const matching = (pattern: string, value: string) =>
    `WHEN regexp_full_match(${trimmed}, ${quoteLiteral(pattern)}) THEN ${value}`;
  switch (kind) {
    case 'key':
    case 'integer': {
      const type = kind === 'key' ? 'BIGINT' : 'INTEGER';
      const whole = `TRY_CAST(regexp_replace(${trimmed}, '\\.0*$', '') AS ${type})`;
      return plainOr(raw, type, matching('[+-]?[0-9]+(\\.0*)?', whole));
    }
    case 'float':
      return `CASE WHEN isfinite(TRY_CAST(${trimmed} AS DOUBLE)) THEN TRY_CAST(${trimmed} AS DOUBLE) END`;
    case 'date': {
      const midnight = matching(
        '[0-9]{4}-[0-9]{2}-[0-9]{2}([ T]00:00(:00(\\.0+)?)?)?',
        `TRY_CAST(left(${trimmed}, 10) AS DATE)`,
      );
      const parts = ['[1:4]', '[5:6]', '[7:8]'].map((part) => `${trimmed}${part}`);
      return plainOr(
        raw,
        'DATE',
        `${midnight} ${matching('[0-9]{8}', `TRY_CAST(${parts.join(" || '-' || ")} AS DATE)`)}`,
      );
    }
    case 'datetime': {
      const time = '[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]+)?)?)?';
      const day = `WHEN CAST(TRY_CAST(${raw} AS DATE) AS VARCHAR) = ${raw} THEN CAST(TRY_CAST(${raw} AS DATE) AS TIMESTAMP)`;
      return plainOr(raw, 'TIMESTAMP', `${day} ${matching(time, `TRY_CAST(${trimmed} AS TIMESTAMP)`)}`);
    }
    case 'text':
      return raw;
  }
}

/** Columns that have a type of their own, as those of Parquet. */
function typedValue({ kind, type }: CdmField, column: SourceColumn): string {
  const { name } = column;
  const isDouble = /^(DOUBLE|FLOAT|DECIMAL)/.test(column.type);
  switch (kind) {
    case 'key':
    case 'integer':
      // A double names each whole number only below 2^53.
      return isDouble
        ? `CASE WHEN ${name} = trunc(${name}) AND abs(${name}) < 9007199254740992 THEN TRY_CAST(${name} AS ${type}) END`
        : `TRY_CAST(${name} AS ${type})`;
    case 'date':
      return /^TIMESTAMP/.test(column.type)
        ? `CASE WHEN CAST(${name} AS TIMESTAMP) = date_trunc('day', CAST(${name} AS TIMESTAMP)) THEN CAST(${name} AS DATE) END`
        : `TRY_CAST(${name} AS DATE)`;
    case 'datetime':
      return `TRY_CAST(${name} AS TIMESTAMP)`;
    case 'float':
      return `TRY_CAST(${name} AS DOUBLE)`;
    case 'text':
      return `CAST(${name} AS VARCHAR)`;
  }
}

const KIND_WORDS: Readonly<Record<CdmFieldKind, string>> = {
  key: 'is no whole number of 64 bits',
  integer: 'is no whole number of 32 bits',
  float: 'is no number',
  date: 'is no day as 2026-11-27',
  datetime: 'is no time as 2026-11-27 08:15:00',
  text: 'is no text',
};

function brokenRules({ name, kind, isRequired }: CdmField, { raw, typed }: Value): string[] {
  const when = (condition: string, rule: string) => `WHEN ${condition} THEN ${quoteLiteral(`${name} ${rule}`)}`;
  return [
    ...(isRequired ? [when(`${raw} IS NULL`, 'is missing')] : []),
    ...(kind === 'text' ? [] : [when(`${raw} IS NOT NULL AND (${typed}) IS NULL`, KIND_WORDS[kind])]),
  ];
}
