/** A plan as one SQL statement, in the dialect of the database that is to run it. Nothing else in this folder knows a dialect. */
import { quoteIdentifier, quoteLiteral } from '../dataset/sql-text.ts';
import type {
  Aggregate,
  Arithmetic,
  Condition,
  Expression,
  Join,
  Leaf,
  Match,
  Order,
  Query,
  Select,
  Source,
  Step,
  Window,
} from './sql-tree.ts';

export type SqlDialect = 'duckdb' | 'postgres';

export type PrintOptions = {
  readonly dialect: SqlDialect;
  /** Of the tables of the CDM; without it those of the connection. */
  readonly schema?: string;
  /** Keeps PostgreSQL from writing a step that is read once into its reader, which it may then make anew for each row. */
  readonly isEachStepMadeOnce?: boolean;
};

export const CONCEPT_SET_STEP = 'concept_sets';
/** Begins the names of what is joined for a concept set; no plan calls a source so. */
const PICK = 'picked_';

type InConceptSet = Extract<Condition, { kind: 'in-concept-set' }>;

/** Only what differs. Both add integers to dates and give days for a difference of dates. */
const DIALECTS: Readonly<
  Record<
    SqlDialect,
    {
      readonly division: (left: string, right: string) => string;
      readonly year: (date: string) => string;
      /** DuckDB takes any IN for a fifth of the rows; of a join it knows better, and starts where few are. */
      readonly joinsConceptSets: boolean;
    }
  >
> = {
  duckdb: {
    division: (left, right) => `(CAST(${left} AS DOUBLE) / ${right})`,
    year: (date) => `year(${date})`,
    joinsConceptSets: true,
  },
  postgres: {
    division: (left, right) => `(CAST(${left} AS DOUBLE PRECISION) / ${right})`,
    year: (date) => `CAST(EXTRACT(YEAR FROM ${date}) AS INTEGER)`,
    joinsConceptSets: false,
  },
};

/** `result` reads the steps; all of them are part of the statement, in their order, whether it reads them or not. */
export function printPlan(steps: readonly Step[], result: Query, options: PrintOptions): string {
  const printer = new Printer(options);
  const as = options.isEachStepMadeOnce === true ? 'AS MATERIALIZED' : 'AS';
  const named = steps.map(({ name, query }) => `${quoteIdentifier(name)} ${as} (\n${printer.query(query)}\n)`);
  return `${named.length === 0 ? '' : `WITH ${named.join(',\n')}\n`}${printer.query(result)}`;
}

class Printer {
  readonly #options: PrintOptions;
  readonly #dialect: (typeof DIALECTS)[SqlDialect];

  constructor(options: PrintOptions) {
    this.#options = options;
    this.#dialect = DIALECTS[options.dialect];
  }

  query(query: Query): string {
    if ('unionAll' in query) return query.unionAll.map((one) => this.query(one)).join('\nUNION ALL\n');
    return this.#select(query);
  }

  #select(select: Select): string {
    const columns = Object.entries(select.columns).map(
      ([name, expression]) => `${this.#expression(expression)} AS ${quoteIdentifier(name)}`,
    );
    const all = select.allOf === undefined ? [] : [`${select.allOf}.*`];
    const { picks, conditions } = this.#picksOf(select);
    const clauses = [
      `SELECT ${select.isDistinct === true ? 'DISTINCT ' : ''}${[...all, ...columns].join(', ')}`,
      `FROM ${this.#source(select.from)}`,
      ...(select.joins ?? []).map((join) => this.#join(join)),
      // After all that they may be of.
      ...picks.map((pick, index) => this.#pickJoin(pick, `${PICK}${index}`)),
    ];
    if (conditions.length > 0) clauses.push(`WHERE ${this.#conjunction(conditions)}`);
    if (select.groupBy !== undefined) clauses.push(`GROUP BY ${this.#list(select.groupBy)}`);
    if (select.having !== undefined) clauses.push(`HAVING ${this.#expression(select.having)}`);
    return clauses.join('\n');
  }

  /** What every row has to be of, and the other conditions. */
  #picksOf({ where = [] }: Select): { picks: readonly InConceptSet[]; conditions: readonly Expression[] } {
    if (!this.#dialect.joinsConceptSets) return { picks: [], conditions: where };
    const isPick = (one: Expression): one is InConceptSet => one.kind === 'in-concept-set';
    return { picks: where.filter(isPick), conditions: where.filter((one) => !isPick(one)) };
  }

  #pickJoin({ value, conceptSets }: InConceptSet, as: string): string {
    return `JOIN (${conceptsOf(conceptSets)}) ${as} ON ${as}.concept_id = ${this.#expression(value)}`;
  }

