/** Bodies to resources: parsed within limits, of the type that is expected, valid, with an id that fits. */
import {
  Hl7Error,
  type Issue,
  isJsonObject,
  isResourceType,
  type JsonLimits,
  type JsonObject,
  parseJson,
  validateResource,
} from '@lantern/hl7';
import { FhirFault } from './fhir-fault.ts';

const ID = /^[A-Za-z0-9\-.]{1,64}$/;

export function parseResource(text: string, limits: JsonLimits): JsonObject {
  try {
    const resource = parseJson(text, limits);
    if (isJsonObject(resource)) return resource;
  } catch (caught) {
    if (!(caught instanceof Hl7Error)) throw caught;
    throw caught.code === 'limit'
      ? new FhirFault(413, 'too-costly', caught.message)
      : new FhirFault(400, 'structure', caught.message);
  }
  throw new FhirFault(400, 'structure', 'A resource is a JSON object.');
}

/** Throws 422 with every issue that refuses it. `at`: where the resource stands, as FHIRPath. */
export function checkResource(resource: JsonObject, at?: string): void {
  const errors = validateResource(resource).filter(({ severity }) => severity === 'error');
  if (errors.length > 0)
    throw FhirFault.ofIssues(422, at === undefined ? errors : errors.map((issue) => moved(issue, at)));
}

/** `Patient.name` of an entry becomes `Bundle.entry[3].resource.name`. */
function moved(issue: Issue, at: string): Issue {
  const rest = (issue.expression ?? '').replace(/^[A-Za-z]+/, '');
  return { ...issue, expression: `${at}${rest}` };
}

export function checkType(type: string): string {
  if (isResourceType(type)) return type;
  throw new FhirFault(404, 'not-supported', 'FHIR R4 has no such type of resource.');
}

export function checkId(id: string): string {
  if (ID.test(id)) return id;
  throw new FhirFault(400, 'value', 'An id has 1 to 64 letters, digits, "-" or ".".', 'Resource.id');
}
