/**
 * The checks as SQL that DuckDB and PostgreSQL both read. Each check counts the rows it looks at and those that break its rule.
 * Checks over the same tables and joins share one pass, since a pass over a large table is what costs.
 *
 * Semantics are those of the Dashboard's own statements (OHDSI/DataQualityDashboard 2.6): concept 0 is no breach of domain or
 * standard, which its own checks count; a death is borne sixty days later; a visit a week on both sides.
 */
import { quoteIdentifier, quoteLiteral } from '../dataset/sql-text.ts';
import type { QualityRule } from './quality-rule.ts';

/** One pass; its only row holds, for each of `rules` in their order, how many rows broke it and how many were checked, as texts. */
export type QualityQuery = { readonly sql: string; readonly rules: readonly QualityRule[] };

/** Which fields each table has, with their types in lower case: what the catalogue says. */
export type Catalogue = ReadonlyMap<string, ReadonlyMap<string, string>>;

export type QualityPlan = {
  readonly queries: readonly QualityQuery[];
  /** Checks that the catalogue alone answers: true is passed. */
  readonly answered: readonly { readonly rule: QualityRule; readonly isPassed: boolean }[];
  /** Checks whose table or field is not there. */
  readonly missing: readonly QualityRule[];
};

export type QualityOptions = {
  /** Before each table's name; empty for the default. */
  readonly schema?: string;
  /** "2026-11-27": later days lie in the future. */
  readonly today: string;
};

/** Aggregates in one statement; more makes texts too long to read. */
const RULES_PER_QUERY_MAX = 60;

type Measure = {
  /** `FROM` clause; the table of the rule is `t`. */
  readonly from: string;
  readonly broken: string;
  /** Of which rows; all when left out. */
  readonly among?: string;
};

type Context = { readonly name: (table: string) => string; readonly today: string };

export function planQuality(rules: readonly QualityRule[], catalogue: Catalogue, options: QualityOptions): QualityPlan {
  const prefix = options.schema === undefined ? '' : `${quoteIdentifier(options.schema)}.`;
  const context: Context = { name: (table) => `${prefix}${quoteIdentifier(table)}`, today: options.today };
  const answered: { rule: QualityRule; isPassed: boolean }[] = [];
  const missing: QualityRule[] = [];
  const passes = new Map<string, { rule: QualityRule; measure: Measure }[]>();
  const queries: QualityQuery[] = [];
  for (const rule of rules) {
    const isThere = isPresent(rule, catalogue);
    if (rule.check === 'cdmTable' || rule.check === 'cdmField') answered.push({ rule, isPassed: isThere });
    else if (!isThere) missing.push(rule);
    else if (rule.check === 'cdmDatatype') answered.push({ rule, isPassed: isWhole(rule, catalogue) });
    else {
      const own = ownQuery(rule, context);
      if (own === undefined) {
        const measure = measureOf(rule, context);
        passes.set(measure.from, [...(passes.get(measure.from) ?? []), { rule, measure }]);
      } else {
        queries.push({ sql: own, rules: [rule] });
      }
    }
  }
  for (const [from, pass] of passes) {
    for (let start = 0; start < pass.length; start += RULES_PER_QUERY_MAX) {
      queries.push(passQuery(from, pass.slice(start, start + RULES_PER_QUERY_MAX)));
    }
  }
  return { queries, answered, missing };
}

function passQuery(from: string, pass: readonly { rule: QualityRule; measure: Measure }[]): QualityQuery {
  const columns = pass.flatMap(({ measure: { broken, among = 'true' } }, index) => [
    `CAST(count(*) FILTER (WHERE (${among}) AND (${broken})) AS varchar) AS broken_${index}`,
    `CAST(count(*) FILTER (WHERE ${among}) AS varchar) AS checked_${index}`,
  ]);
  return { sql: `SELECT ${columns.join(',\n  ')}\nFROM ${from}`, rules: pass.map(({ rule }) => rule) };
}

function isPresent(rule: QualityRule, catalogue: Catalogue): boolean {
  const fields = catalogue.get(rule.table);
  if (fields === undefined || (rule.field !== '' && !fields.has(rule.field))) return false;
  const [first = '', second = ''] = rule.arguments;
  switch (rule.check) {
    case 'isForeignKey':
    case 'plausibleTemporalAfter':
      return catalogue.get(first)?.has(second) === true;
    case 'plausibleStartBeforeEnd':
    case 'sourceValueCompleteness':
      return fields.has(first);
    default:
      return true;
  }
}

