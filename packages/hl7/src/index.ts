/** HL7: version 2 and MLLP, and FHIR R4. */
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
export { compileView, type View, type ViewRow } from './sql-on-fhir/view.ts';
export {
  type Acknowledgement,
  type AcknowledgementCode,
  encodeAcknowledgement,
  salvageHeader,
  type Verdict,
  wantedCodes,
} from './v2/acknowledgement.ts';
export { type Header, readHeader } from './v2/header.ts';
export type { Bundle } from './v2/mapping/bundle.ts';
export { type MappedMessage, type MappingOptions, mapMessage } from './v2/mapping/message-mapping.ts';
export type { RecordChange } from './v2/mapping/record-change.ts';
export { mergedRecord } from './v2/mapping/record-merge.ts';
export {
  firstSegment,
  type Message,
  parseMessage,
  type Segment,
  textAt,
} from './v2/message.ts';
export { splitMessages } from './v2/message-file.ts';
export { createMllpSender, type MllpSender } from './v2/mllp-client.ts';
export { encodeFrame, type FramingRule } from './v2/mllp-frames.ts';
export { type MllpPeer, type MllpServer, startMllpServer } from './v2/mllp-server.ts';
