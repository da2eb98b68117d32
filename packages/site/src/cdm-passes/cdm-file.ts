/**
 * The file of the CDM that questions are answered from: only ever read, and replaced as a whole. A pass works on a copy beside it.
 *
 *   file ──copy──► part ──pass──► part, whole and on the disk ──rename──► file
 *
 * Invariants: whoever opens the file finds a CDM as one pass left it, and keeps it for as long as it is open; of a pass that was cut
 * off there is only the part, which the next one throws away.
 */
import { constants } from 'node:fs';
import { copyFile, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { sourceStateSql } from '@lantern/omop';
import { assertFreeBytes, faultPoint, fromDiskError, syncFolder } from '@lantern/service';
import { type Cdm, openCdm } from '../cdm/cdm.ts';
import type { SessionBounds } from '../cdm/duckdb-session.ts';

export type SourceState = ReadonlyMap<string, string>;

/** What the published CDM says of its source; undefined where there is no file yet. Empty where it was made by hand from files. */
export async function readPublishedState(
  file: string,
  { bounds, signal }: { readonly bounds: SessionBounds; readonly signal: AbortSignal },
): Promise<SourceState | undefined> {
  if ((await sizeOf(file)) === undefined) return undefined;
  const cdm = await openPublished(file, { bounds, signal });
  try {
    const [found] = await cdm.rows(
      `SELECT count(*) FILTER (table_name = 'source_state'), count(*) FILTER (table_name = 'resource')
       FROM duckdb_tables() WHERE database_name = 'cdm' AND schema_name = 'etl'`,
    );
    const [states, resources] = found ?? [];
    if (resources === '0') {
      throw new AppError('conflict', 'records.cdm: holds a CDM that was not made here; name a file of its own.');
    }
    if (states === '0') return new Map();
    return new Map((await cdm.rows(sourceStateSql())).map(([name, value]) => [name ?? '', value ?? '']));
  } finally {
    await cdm.close();
  }
}

export function openPublished(
  file: string,
  { bounds, signal }: { readonly bounds: SessionBounds; readonly signal: AbortSignal },
): Promise<Cdm> {
  return openCdm({ where: file, schema: undefined, bounds, signal, onProgress: () => undefined });
}

/** Path of a part that holds what `file` holds, or nothing where there is no file. Throws `storage.full`. */
export async function beginPart(file: string): Promise<string> {
  const part = `${file}.part`;
  await discardPart(file);
  const sizeBytes = await sizeOf(file);
  if (sizeBytes === undefined) return part;
  await assertFreeBytes(path.dirname(file), sizeBytes);
  try {
    await copyFile(file, part, constants.COPYFILE_FICLONE); // no bytes move where the file system can share them
  } catch (caught) {
    throw fromDiskError(caught);
  }
  return part;
}

/** Puts the part, which nobody has open any more, in the place of the file. */
export async function publishPart(file: string): Promise<void> {
  const part = `${file}.part`;
  if ((await sizeOf(`${part}.wal`)) !== undefined) {
    throw new AppError('internal', 'The CDM was not written into its file whole.');
  }
  const handle = await open(part, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(part, file);
  await syncFolder(path.dirname(file));
  faultPoint('cdm.pass.published');
}

export async function discardPart(file: string): Promise<void> {
  for (const left of [`${file}.part`, `${file}.part.wal`]) await rm(left, { force: true });
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size;
  } catch (caught) {
    if (caught instanceof Error && 'code' in caught && caught.code === 'ENOENT') return undefined;
    throw caught;
  }
}
