/** What changed in the index of images of this site since the last pass, as the ETL reads it. */
import { hash } from 'node:crypto';
import type { ReadOnlyConnection } from '@lantern/service';
import { changedStudies } from '../archive/changed-studies.ts';
import { ARCHIVED_STUDY } from '../omop-etl/archived-study.ts';
import type { SourceResource } from '../omop-etl/etl.ts';
import type { PassSettings } from './pass-settings.ts';

type Authorities = PassSettings['patientNumbers'];

export async function* imageSource(
  connection: ReadOnlyConnection,
  { after, authorities }: { readonly after: string; readonly authorities: Authorities },
): AsyncGenerator<SourceResource> {
  for await (const { issuerOfPatientId, ...study } of changedStudies(connection, after)) {
    const patientId = study.patientId.trim();
    const system = authorities.find(({ issuer = '' }) => issuer === issuerOfPatientId.trim())?.system;
    const content = { ...study, patientId, ...(system === undefined ? {} : { patientIdSystem: system }) };
    const contentHash = hash('sha256', JSON.stringify(content), 'base64');
    yield { resourceType: ARCHIVED_STUDY, id: study.studyInstanceUid, contentHash, content };
  }
}
