/**
 * From what the record system sent (FHIR R4: the Patient, and a searchset of Observations) to the values of the model's
 * columns, or to the list of everything that is missing or cannot be right. All inputs or none: a model is never run on part
 * of what it was trained on.
 *
 * The first question is whose data this is. Patient and every Observation must be of the patient in the request's context;
 * one that is not ends the mapping, and nothing else is looked at.
 */
import {
  AppError,
  type CategoryColumn,
  type DatasetSchema,
  type InputSource,
  type NumberColumn,
  parse,
} from '@lantern/contract';
import {
  isModified,
  isResource,
  type Observation,
  ObservationSchema,
  OperationOutcomeSchema,
  type Patient,
  PatientSchema,
  SearchsetSchema,
} from './fhir.ts';
import { completedYears, parseDate } from './fhir-time.ts';
import type { InputFinding, InputValue } from './input-finding.ts';
import { meaningOf, observationValue } from './observation-value.ts';
import { namesPatient, type PatientContext } from './patient-reference.ts';
import { PREFETCH_KEYS } from './prefetch.ts';

export type MappedInput =
  | { readonly kind: 'complete'; readonly values: readonly InputValue[] }
  | { readonly kind: 'incomplete'; readonly findings: readonly InputFinding[] };

export type MappingRequest = PatientContext & {
  readonly prefetch: Readonly<Record<string, unknown>> | undefined;
  readonly inputs: readonly InputSource[];
  readonly schema: DatasetSchema;
  readonly now: Date;
};

/**
 * Maps one request. Throws `input.prefetch-missing` when a template of the discovery was not satisfied at all, and
 * `input.invalid` when what came is not FHIR R4; neither quotes a value. Where the record system says that it could not read,
 * that is a finding.
 */
export function mapInputs(request: MappingRequest): MappedInput {
  const patient = readPatient(prefetched(request, PREFETCH_KEYS.patient));
  const needsObservations = request.inputs.some((input) => 'codings' in input);
  const searched: Read<Searched> = needsObservations
    ? readObservations(prefetched(request, PREFETCH_KEYS.observations))
    : { kind: 'read', value: NOTHING_SEARCHED };
  if (patient.kind !== 'read' || searched.kind !== 'read') {
    return { kind: 'incomplete', findings: [patient, searched].filter((read) => read.kind !== 'read') };
  }
  const whole = wholeFindings(request, patient.value, searched.value);
  if (whole.length > 0) return { kind: 'incomplete', findings: whole };
  const context = { ...request, patient: patient.value, observations: searched.value.observations };
  const results = request.inputs.map((input) => mapInput(input, context));
  const findings = results.filter((result) => result.kind !== 'value');
  if (findings.length > 0) return { kind: 'incomplete', findings };
  return { kind: 'complete', values: results.filter((result) => result.kind === 'value') };
}

/** The value under a key; a key that is not there at all was not satisfied (CDS Hooks 2.0: null means "no data"). */
function prefetched({ prefetch }: MappingRequest, key: string): unknown {
  if (prefetch !== undefined && Object.hasOwn(prefetch, key)) return prefetch[key];
  throw new AppError('input.prefetch-missing', `The request has no prefetch "${key}".`, { field: `/prefetch/${key}` });
}

type Read<T> = { readonly kind: 'read'; readonly value: T } | InputFinding;
type Searched = { readonly observations: readonly Observation[]; readonly complete: boolean };
const NOTHING_SEARCHED: Searched = { observations: [], complete: true };

function readPatient(resource: unknown): Read<Patient> {
  if (resource === null) return { kind: 'missing', label: 'Patient', reason: 'the record sent no patient' };
  if (isResource(resource, 'OperationOutcome')) return unread('Patient');
  const at = `/prefetch/${PREFETCH_KEYS.patient}`;
  return { kind: 'read', value: parse(PatientSchema, resource, { what: 'request', at }) };
}

function readObservations(resource: unknown): Read<Searched> {
  if (resource === null) return { kind: 'read', value: NOTHING_SEARCHED };
  if (isResource(resource, 'OperationOutcome')) return unread('Observations');
  const at = `/prefetch/${PREFETCH_KEYS.observations}`;
  const { entry = [], link = [], total } = parse(SearchsetSchema, resource, { what: 'request', at });
  const observations = entry.flatMap(({ resource: one }, index) =>
    one?.resourceType === 'Observation'
      ? [parse(ObservationSchema, one, { what: 'request', at: `${at}/entry/${index}/resource` })]
      : [],
  );
  if (entry.some(({ resource: one }) => isOutcomeOfLess(one))) return unread('Observations');
  const more = link.some(({ relation }) => relation === 'next') || (total ?? 0) > observations.length;
  return { kind: 'read', value: { observations, complete: !more } };
}

