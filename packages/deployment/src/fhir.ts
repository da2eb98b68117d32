/**
 * The elements of FHIR R4 (4.0.1) that the bedside reads, and no more: Patient, Observation and the searchset Bundle that
 * brings them. An element we read and that has another type than R4's makes the whole request unreadable; elements we do not
 * read may be anything.
 */
import { type Static, Type } from 'typebox';

const OBSERVATION_COUNT_MAX = 5000; // years of results for a few codes; bounds the work of one request
const TEXT_LENGTH_MAX = 1024;
const CODING_COUNT_MAX = 50;
const COMPONENT_COUNT_MAX = 100;

const text = Type.String({ maxLength: TEXT_LENGTH_MAX });

const FhirCodingSchema = Type.Object({
  system: Type.Optional(text),
  code: Type.Optional(text),
});

const CodeableConceptSchema = Type.Object({
  coding: Type.Optional(Type.Array(FhirCodingSchema, { maxItems: CODING_COUNT_MAX })),
});
export type CodeableConcept = Static<typeof CodeableConceptSchema>;

/** `code` with `system` is the machine's unit (UCUM); `unit` is for people and decides nothing. */
const QuantitySchema = Type.Object({
  value: Type.Optional(Type.Number()),
  comparator: Type.Optional(text),
  unit: Type.Optional(text),
  system: Type.Optional(text),
  code: Type.Optional(text),
});
export type Quantity = Static<typeof QuantitySchema>;

const value = {
  valueQuantity: Type.Optional(QuantitySchema),
  valueCodeableConcept: Type.Optional(CodeableConceptSchema),
  dataAbsentReason: Type.Optional(CodeableConceptSchema),
};

/** Content that changes the meaning of what it stands in; who does not understand it must not use that (FHIR R4 2.4.0.1). */
const modifiers = { modifierExtension: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 20 })) };
const resource = { implicitRules: Type.Optional(text), ...modifiers };

export const ObservationSchema = Type.Object({
  resourceType: Type.Literal('Observation'),
  ...resource,
  status: text,
  code: CodeableConceptSchema,
  subject: Type.Optional(Type.Object({ reference: Type.Optional(text) })),
  effectiveDateTime: Type.Optional(text),
  effectiveInstant: Type.Optional(text),
  effectivePeriod: Type.Optional(Type.Object({ start: Type.Optional(text), end: Type.Optional(text) })),
  ...value,
  component: Type.Optional(
    Type.Array(Type.Object({ code: CodeableConceptSchema, ...value, ...modifiers }), { maxItems: COMPONENT_COUNT_MAX }),
  ),
});
export type Observation = Static<typeof ObservationSchema>;
/** What carries a value: an Observation itself or one of its components. */
export type Measured = Pick<
  Observation,
  'code' | 'valueQuantity' | 'valueCodeableConcept' | 'dataAbsentReason' | 'modifierExtension'
>;

export const PatientSchema = Type.Object({
  resourceType: Type.Literal('Patient'),
  ...resource,
  deceasedBoolean: Type.Optional(Type.Boolean()),
  deceasedDateTime: Type.Optional(text),
  id: Type.Optional(text),
  birthDate: Type.Optional(text),
  gender: Type.Optional(text),
});
export type Patient = Static<typeof PatientSchema>;

export const SearchsetSchema = Type.Object({
  resourceType: Type.Literal('Bundle'),
  type: Type.Literal('searchset'),
  total: Type.Optional(Type.Integer({ minimum: 0 })),
  link: Type.Optional(Type.Array(Type.Object({ relation: text }), { maxItems: 20 })),
  entry: Type.Optional(
    Type.Array(Type.Object({ resource: Type.Optional(Type.Object({ resourceType: text })) }), {
      maxItems: OBSERVATION_COUNT_MAX,
    }),
  ),
});

/** What a record system sends where it could not read (CDS Hooks 2.0, prefetch), or beside what it found (R4 3.1.1.2). */
export const OperationOutcomeSchema = Type.Object({
  resourceType: Type.Literal('OperationOutcome'),
  issue: Type.Optional(Type.Array(Type.Object({ severity: Type.Optional(text) }), { maxItems: 100 })),
});

/** Whether a resource is of this type, before anything else of it is looked at. */
export function isResource(value: unknown, resourceType: string): boolean {
  return typeof value === 'object' && value !== null && 'resourceType' in value && value.resourceType === resourceType;
}

/** Whether a resource or component says that it means something else than it seems to. */
export function isModified(part: {
  readonly implicitRules?: string;
  readonly modifierExtension?: readonly unknown[];
}): boolean {
  return part.implicitRules !== undefined || (part.modifierExtension ?? []).length > 0;
}
