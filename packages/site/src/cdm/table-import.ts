/** One file of a CDM to one table of ours, with an account of its rows: read is loaded plus refused. */
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { type ImportPlan, planImport, quoteIdentifier } from '@lantern/omop';
import type { DuckDbSession } from './duckdb-session.ts';
import { assertWhole, openTableFile, type TableFile, type TableSource } from './table-files.ts';

const BROKEN_LINE_RULE = 'the line is no record of this table';

export type TableAccount = {
  readonly table: string;
  /** Name of the file, without its folder. */
  readonly file: string;
  readonly readCount: number;
  readonly loadedCount: number;
  readonly refused: readonly { readonly rule: string; readonly rowCount: number }[];
  /** Of the file, and nowhere in the CDM: not loaded. */
  readonly unknownColumns: readonly string[];
  /** Of the CDM, and not in the file: empty. */
  readonly absentColumns: readonly string[];
};

export type OpenedTable = { readonly file: TableFile; readonly source: TableSource; readonly plan: ImportPlan };

/** `wanted`: only these columns. */
export async function openTable(
  session: DuckDbSession,
  file: TableFile,
  wanted?: ReadonlySet<string>,
): Promise<OpenedTable> {
  const source = await openTableFile(session, file);
  const plan = planImport(file.table, source, wanted);
  if (plan === undefined) throw new AppError('internal', `No table ${file.table}.`);
  return { file, source, plan };
}

/**
 * Loads the rows into `target`, an empty table that has the columns. Throws `dataset.invalid` naming the file.
 *
 * order  columns by which the rows are to lie there, for a table that is kept; those that the file has count
 */
export async function importTable(
  session: DuckDbSession,
  { file, source, plan }: OpenedTable,
  target: string,
  order: readonly string[] = [],
): Promise<TableAccount> {
  await assertWhole(file, session.signal);
  const counted = await session.rows(plan.accountSql).catch((cause: unknown) => {
    if (!(cause instanceof AppError) || cause.code !== 'dataset.invalid') throw cause;
    throw new AppError('dataset.invalid', `${path.basename(file.file)} is broken, or not what its name says.`, {
      cause,
    });
  });
  const broken = source.hasRejects ? await takeBrokenLines(session) : 0;
  const refused = counted.flatMap(([rule, count]) =>
    rule === null || rule === undefined ? [] : [{ rule, rowCount: Number(count) }],
  );
  if (broken > 0) refused.push({ rule: BROKEN_LINE_RULE, rowCount: broken });
  const loadedCount = Number(counted.find(([rule]) => rule === null)?.[1] ?? 0);
  const columns = plan.present.map(quoteIdentifier).join(', ');
  const by = order.filter((name) => plan.present.includes(name)).map(quoteIdentifier);
  const ordered = by.length === 0 ? '' : ` ORDER BY ${by.join(', ')}`;
  await session.run(`INSERT INTO ${target} (${columns}) SELECT * FROM (${plan.rowsSql})${ordered}`);
  if (source.hasRejects) await takeBrokenLines(session);
  const [inTable] = await session.rows(`SELECT count(*) FROM ${target}`);
  if (Number(inTable?.[0]) !== loadedCount) {
    throw new AppError('dataset.invalid', `${path.basename(file.file)} changed while it was read.`);
  }
  return {
    table: file.table,
    file: path.basename(file.file),
    readCount: loadedCount + refused.reduce((sum, { rowCount }) => sum + rowCount, 0),
    loadedCount,
    refused,
    unknownColumns: plan.unknown,
    absentColumns: plan.absent,
  };
}

/** How many lines the last reading left out; several things may be wrong with one. */
async function takeBrokenLines(session: DuckDbSession): Promise<number> {
  const [row] = await session.rows('SELECT count(DISTINCT line) FROM reject_errors');
  for (const table of ['reject_errors', 'reject_scans']) await session.run(`DROP TABLE IF EXISTS ${table}`);
  return Number(row?.[0] ?? 0);
}
