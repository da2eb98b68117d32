/**
 * Records to the CDM: resources are read into the staged tables, compared with what is there, and the rows of every patient
 * concerned are made anew, all in one transaction. Running it twice over the same input changes nothing.
 */
import { etlSteps, INCOMING_RESOURCE, incoming, incomingStatements } from '@lantern/omop';
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
  readonly onProgress?: (progress: { readonly step: string; readonly readCount: number }) => void;
};

export async function runEtl(
  database: CdmDatabase,
  source: AsyncIterable<SourceResource>,
  options: EtlOptions = {},
): Promise<EtlResult> {
  return database.transaction(async (session) => {
    for (const statement of incomingStatements()) await session.run(statement);
    const read = await readAll(session, source, options);
    let counts = { changedCount: 0, patientCount: 0 };
    for (const step of etlSteps(options.isRebuild === true)) {
      options.onProgress?.({ step: step.name, readCount: read.readCount });
      for (const statement of step.statements) await session.run(statement);
      if (step.name === 'compare') counts = await compared(session);
    }
    return { ...read, ...counts };
  });
}

async function readAll(session: CdmSession, source: AsyncIterable<SourceResource>, options: EtlOptions) {
  const writer = stagedWriter(session, incoming);
  const resources = await session.appender(incoming('resource'), INCOMING_RESOURCE);
  const seen = new Map<string, string>();
  let readCount = 0;
  let repeatedCount = 0;
  for await (const { resourceType, id, contentHash, content } of source) {
    readCount += 1;
    if (readCount % 1000 === 0) options.onProgress?.({ step: 'read', readCount });
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