function unread(label: string): InputFinding {
  return { kind: 'missing', label, reason: 'the record system says that it could not read all of it' };
}

/** Beside the results: whatever is not mere information may mean that there are results which were not sent. */
function isOutcomeOfLess(resource: unknown): boolean {
  if (!isResource(resource, 'OperationOutcome')) return false;
  const { issue = [] } = parse(OperationOutcomeSchema, resource, { what: 'request', at: '/prefetch/observations' });
  return issue.length === 0 || issue.some(({ severity }) => severity !== 'information');
}

/** Findings about the request as a whole; with one of these, no input is looked at. */
function wholeFindings(
  context: PatientContext,
  patient: Patient,
  { observations, complete }: Searched,
): InputFinding[] {
  if (patient.id !== context.patientId) {
    const reason = 'the record sent another patient than the one in the context of the request';
    return [{ kind: 'impossible', label: 'Patient', reason }];
  }
  if (isModified(patient)) {
    const reason = 'the resource carries a modifier that is not understood here';
    return [{ kind: 'impossible', label: 'Patient', reason }];
  }
  if (patient.deceasedBoolean === true || patient.deceasedDateTime !== undefined) {
    return [{ kind: 'impossible', label: 'Patient', reason: 'the record says that the patient has died' }];
  }
  if (!observations.every(({ subject }) => namesPatient(subject?.reference, context))) {
    return [
      { kind: 'impossible', label: 'Observations', reason: 'at least one is not, or not surely, of this patient' },
    ];
  }
  if (complete) return [];
  return [{ kind: 'missing', label: 'Observations', reason: 'the record sent only the first page of the results' }];
}

type MappingContext = MappingRequest & { readonly patient: Patient; readonly observations: readonly Observation[] };

function mapInput(source: InputSource, context: MappingContext): InputValue | InputFinding {
  const column = columnOf(context.schema, source.column);
  const label = labelOf(source, column);
  switch (source.kind) {
    case 'patient-age':
      return ageValue(context, column, label);
    case 'patient-gender':
      return genderValue(context, { source, column, label });
    default:
      return observationValue(context.observations, { source, column, label, now: context.now });
  }
}

function columnOf(schema: DatasetSchema, name: string): NumberColumn | CategoryColumn {
  const column = schema.columns.find((each) => each.name === name);
  if (column === undefined || column.kind === 'patient-key' || column.kind === 'image') {
    throw new AppError('internal', `Input ${name} names no column of the dataset that can be an input.`);
  }
  return column;
}

/** The code's display where there is one, else the description of the column. */
function labelOf(source: InputSource, column: NumberColumn | CategoryColumn): string {
  switch (source.kind) {
    case 'patient-age':
      return 'Age';
    case 'patient-gender':
      return 'Sex';
    default:
      return column.coding?.display ?? source.codings[0]?.display ?? column.description;
  }
}

function ageValue(
  { patient, now }: MappingContext,
  column: NumberColumn | CategoryColumn,
  label: string,
): InputValue | InputFinding {
  const finding = (kind: InputFinding['kind'], reason: string): InputFinding => {
    return { kind, column: column.name, label, reason };
  };
  if (patient.birthDate === undefined) return finding('missing', 'the patient has no birth date');
  const born = parseDate(patient.birthDate);
  if (born === undefined)
    return finding('missing', 'the birth date is not a full date, so the age is not known exactly');
  const years = completedYears(born, now);
  if (years < 0) return finding('impossible', 'the birth date is in the future');
  if (column.kind !== 'number') return finding('impossible', 'the model expects a category here, not a number');
  const { min, max } = column.range;
  if (years < min || years > max) return finding('impossible', `${years} years is outside ${min} to ${max}`);
  return { kind: 'value', column: column.name, value: years, label, shown: `${years} years` };
}

function genderValue(
  { patient }: MappingContext,
  input: {
    source: Extract<InputSource, { kind: 'patient-gender' }>;
    column: NumberColumn | CategoryColumn;
    label: string;
  },
): InputValue | InputFinding {
  const { source, column, label } = input;
  const { gender } = patient;
  if (gender === 'female' || gender === 'male') {
    const value = source.categories[gender];
    return { kind: 'value', column: column.name, value, label, shown: meaningOf(column, value) };
  }
  const known = gender !== undefined && gender !== 'unknown';
  const reason = known ? 'the model was trained on female and male patients only' : 'not known in the record';
  return { kind: known ? 'impossible' : 'missing', column: column.name, label, reason };
}
