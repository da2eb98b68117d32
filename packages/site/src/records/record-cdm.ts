/**
 * Opens the CDM of this site for one question at a time: each may take all of the memory that is set aside, and the file of patient
 * numbers has one writer.
 */
import { hash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { AppError, toAppError } from '@lantern/contract';
import { quoteLiteral } from '@lantern/omop';
import type { Clock } from '@lantern/service';
import { type Cdm, openCdm } from '../cdm/cdm.ts';
import type { SessionBounds } from '../cdm/duckdb-session.ts';

/** A question over billions of rows ends well before; whoever waits for longer hinders every other question. */
const WORK_MS_MAX = 30 * 60_000;

export type RecordCdm = {
  /**
   * Waits for the question before it. Throws `database.unavailable`, whose message names no place inside the hospital, or
   * `input.too-large` for what takes too long.
   */
  use<T>(signal: AbortSignal, work: (cdm: Cdm, dataVersion: string) => Promise<T>): Promise<T>;
};

type RecordCdmOptions = {
  readonly where: string;
  readonly schema: string | undefined;
  readonly bounds: SessionBounds;
  readonly clock: Clock;
};

export function createRecordCdm(options: RecordCdmOptions): RecordCdm {
  let last: Promise<unknown> = Promise.resolve();
  return {
    use(signal, work) {
      const mine = last.then(() => useNow(options, signal, work));
      last = mine.catch(() => undefined); // whoever asked hears of it; the next one starts either way
      return mine;
    },
  };
}

async function useNow<T>(
  options: RecordCdmOptions,
  asked: AbortSignal,
  work: (cdm: Cdm, dataVersion: string) => Promise<T>,
): Promise<T> {
  const { where, schema, bounds } = options;
  asked.throwIfAborted();
  const late = AbortSignal.timeout(WORK_MS_MAX);
  const signal = AbortSignal.any([asked, late]);
  const opened = await openVersion(options, { where, schema, bounds, signal, onProgress: () => undefined }).catch(
    (cause: unknown) => {
      signal.throwIfAborted();
      const { code } = toAppError(cause);
      if (code === 'storage.full') throw cause;
      throw new AppError('database.unavailable', 'The records of this site cannot be opened now.', { cause });
    },
  );
  try {
    return await work(opened.cdm, opened.dataVersion);
  } catch (caught) {
    if (!late.aborted || asked.aborted) throw caught;
    const minutes = WORK_MS_MAX / 60_000;
    throw new AppError(
      'input.too-large',
      `The question takes more than ${minutes} minutes at this site; ask for less.`,
    );
  } finally {
    await opened.cdm.close();
  }
}

/** A file may be replaced while it is opened, each time a pass of the ETL ends: then the version would be that of another. */
const OPEN_ATTEMPTS_MAX = 5;

async function openVersion(
  options: RecordCdmOptions,
  how: Parameters<typeof openCdm>[0],
): Promise<{ cdm: Cdm; dataVersion: string }> {
  for (let attempt = 1; attempt <= OPEN_ATTEMPTS_MAX; attempt += 1) {
    const before = await fileVersionOf(options);
    const cdm = await openCdm(how);
    try {
      const dataVersion = await dataVersionOf(options, cdm);
      if (cdm.dialect !== 'duckdb' || before === dataVersion) return { cdm, dataVersion };
    } catch (caught) {
      await cdm.close();
      throw caught;
    }
    await cdm.close();
  }
  throw new AppError('database.unavailable', 'The file of the CDM is replaced again and again.');
}

async function fileVersionOf({ where }: Pick<RecordCdmOptions, 'where'>): Promise<string | undefined> {
  const found = await stat(where).catch(() => undefined); // a database, or told of when it is opened
  return found === undefined ? undefined : hash('sha256', `${found.size} ${found.mtimeMs} ${found.ino}`);
}

/**
 * Changes when the records do. Of a file what the file system says; of a PostgreSQL, which counts rows written in its statistics,
 * these and the day, since a replica counts none: so a question is free again for a day at most.
 */
async function dataVersionOf(options: RecordCdmOptions, cdm: Cdm): Promise<string> {
  if (cdm.dialect === 'duckdb') return (await fileVersionOf(options)) ?? '';
  const schemas = cdm.schema === undefined ? 'ANY (current_schemas(false))' : quoteLiteral(cdm.schema);
  const rows = await cdm.rows(
    `SELECT relid, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_all_tables WHERE schemaname = ${schemas} ORDER BY relid`,
  );
  return hash('sha256', `${options.clock.now().toISOString().slice(0, 10)} ${JSON.stringify(rows)}`);
}