function isWhole(rule: QualityRule, catalogue: Catalogue): boolean {
  return /^(smallint|integer|bigint|hugeint)$/.test(catalogue.get(rule.table)?.get(rule.field) ?? '');
}

/** Checks that need a grouping of their own. */
function ownQuery(rule: QualityRule, { name }: Context): string | undefined {
  const table = name(rule.table);
  const field = quoteIdentifier(rule.field === '' ? 'person_id' : rule.field);
  const answer = (broken: string, checked: string) =>
    `CAST(${broken} AS varchar) AS broken_0, CAST(${checked} AS varchar) AS checked_0`;
  switch (rule.check) {
    case 'isPrimaryKey':
      return `SELECT ${answer('coalesce(sum(n) FILTER (WHERE n > 1), 0)', 'coalesce(sum(n), 0)')}
FROM (SELECT count(*) AS n FROM ${table} GROUP BY ${field}) AS keys`;
    case 'sourceValueCompleteness': {
      const standard = quoteIdentifier(rule.arguments[0] ?? '');
      return `SELECT ${answer(`count(DISTINCT ${field}) FILTER (WHERE ${standard} = 0)`, `count(DISTINCT ${field})`)} FROM ${table}`;
    }
    case 'measurePersonCompleteness':
      return `SELECT ${answer('count(*) FILTER (WHERE s.person_id IS NULL)', 'count(*)')}
FROM ${name('person')} AS p LEFT JOIN (SELECT DISTINCT person_id FROM ${table}) AS s ON s.person_id = p.person_id`;
    case 'measureConditionEraCompleteness':
      return `SELECT ${answer('count(*) FILTER (WHERE e.person_id IS NULL)', 'count(*)')}
FROM (SELECT DISTINCT person_id FROM ${name('condition_occurrence')}) AS c
LEFT JOIN (SELECT DISTINCT person_id FROM ${name('condition_era')}) AS e ON e.person_id = c.person_id`;
    case 'measureObservationPeriodOverlap':
      return `SELECT ${answer('count(DISTINCT person_id) FILTER (WHERE start_date <= latest + 1)', 'count(DISTINCT person_id)')}
FROM (SELECT person_id, observation_period_start_date AS start_date,
        max(observation_period_end_date) OVER (PARTITION BY person_id ORDER BY observation_period_start_date,
          observation_period_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS latest
      FROM ${table}) AS periods`;
    default:
      return undefined;
  }
}

function measureOf(rule: QualityRule, context: Context): Measure {
  const field = `t.${quoteIdentifier(rule.field)}`;
  const from = `${context.name(rule.table)} AS t`;
  switch (rule.check) {
    case 'isRequired':
    case 'measureValueCompleteness':
      return { from, broken: `${field} IS NULL` };
    case 'standardConceptRecordCompleteness':
    case 'sourceConceptRecordCompleteness':
      return rule.field === 'unit_concept_id' && ['measurement', 'observation'].includes(rule.table)
        ? { from, broken: `${field} = 0`, among: 't.value_as_number IS NOT NULL' }
        : { from, broken: `${field} = 0` };
    case 'plausibleValueLow':
      return { from, broken: `${field} < ${bound(rule, context)}`, among: `${field} IS NOT NULL` };
    case 'plausibleValueHigh':
      return { from, broken: `${field} > ${bound(rule, context)}`, among: `${field} IS NOT NULL` };
    case 'plausibleStartBeforeEnd': {
      const end = `t.${quoteIdentifier(rule.arguments[0] ?? '')}`;
      return { from, broken: `CAST(${field} AS date) > CAST(${end} AS date)`, among: `${end} IS NOT NULL` };
    }
    default:
      return joinedMeasure(rule, context, { field, from });
  }
}

