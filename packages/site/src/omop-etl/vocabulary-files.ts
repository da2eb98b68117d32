/**
 * Loads a vocabulary into a CDM: a folder with the files of OHDSI's Athena (CONCEPT.csv, CONCEPT_RELATIONSHIP.csv, ...; tab or
 * comma) or the smaller ones of its tutorials, with `source-to-standard` in the place of the relationships. What is loaded
 * replaces what was there of the same table, in one transaction; then the meanings of codes are made anew.
 */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { codeMapStatements, quoteIdentifier, sourceToStandardStatements, VOCABULARY_TABLES } from '@lantern/omop';
import { sqlText } from '../datasets/table-engine.ts';
import type { CdmDatabase, CdmSession } from './cdm-database.ts';

const SOURCE_TO_STANDARD = 'source_to_standard';

/** Rows loaded, by table. */
export type VocabularyAccount = Readonly<Record<string, number>>;

export async function loadVocabulary(database: CdmDatabase, folder: string): Promise<VocabularyAccount> {
  const files = await vocabularyFiles(folder);
  return database.transaction(async (session) => {
    const account: Record<string, number> = {};
    for (const table of VOCABULARY_TABLES) {
      const relation = files.get(table);
      if (relation === undefined) continue;
      await session.run(`DELETE FROM ${table}`);
      await session.run(`INSERT INTO ${table} ${await selectionFor(session, table, relation)}`);
      account[table] = await countOf(session, table);
    }
    for (const statement of sourceToStandardStatements(files.get(SOURCE_TO_STANDARD))) await session.run(statement);
    for (const statement of codeMapStatements()) await session.run(statement);
    account['code_map'] = await countOf(session, 'etl.code_map');
    return account;
  });
}

/** What DuckDB reads each table from. */
async function vocabularyFiles(folder: string): Promise<ReadonlyMap<string, string>> {
  const names = await readdir(folder).catch(() => {
    throw new AppError('input.invalid', `There is no folder ${folder} that can be read.`);
  });
  const known = new Set<string>([...VOCABULARY_TABLES, SOURCE_TO_STANDARD]);
  const files = new Map<string, string>();
  for (const name of names) {
    const table = /^([A-Za-z_-]+)\.csv(\.gz)?$/.exec(name)?.[1]?.toLowerCase().replaceAll('-', '_');
    if (table === undefined || !known.has(table)) continue;
    files.set(table, `read_csv(${sqlText(path.join(folder, name))}, all_varchar = true, header = true)`);
  }
  if (!files.has('concept')) throw new AppError('input.invalid', `${folder} has no CONCEPT.csv: it is no vocabulary.`);
  return files;
}

/** Every column of the table that the file has, with its type; dates come as 19700101 or 1970-01-01. */
async function selectionFor(session: CdmSession, table: string, relation: string): Promise<string> {
  const given = await session.rows(`DESCRIBE SELECT * FROM ${relation}`);
  const names = new Map(given.map((row) => [String(row['column_name']).toLowerCase(), String(row['column_name'])]));
  const columns = await session.rows(`DESCRIBE ${table}`);
  const expressions = columns.map((row) => {
    const column = String(row['column_name']);
    const source = names.get(column);
    if (source === undefined) return `NULL AS ${quoteIdentifier(column)}`;
    const text = quoteIdentifier(source);
    if (row['column_type'] === 'DATE') {
      return `coalesce(try_strptime(${text}, '%Y%m%d'), try_strptime(${text}, '%Y-%m-%d'))::date AS ${quoteIdentifier(column)}`;
    }
    return `nullif(${text}, '')::${row['column_type']} AS ${quoteIdentifier(column)}`;
  });
  return `SELECT ${expressions.join(', ')} FROM ${relation}`;
}

async function countOf(session: CdmSession, table: string): Promise<number> {
  const [row] = await session.rows(`SELECT count(*)::varchar AS n FROM ${table}`);
  return Number(row?.['n'] ?? 0);
}