  #source(source: Source): string {
    if ('query' in source) return `(\n${this.query(source.query)}\n) ${source.as}`;
    if ('step' in source) return `${quoteIdentifier(source.step)} ${source.as}`;
    if ('values' in source) {
      const rows = source.values.map((row) => `(${row.join(', ')})`);
      return `(VALUES ${rows.join(', ')}) ${source.as}(${source.names.map(quoteIdentifier).join(', ')})`;
    }
    const { schema } = this.#options;
    const table = quoteIdentifier(source.table);
    return `${schema === undefined ? table : `${quoteIdentifier(schema)}.${table}`} ${source.as}`;
  }

  #join({ kind, source, on }: Join): string {
    return `${kind === 'left' ? 'LEFT JOIN' : 'JOIN'} ${this.#source(source)} ON ${this.#conjunction(on)}`;
  }

  #conjunction(of: readonly Expression[]): string {
    return of.map((one) => this.#expression(one)).join(' AND ');
  }

  #list(of: readonly Expression[]): string {
    return of.map((one) => this.#expression(one)).join(', ');
  }

  #expression(expression: Expression): string {
    switch (expression.kind) {
      case 'column':
      case 'integer':
      case 'number':
      case 'text':
      case 'date':
      case 'null':
        return printLeaf(expression);
      case 'aggregate':
        return this.#aggregate(expression);
      case 'window':
        return this.#window(expression);
      case 'add-days':
      case 'days-between':
      case 'year':
      case 'plus':
      case 'minus':
      case 'times':
      case 'divide':
      case 'to-bigint':
      case 'to-double':
      case 'lower-case':
      case 'coalesce':
      case 'null-if':
      case 'case':
        return this.#arithmetic(expression);
      default:
        return this.#condition(expression);
    }
  }

  #aggregate({ name, of, isDistinct, orderBy }: Aggregate): string {
    const order = orderBy === undefined ? '' : ` ORDER BY ${orderBy.map((one) => this.#order(one)).join(', ')}`;
    return `${name}(${isDistinct === true ? 'DISTINCT ' : ''}${this.#expression(of)}${order})`;
  }

  #arithmetic(expression: Arithmetic): string {
    const print = (one: Expression) => this.#expression(one);
    switch (expression.kind) {
      case 'add-days':
        return `(${print(expression.date)} + CAST(${print(expression.days)} AS INTEGER))`;
      case 'days-between':
        return `(${print(expression.to)} - ${print(expression.from)})`;
      case 'year':
        return this.#dialect.year(print(expression.date));
      case 'plus':
        return `(${print(expression.left)} + ${print(expression.right)})`;
      case 'times':
        return `(${print(expression.left)} * ${print(expression.right)})`;
      case 'minus':
        return `(${print(expression.left)} - ${print(expression.right)})`;
      case 'divide':
        return this.#dialect.division(print(expression.left), print(expression.right));
      case 'to-bigint':
        return `CAST(${print(expression.of)} AS BIGINT)`;
      case 'to-double':
        return `CAST(${print(expression.of)} AS DOUBLE PRECISION)`;
      case 'lower-case':
        return `lower(${print(expression.of)})`;
      case 'coalesce':
        return `COALESCE(${this.#list(expression.of)})`;
      case 'null-if':
        return `NULLIF(${this.#list(expression.of)})`;
      case 'case':
        return `CASE WHEN ${print(expression.when)} THEN ${print(expression.value)} ELSE ${print(expression.otherwise)} END`;
    }
  }

  #condition(expression: Condition): string {
    switch (expression.kind) {
      case 'compare':
        return `${this.#expression(expression.left)} ${expression.operator} ${this.#expression(expression.right)}`;
      case 'all':
        return expression.of.length === 0 ? 'TRUE' : `(${this.#conjunction(expression.of)})`;
      case 'any':
        if (expression.of.length === 0) return 'FALSE';
        return `(${expression.of.map((one) => this.#expression(one)).join(' OR ')})`;
      case 'not':
        return `NOT (${this.#expression(expression.of)})`;
      case 'is-null':
        return `${this.#expression(expression.of)} IS NULL`;
      case 'in':
        return `${this.#expression(expression.value)} IN (${expression.list.join(', ')})`;
      case 'in-concept-set':
        return `${this.#expression(expression.value)} IN (${conceptsOf(expression.conceptSets)})`;
      case 'matches':
        return `${this.#expression(expression.value)} LIKE ${quoteLiteral(likePattern(expression))} ESCAPE '!'`;
    }
  }

  #window({ name, of, partitionBy, orderBy, frame }: Window): string {
    const frames = {
      before: ' ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING',
      'so-far': ' ROWS UNBOUNDED PRECEDING',
      all: ' ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING',
    };
    const order = orderBy.map((one) => this.#order(one)).join(', ');
    const over = `PARTITION BY ${this.#expression(partitionBy)} ORDER BY ${order}${frame === undefined ? '' : frames[frame]}`;
    return `${name}(${of === undefined ? '' : this.#expression(of)}) OVER (${over})`;
  }

  #order({ by, isDescending }: Order): string {
    return `${this.#expression(by)}${isDescending === true ? ' DESC' : ''}`;
  }
}

/** Each once: a set holds a concept once, several sets may share it. */
function conceptsOf(conceptSets: readonly number[]): string {
  const distinct = conceptSets.length > 1 ? 'DISTINCT ' : '';
  return `SELECT ${distinct}concept_id FROM ${CONCEPT_SET_STEP} WHERE concept_set_id IN (${conceptSets.join(', ')})`;
}

function likePattern({ text, where }: Match): string {
  const escaped = text.replaceAll(/[!%_]/g, (character) => `!${character}`);
  const before = where === 'ends' || where === 'contains' ? '%' : '';
  const after = where === 'begins' || where === 'contains' ? '%' : '';
  return `${before}${escaped}${after}`;
}

function printLeaf(leaf: Leaf): string {
  switch (leaf.kind) {
    case 'column':
      return `${leaf.of}.${quoteIdentifier(leaf.name)}`;
    case 'integer':
      return String(leaf.value);
    case 'number':
      return `CAST(${leaf.value} AS DOUBLE PRECISION)`;
    case 'text':
      return quoteLiteral(leaf.value);
    case 'date':
      return `DATE '${leaf.value}'`;
    case 'null':
      return `CAST(NULL AS ${leaf.type.toUpperCase()})`;
  }
}
