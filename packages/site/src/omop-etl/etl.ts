/**
 * Records to the CDM: resources are read into the staged tables, compared with what is there, and the rows of every patient
 * concerned are made anew, all in one transaction. Running it twice over the same input changes nothing.
 */
import { AppError, type RowAccount } from '@lantern/contract';
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
import type { ResourceStage } from './staged-resource.ts';

/** A resource as its source has it now. `contentHash` changes whenever the content does; a deleted one has no content. */
export type SourceResource = {
  readonly resourceType: string;
  readonly id: string;
  readonly contentHash: string;
  readonly content: Json | undefined;
  /** In the place of the reader of its type, for a source that has understood its content already. */
  readonly read?: (stage: ResourceStage) => void;
};

export type EtlResult = {
  /** Resources read, and how many of them were a repetition of one already read in this pass. */
  readonly readCount: number;
  readonly repeatedCount: number;
  readonly changedCount: number;
  readonly patientCount: number;
};

export type EtlOptions = {
  /** Makes every patient anew, as after a change of the vocabulary. */
  readonly isRebuild?: boolean;
  /** `source` gives all there is: what was kept of it and does not come is gone. */
  readonly isWhole?: boolean;
  /** Last in the transaction. */
  readonly beforeCommit?: (session: CdmSession) => Promise<void>;
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
    for (const step of etlSteps({ isRebuild: options.isRebuild === true, isWhole: options.isWhole === true })) {
      options.onStep?.(step.name);
      for (const statement of step.statements) {
        options.signal?.throwIfAborted();
        await session.run(statement);
      }
      if (step.name === 'compare') counts = await compared(session);
    }
    await options.beforeCommit?.(session);
    return { ...read, ...counts };
  });
}

export async function readAccount(database: CdmDatabase, findingCountMax: number): Promise<RowAccount> {
  return database.transaction((session) =>
    accountOf(async (sql) => (await session.rows(sql)).map((row) => Object.values(row)), findingCountMax),
  );
}

/** `rows` asks a CDM that was made here. */
export async function accountOf(
  rows: (sql: string) => Promise<readonly (readonly (string | null)[])[]>,
  findingCountMax: number,
): Promise<RowAccount> {
  return {
    byType: (await rows(accountByTypeSql())).map(([resourceType, outcome, count]) => ({
      resourceType: resourceType ?? '',
      outcome: outcome ?? '',
      count: count ?? '0',
    })),
    findings: (await rows(accountFindingsSql(findingCountMax))).map(
      ([resourceType, severity, rule, system, code, count]) => ({
        resourceType: resourceType ?? '',
        severity: severity ?? '',
        rule: rule ?? '',
        system: system ?? null,
        code: code ?? null,
        count: count ?? '0',
      }),
    ),
  };
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
  for await (const { resourceType, id, contentHash, content, read } of source) {
    signal?.throwIfAborted();
    readCount += 1;
    const resourceKey = `${resourceType}/${id}`;
    if (seen.has(resourceKey)) repeatedCount += 1;
    if (seen.get(resourceKey) === contentHash) continue;
    seen.set(resourceKey, contentHash);
    const staged = content === undefined ? undefined : stageResource(resourceType, resourceKey, content, read);
    for (const { table, row } of staged?.rows ?? []) await writer.append(table, row, BigInt(readCount));
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