/** Checks that look at a second table. */
function joinedMeasure(rule: QualityRule, context: Context, { field, from }: { field: string; from: string }): Measure {
  const { name } = context;
  const [first = '', second = '', third = ''] = rule.arguments;
  const concept = `${from} JOIN ${name('concept')} AS c ON c.concept_id = ${field}`;
  const person = `${from} JOIN ${name('person')} AS p ON p.person_id = t.person_id`;
  const day = `CAST(${field} AS date)`;
  switch (rule.check) {
    case 'isForeignKey': {
      const key = quoteIdentifier(second);
      return {
        from: `${from} LEFT JOIN (SELECT DISTINCT ${key} FROM ${name(first)}) AS k ON k.${key} = ${field}`,
        broken: `k.${key} IS NULL`,
        among: `${field} IS NOT NULL`,
      };
    }
    case 'fkDomain':
      return { from: concept, broken: `c.concept_id <> 0 AND c.domain_id <> ${quoteLiteral(first)}` };
    case 'fkClass':
      return { from: concept, broken: `c.concept_id <> 0 AND c.concept_class_id <> ${quoteLiteral(first)}` };
    case 'isStandardValidConcept':
      return {
        from: concept,
        broken: `c.concept_id <> 0 AND (c.standard_concept IS DISTINCT FROM 'S' OR c.invalid_reason IS NOT NULL)`,
      };
    case 'plausibleTemporalAfter':
      return afterMeasure(rule, context, { field, from });
    case 'plausibleAfterBirth':
      return { from: person, broken: `${day} < ${BIRTH}`, among: `${field} IS NOT NULL` };
    case 'plausibleDuringLife':
    case 'plausibleBeforeDeath':
      return {
        from: `${from} JOIN ${name('death')} AS d ON d.person_id = t.person_id`,
        broken: `${day} > d.death_date + 60`,
        among: `${field} IS NOT NULL`,
      };
    case 'withinVisitDates':
      return {
        from: `${from} JOIN ${name('visit_occurrence')} AS v ON v.visit_occurrence_id = t.visit_occurrence_id`,
        broken: `${day} < v.visit_start_date - 7 OR ${day} > v.visit_end_date + 7`,
      };
    case 'plausibleGender':
      return {
        from: person,
        broken: `p.gender_concept_id <> ${gender(third)}`,
        among: `${field} IN (${numbers(first)})`,
      };
    case 'plausibleGenderUseDescendants':
      return {
        from: `${person} JOIN ${name('concept_ancestor')} AS a ON a.descendant_concept_id = ${field}`,
        broken: `p.gender_concept_id <> ${gender(third)}`,
        among: `a.ancestor_concept_id IN (${numbers(first)})`,
      };
    case 'plausibleUnitConceptIds': {
      return {
        from,
        broken: `t.unit_concept_id NOT IN (${numbers(third)})`,
        among: `${field} IN (${numbers(first)}) AND t.value_as_number IS NOT NULL AND t.unit_concept_id <> 0`,
      };
    }
    default:
      throw new TypeError(`No measure is written for the check ${rule.check}.`);
  }
}

/** Date of birth; where month or day are not known, the first. */
const BIRTH = `coalesce(CAST(p.birth_datetime AS date),
    make_date(p.year_of_birth, coalesce(p.month_of_birth, 1), coalesce(p.day_of_birth, 1)))`;

function afterMeasure(rule: QualityRule, { name }: Context, { field, from }: { field: string; from: string }): Measure {
  const [table = '', column = ''] = rule.arguments;
  const day = `CAST(${field} AS date)`;
  if (table === 'person') {
    const person = `${from} JOIN ${name('person')} AS p ON p.person_id = t.person_id`;
    return { from: person, broken: `${day} < ${BIRTH}`, among: `${field} IS NOT NULL` };
  }
  // The Dashboard compares within the row where both fields are the table's own, and by patient otherwise.
  const isOwn = table === rule.table;
  const other = `${isOwn ? 't' : 'o'}.${quoteIdentifier(column)}`;
  return {
    from: isOwn ? from : `${from} JOIN ${name(table)} AS o ON o.person_id = t.person_id`,
    broken: `${day} < CAST(${other} AS date)`,
    among: `${field} IS NOT NULL AND ${other} IS NOT NULL`,
  };
}

/** A bound of the Dashboard: a number, '19500101', or a day or year counted from today. */
function bound(rule: QualityRule, { today }: Context): string {
  const text = rule.arguments[0] ?? '';
  const day = /^'(\d{4})(\d{2})(\d{2})'$/.exec(text);
  if (day !== null) return `DATE '${day[1]}-${day[2]}-${day[3]}'`;
  if (/^\d+(\.\d+)?$/.test(text)) return text;
  if (text === 'DATEADD(dd,1,GETDATE())') return `DATE '${today}' + 1`;
  if (text === 'YEAR(GETDATE())+1') return String(Number(today.slice(0, 4)) + 1);
  throw new TypeError(`The bound ${text} of ${rule.table}.${rule.field} is not understood.`);
}

function gender(name: string): string {
  return name === 'Male' ? '8507' : '8532';
}

/** A list of concepts, checked to be numbers. */
function numbers(text: string): string {
  return text
    .split(',')
    .map((number) => String(BigInt(number.trim())))
    .join(', ');
}
