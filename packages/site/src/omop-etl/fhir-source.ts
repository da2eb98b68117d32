/** One resource of FHIR R4, whatever its type, to staged rows. A type that has no place in the CDM is said to be unmapped. */
import { ARCHIVED_STUDY, readArchivedStudy } from './archived-study.ts';
import { EVENT_RESOURCE_TYPES, readEncounter, readEvent, readImagingStudy, readMedication } from './fhir-events.ts';
import type { Json } from './fhir-json.ts';
import { readPatient, readPlace, readPractitioner } from './fhir-people.ts';
import type { ResourceStage, StagedResource, StagedRowOf } from './staged-resource.ts';

type Reader = (resource: Json, stage: ResourceStage) => void;

const READERS: Readonly<Record<string, Reader>> = {
  Patient: readPatient,
  Practitioner: readPractitioner,
  Organization: readPlace,
  Location: readPlace,
  Encounter: readEncounter,
  ImagingStudy: readImagingStudy,
  Medication: readMedication,
  [ARCHIVED_STUDY]: readArchivedStudy,
  ...Object.fromEntries(
    EVENT_RESOURCE_TYPES.map((type): [string, Reader] => [type, (resource, stage) => readEvent(type, resource, stage)]),
  ),
};

/** `resourceKey` is "Observation/17"; references in `resource` are of that form as well. `read` goes before the reader of its type. */
export function stageResource(
  resourceType: string,
  resourceKey: string,
  resource: Json,
  read?: (stage: ResourceStage) => void,
): StagedResource {
  const rows: StagedRowOf[] = [];
  const findings: StagedRowOf[] = [];
  let isRefused = false;
  let personKey: string | undefined;
  const find = (severity: string, rule: string, code?: string) => {
    findings.push({ table: 'reading_finding', row: { resource_key: resourceKey, severity, rule, code } });
  };
  const stage: ResourceStage = {
    resourceKey,
    add: (table, row) => rows.push({ table, row: { ...row, resource_key: resourceKey } } as StagedRowOf),
    warn: (rule) => find('warning', rule),
    refuse(rule, code) {
      isRefused = true;
      find('refused', rule, code);
    },
    leaveOut: (rule, code) => find('unmapped', rule, code),
    belongsTo: (key) => {
      personKey = key;
    },
  };
  const reader = READERS[resourceType];
  if (read !== undefined) {
    read(stage);
  } else if (reader === undefined) {
    stage.leaveOut('resource-type', resourceType);
  } else {
    reader(resource, stage);
  }
  return { resourceKey, personKey, rows: isRefused ? findings : [...rows, ...findings] };
}
