/** What changed in the records of this site since the last pass, as the ETL reads it. */
import { AppError } from '@lantern/contract';
import type { ReadOnlyConnection } from '@lantern/service';
import { changedResources } from '../fhir/changed-resources.ts';
import type { SourceResource } from '../omop-etl/etl.ts';
import { isJson, type Json } from '../omop-etl/fhir-json.ts';

export async function* recordSource(connection: ReadOnlyConnection, after: string): AsyncGenerator<SourceResource> {
  for await (const { type, id, versionName, text } of changedResources(connection, after)) {
    yield { resourceType: type, id, contentHash: versionName, content: text === undefined ? undefined : jsonOf(text) };
  }
}

function jsonOf(text: string): Json {
  const value: unknown = JSON.parse(text);
  if (!isJson(value)) throw new AppError('storage.corrupt', 'A resource of the FHIR store is no JSON object.');
  return value;
}
