export { replaceTexts } from './fhir/bundle-references.ts';
export { instantRange, type TimeRange } from './fhir/dates.ts';
export {
  isResourceType,
  patientCompartment,
  resourceTypes,
  type SearchKind,
  type SearchParameter,
  type SearchSource,
  searchParametersOf,
} from './fhir/definitions.ts';
export {
  isJsonObject,
  type JsonLimits,
  type JsonObject,
  type JsonValue,
  parseJson,
  writeJson,
} from './fhir/json.ts';
export { type Issue, type IssueCode, operationOutcome } from './fhir/operation-outcome.ts';
export {
  foldText,
  placeOf,
  referenceTarget,
  type SearchValues,
  searchValuesOf,
  UCUM,
} from './fhir/search-values.ts';
export { canonicalQuantity } from './fhir/units.ts';
export { validateResource } from './fhir/validator.ts';
export { Hl7Error, type Hl7ErrorCode } from './hl7-error.ts';
