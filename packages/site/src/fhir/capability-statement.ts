/** What this server can do, said from the tables that it works by. */
import { resourceTypes, searchParametersOf } from '@lantern/hl7';

const INTERACTIONS = ['read', 'vread', 'update', 'delete', 'history-instance', 'history-type', 'create', 'search-type'];

export function capabilityStatement({
  base,
  now,
  version,
}: {
  readonly base: string;
  readonly now: Date;
  readonly version: string;
}) {
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: now.toISOString(),
    kind: 'instance',
    software: { name: 'Lantern', version },
    implementation: { description: 'Records of this site', url: base },
    fhirVersion: '4.0.1',
    format: ['application/fhir+json', 'json'],
    rest: [
      {
        mode: 'server',
        security: {
          service: [
            {
              coding: [
                { system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' },
              ],
            },
          ],
          extension: [
            {
              url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris',
              extension: [{ url: 'token', valueUri: `${base}/auth/token` }],
            },
          ],
        },
        resource: resourceTypes().map(resourceCapability),
        interaction: [{ code: 'transaction' }, { code: 'batch' }],
        operation: [{ name: 'export', definition: 'http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export' }],
      },
    ],
  };
}

function resourceCapability(type: string) {
  const supported = Object.entries(searchParametersOf(type)).filter(([, { sources }]) => sources !== undefined);
  const references = supported
    .filter(([, parameter]) => parameter.type === 'reference')
    .map(([code]) => `${type}:${code}`);
  return {
    type,
    interaction: INTERACTIONS.map((code) => ({ code })),
    versioning: 'versioned-update',
    readHistory: true,
    updateCreate: true,
    conditionalCreate: true,
    conditionalRead: 'not-match',
    conditionalUpdate: true,
    conditionalDelete: 'single',
    ...(references.length === 0 ? {} : { searchInclude: references }),
    searchParam: [
      { name: '_id', type: 'token' },
      { name: '_lastUpdated', type: 'date' },
      ...supported.map(([name, parameter]) => ({ name, type: parameter.type })),
    ],
    operation: operationsOf(type),
  };
}

function operationsOf(type: string) {
  const validate = { name: 'validate', definition: 'http://hl7.org/fhir/OperationDefinition/Resource-validate' };
  if (type !== 'Patient') return [validate];
  return [
    validate,
    { name: 'everything', definition: 'http://hl7.org/fhir/OperationDefinition/Patient-everything' },
    { name: 'export', definition: 'http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export' },
  ];
}
