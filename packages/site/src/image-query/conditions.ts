/**
 * Conditions as SQL over the tables of the archive, under the aliases `st` (study), `se` (series) and `im` (instance). Whatever a
 * person wrote is a bound parameter; the text of a statement is made of the names in this folder alone.
 */
import { type RawBuilder, sql } from 'kysely';
import type { Pattern } from './key-matching.ts';
import type { Condition } from './query.ts';
import type { ComputedPart, QueryAttribute } from './query-attributes.ts';

export type Sql = RawBuilder<unknown>;

/** `true` for none. */
export function everyOf(conditions: readonly Sql[]): Sql {
  return conditions.length === 0 ? sql`true` : sql`(${sql.join(conditions, sql` and `)})`;
}

function anyOf(conditions: readonly Sql[]): Sql {
  return conditions.length === 1 && conditions[0] !== undefined
    ? conditions[0]
    : sql`(${sql.join(conditions, sql` or `)})`;
}

export function conditionSql(condition: Condition): Sql {
  switch (condition.kind) {
    case 'value':
      return valueSql(condition.attribute, condition.anyOf);
    case 'item': {
      const items = condition.items.map(({ tag, anyOf: patterns }) =>
        someValue(sql`item.value -> ${tag}::text -> 'Value'`, (value) => patternsSql(value, patterns)),
      );
      const all = sql`jsonb_array_elements(${jsonOf(condition.attribute)}) as item(value)`;
      return sql`exists (select from ${all} where ${everyOf(items)})`;
    }
    case 'date-time':
      return someOf(condition.date, (date) =>
        someOf(condition.time, (time) => {
          const moment = sql`${date} || ${timeKey(time)}`;
          return everyOf([sql`${date} <> ''`, sql`${time} <> ''`, betweenSql(moment, condition)]);
        }),
      );
  }
}

function valueSql(attribute: QueryAttribute, patterns: readonly Pattern[]): Sql {
  const { comparison } = attribute;
  return someOf(attribute, (value) => {
    if (comparison === 'name') return anyOf(patterns.map((pattern) => nameSql(value, pattern)));
    if (comparison !== 'time') return patternsSql(value, patterns);
    // An empty time would be midnight.
    return everyOf([sql`${value} <> ''`, patternsSql(timeKey(value), patterns)]);
  });
}

/** Whether a value of the attribute meets `met`: its column, or one of its values in JSON or below. */
function someOf(attribute: QueryAttribute, met: (value: Sql) => Sql): Sql {
  const { source } = attribute;
  switch (source.kind) {
    case 'column':
      return met(sql.ref(source.column));
    case 'json':
      return someValue(jsonOf(attribute), met);
    case 'computed':
      return belowSql(source.part, met);
  }
}

function belowSql(part: ComputedPart, met: (value: Sql) => Sql): Sql {
  if (part === 'modalities') {
    return sql`exists (select from image_series as below where below.study_key = st.study_key
      and ${met(sql.ref('below.modality'))})`;
  }
  return sql`exists (select from image_series as below join image_instance as leaf using (series_key)
    where below.study_key = st.study_key and ${met(sql.ref('leaf.sop_class_uid'))})`;
}

/** The values of an attribute that the index keeps as DICOM JSON; NULL for none. */
function jsonOf({ level, tag }: QueryAttribute): Sql {
  const attributes = sql.ref(level === 'SERIES' ? 'se.attributes' : 'st.attributes');
  return sql`${attributes} -> ${tag}::text -> 'Value'`;
}

function someValue(values: Sql, met: (value: Sql) => Sql): Sql {
  const value = sql`(one.value collate "C")`;
  return sql`exists (select from jsonb_array_elements_text(${values}) as one(value) where ${met(value)})`;
}

/** HHMMSSFFFFFF, whatever precision the value has. */
function timeKey(value: Sql): Sql {
  return sql`rpad(translate(${value}, ':.', ''), 12, '0')`;
}

function patternsSql(value: Sql, patterns: readonly Pattern[]): Sql {
  const texts = patterns.flatMap((pattern) => (pattern.kind === 'equal' ? [pattern.text] : []));
  const others = patterns.flatMap((pattern) => (pattern.kind === 'equal' ? [] : [patternSql(value, pattern)]));
  if (texts.length === 0) return anyOf(others);
  return anyOf([texts.length === 1 ? sql`${value} = ${texts[0]}` : sql`${value} = any(${texts}::text[])`, ...others]);
}

function patternSql(value: Sql, pattern: Pattern): Sql {
  switch (pattern.kind) {
    case 'equal':
      return sql`${value} = ${pattern.text}`;
    case 'like':
      return sql`${value} like ${pattern.like}`;
    case 'between':
      return everyOf([sql`${value} <> ''`, betweenSql(value, pattern)]);
    case 'number':
      return sql`${value} = ${pattern.number}::numeric`;
    case 'name':
    case 'name-in-any-group':
      return nameSql(value, pattern);
  }
}

function betweenSql(value: Sql, { from, to }: { readonly from?: string; readonly to?: string }): Sql {
  return everyOf([
    ...(from === undefined ? [] : [sql`${value} >= ${from}`]),
    ...(to === undefined ? [] : [sql`${value} <= ${to}`]),
  ]);
}

/** Over a key of `nameKey`, "alphabetic=ideographic=phonetic". */
function nameSql(key: Sql, pattern: Pattern): Sql {
  const group = (index: number, patterns: readonly Pattern[]) =>
    index === 0 ? firstGroupSql(key, patterns) : patternsSql(sql`split_part(${key}, '=', ${index + 1}::int)`, patterns);
  if (pattern.kind === 'name') {
    return everyOf(
      pattern.groups.flatMap((patterns, index) => (patterns === undefined ? [] : [group(index, patterns)])),
    );
  }
  if (pattern.kind !== 'name-in-any-group') return patternSql(key, pattern);
  // The same words as the partial index on names that have further groups.
  const others = sql`(${key} not like '%==' and ${anyOf([1, 2].map((index) => group(index, pattern.patterns)))})`;
  return anyOf([group(0, pattern.patterns), others]);
}

/** The beginning of the key besides, which the index finds. */
function firstGroupSql(key: Sql, patterns: readonly Pattern[]): Sql {
  return anyOf(
    patterns.map((pattern) => {
      if (pattern.kind === 'equal') return sql`${key} like ${`${escaped(pattern.text)}=%`}`;
      const exact = patternSql(sql`split_part(${key}, '=', 1)`, pattern);
      if (pattern.kind !== 'like' || pattern.prefix === '') return exact;
      return sql`(${key} like ${`${escaped(pattern.prefix)}%`} and ${exact})`;
    }),
  );
}

function escaped(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}
