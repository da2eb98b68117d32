/**
 * Records to the CDM: resources are read into the staged tables, compared with what is there, and the rows of every patient
 * concerned are made anew, all in one transaction. Running it twice over the same input changes nothing.
 */
import { AppError } from '@lantern/contract';
import {
  accountByTypeSql,
  accountFindingsSql,
  etlSteps,
  INCOMING_RESOURCE,
  incoming,
  incomingStatements,
} from '@lantern/omop';
import { type CdmDatabase, type CdmSession, stagedWriter } from './cdm-database.ts';
import type { Json } from './fhir-json.ts';
import { stageResource } from './fhir-source.ts';

/** A resource as its source has it now. `contentHash` changes whenever the content does; a deleted one has no content. */
export type SourceResource = {
  readonly resourceType: string;
  readonly id: string;
  readonly contentHash: string;
  readonly content: Json | undefined;
};

export type EtlResult = {
  /** Resources read, and how many of them were a repetition of one already read in this pass. */
  readonly readCount: number;
  readonly repeatedCount: number;
  readonly changedCount: number;
  readonly patientCount: number;
};

export type EtlOptions = {
  readonly isRebuild?: boolean;
  readonly signal?: AbortSignal;
  /** Told the name of each step that begins. */
  readonly onStep?: (step: string) => void;
};

export async function runEtl(
  database: CdmDatabase,
  source: AsyncIterable<SourceResource>,
  options: EtlOptions = {},
): Promise<EtlResult> {
  return database.transaction(async (session) => {
    await refuseForeign(session);
    for (const statement of incomingStatements()) await session.run(statement);
    options.onStep?.('read');
    const read = await readAll(session, source, options.signal);
    let counts = { changedCount: 0, patientCount: 0 };
    for (const step of etlSteps(options.isRebuild === true)) {
      options.onStep?.(step.name);
      for (const statement of step.statements) {
        options.signal?.throwIfAborted();
        await session.run(statement);
      }
      if (step.name === 'compare') counts = await compared(session);
    }
    return { ...read, ...counts };
  });
}

/** What became of every resource, and what stands in the way most often. Counts are decimal texts. */
export type RowAccount = {
  readonly byType: readonly Readonly<Record<'resourceType' | 'outcome' | 'count', string>>[];
  readonly findings: readonly {
    readonly resourceType: string;
    readonly severity: string;
    readonly rule: string;
    readonly system: string | null;
    readonly code: string | null;
    readonly count: string;
  }[];
};

export async function readAccount(database: CdmDatabase, findingCountMax: number): Promise<RowAccount> {
  return database.transaction(async (session) => ({
    byType: (await session.rows(accountByTypeSql())).map((row) => ({
      resourceType: String(row['resource_type']),
      outcome: String(row['outcome']),
      count: String(row['resource_count']),
    })),
    findings: (await session.rows(accountFindingsSql(findingCountMax))).map((row) => ({
      resourceType: String(row['resource_type']),
      severity: String(row['severity']),
      rule: String(row['rule']),
      system: row['system'] ?? null,
      code: row['code'] ?? null,
      count: String(row['resource_count']),
    })),
  }));
}

/** Patients that were loaded from elsewhere have no resources behind them, and their numbers could meet ours. */
async function refuseForeign(session: CdmSession): Promise<void> {
  const [row] = await session.rows(
    'SELECT count(*) AS foreign_count FROM person WHERE person_id NOT IN (SELECT resource_number FROM etl.resource)',
  );
  if (row?.['foreign_count'] === '0') return;
  throw new AppError(
    'conflict',
    'This CDM holds patients that were not made here; records go into a CDM of their own.',
  );
}

async function readAll(session: CdmSession, source: AsyncIterable<SourceResource>, signal: AbortSignal | undefined) {
  const writer = stagedWriter(session, incoming);
  const resources = await session.appender(incoming('resource'), INCOMING_RESOURCE);
  const seen = new Map<string, string>();
  let readCount = 0;
  let repeatedCount = 0;
  for await (const { resourceType, id, contentHash, content } of source) {
    signal?.throwIfAborted();
    readCount += 1;
    const resourceKey = `${resourceType}/${id}`;
    if (seen.has(resourceKey)) repeatedCount += 1;
    if (seen.get(resourceKey) === contentHash) continue;
    seen.set(resourceKey, contentHash);
    const staged = content === undefined ? undefined : stageResource(resourceType, resourceKey, content);
    for (const { table, row } of staged?.rows ?? []) await writer.append(table, row);
    resources.append({
      position: BigInt(readCount),
      resource_key: resourceKey,
      resource_type: resourceType,
      person_key: staged?.personKey,
      content_hash: contentHash,
      is_deleted: content === undefined,
    });
  }
  resources.finish();
  writer.finish();
  return { readCount, repeatedCount };
}

async function compared(session: CdmSession): Promise<{ changedCount: number; patientCount: number }> {
  const [row] = await session.rows(
    'SELECT (SELECT count(*) FROM changed) AS changed, (SELECT count(*) FROM affected_person) AS patients',
  );
  return { changedCount: Number(row?.['changed']), patientCount: Number(row?.['patients']) };
}
