/**
 * From the observations of one patient to the value of one column: the newest usable result, or the reason why there is none.
 * Never a guess: the newest result decides, also when it cannot be used; an older one is not taken in its place. What is said
 * about a result holds numbers and dates that were parsed, never other text of the record.
 */
import type { CategoryColumn, Coding, InputSource, NumberColumn } from '@lantern/contract';
import { type CodeableConcept, isModified, type Measured, type Observation, type Quantity } from './fhir.ts';
import { parseTime, RECORD_CLOCK_AHEAD_MS_MAX, type TimeSpan } from './fhir-time.ts';
import type { InputFinding, InputValue } from './input-finding.ts';
import { LOINC, panelsOf } from './prefetch.ts';

export type ObservationSource = Extract<InputSource, { codings: unknown }>;

const USED_STATUS: ReadonlySet<string> = new Set(['final', 'amended', 'corrected']);
const WITHDRAWN_STATUS: ReadonlySet<string> = new Set(['entered-in-error', 'cancelled']);
const UCUM = 'http://unitsofmeasure.org';
const DAY_MS = 86_400_000;

type Candidate = { readonly measured: Measured; readonly span: TimeSpan; readonly dateText: string };
type Reading = { readonly value: number | string; readonly shown: string } | { readonly impossible: string };

export type ColumnContext = {
  readonly source: ObservationSource;
  readonly column: NumberColumn | CategoryColumn;
  readonly label: string;
  readonly now: Date;
};

/** The value of one column. `observations` are all of one patient already. */
export function observationValue(
  observations: readonly Observation[],
  context: ColumnContext,
): InputValue | InputFinding {
  const { source, column, label, now } = context;
  const finding = (kind: InputFinding['kind'], reason: string): InputFinding => {
    return { kind, column: column.name, label, reason };
  };
  const results = observations.flatMap((observation) => resultsIn(observation, source.codings));
  if (results.length === 0) return finding('missing', 'no result in the record');
  const final = results.filter(({ status }) => USED_STATUS.has(status));
  if (final.length === 0) return finding('missing', 'no final result in the record');
  if (final.some(({ observation, measured }) => isModified(observation) || isModified(measured))) {
    return finding('impossible', 'a result carries a modifier that is not understood here');
  }
  const dated = final.flatMap(toCandidate);
  if (dated.length < final.length) return finding('missing', 'a final result has no exact date');
  const notFinal = results.filter(({ status }) => !USED_STATUS.has(status));
  const pending = notFinal.flatMap(toCandidate);
  const newest = dated.reduce((best, candidate) => (candidate.span.latest > best.span.latest ? candidate : best));
  if (newest.span.earliest > now.getTime() + RECORD_CLOCK_AHEAD_MS_MAX) {
    return finding('impossible', `the newest result is dated in the future (${newest.dateText})`);
  }
  if (newest.span.latest < now.getTime() - source.ageMaxDays * DAY_MS) {
    return finding('missing', `the newest result is older than ${source.ageMaxDays} days (${newest.dateText})`);
  }
  // Without an exact date, or on the day of a result that is dated by the day, it may be the newest as well.
  if (pending.length < notFinal.length) return finding('missing', 'a result that is not final has no exact date');
  if (pending.some(({ span }) => span.latest > newest.span.earliest)) {
    return finding('missing', 'the newest result is not, or not surely, final');
  }
  const rivals = dated.filter((candidate) => candidate.span.latest >= newest.span.earliest);
  return combine(rivals, newest, context);
}

/** Results that may be the newest must agree: two values of one instant are not a value. */
function combine(
  rivals: readonly Candidate[],
  newest: Candidate,
  { source, column, label }: ColumnContext,
): InputValue | InputFinding {
  const finding = (kind: InputFinding['kind'], reason: string): InputFinding => {
    return { kind, column: column.name, label, reason };
  };
  if (newest.measured.dataAbsentReason !== undefined) return finding('missing', 'the record says it was not obtained');
  const readings = rivals.map(({ measured }) => readMeasured(measured, source, column));
  const newestReading = readMeasured(newest.measured, source, column);
  if (newestReading === undefined) return finding('missing', 'the result has no value');
  if ('impossible' in newestReading) return finding('impossible', newestReading.impossible);
  const { value, shown } = newestReading;
  const agree = readings.every((reading) => reading !== undefined && 'value' in reading && reading.value === value);
  if (!agree) return finding('impossible', `several results that disagree (${newest.dateText})`);
  return { kind: 'value', column: column.name, value, label, shown, measured: newest.dateText };
}

/** The parts of an Observation that carry one of these codes: itself, or a component of a known panel. */
function resultsIn(
  observation: Observation,
  codings: readonly Coding[],
): { observation: Observation; measured: Measured; status: string }[] {
  const { status } = observation;
  if (WITHDRAWN_STATUS.has(status)) return [];
  if (hasCode(observation.code, codings)) return [{ observation, measured: observation, status }];
  const inPanel = codings.filter((coding) =>
    panelsOf(coding).some((panel) => hasCode(observation.code, [{ system: LOINC, code: panel }])),
  );
  return (observation.component ?? [])
    .filter((component) => hasCode(component.code, inPanel))
    .map((component) => ({ observation, measured: component, status }));
}

function hasCode({ coding = [] }: CodeableConcept, wanted: readonly Pick<Coding, 'system' | 'code'>[]): boolean {
  return coding.some((one) => wanted.some(({ system, code }) => one.system === system && one.code === code));
}

function toCandidate({ observation, measured }: { observation: Observation; measured: Measured }): Candidate[] {
  const { effectivePeriod, effectiveDateTime, effectiveInstant } = observation;
  const dateText = effectiveDateTime ?? effectiveInstant ?? effectivePeriod?.end;
  const end = dateText === undefined ? undefined : parseTime(dateText);
  if (dateText === undefined || end === undefined) return [];
  const start = effectivePeriod?.start === undefined ? undefined : parseTime(effectivePeriod.start);
  const earliest = Math.min(end.earliest, start?.earliest ?? end.earliest);
  return [{ measured, span: { earliest, latest: end.latest }, dateText }];
}

/** `undefined`: there is no value at all. */
function readMeasured(
  measured: Measured,
  source: ObservationSource,
  column: NumberColumn | CategoryColumn,
): Reading | undefined {
  if (source.kind === 'observation-code') return readCode(measured.valueCodeableConcept, source, column);
  const quantity = readQuantity(measured.valueQuantity, source);
  if (quantity === undefined || 'impossible' in quantity) return quantity;
  if (source.kind === 'observation-quantity') return inColumnRange(quantity, column);
  const above = quantity.value > source.above;
  const limit = `${source.above} ${baseUnit(source)}`.trimEnd();
  return {
    value: above ? source.valueAbove : source.valueOtherwise,
    shown: `${quantity.shown}, ${above ? 'above' : 'not above'} ${limit}`,
  };
}

type Quantified = { readonly value: number; readonly shown: string } | { readonly impossible: string };

function readQuantity(
  quantity: Quantity | undefined,
  source: Exclude<ObservationSource, { kind: 'observation-code' }>,
): Quantified | undefined {
  const { value, comparator, system, code } = quantity ?? {};
  if (value === undefined) return undefined;
  if (comparator !== undefined) return { impossible: 'the result is only a bound ("less than" or "more than")' };
  const unit = system === UCUM ? source.units.find((each) => each.unit === code) : undefined;
  if (unit === undefined) {
    const accepted = source.units.map((each) => each.unit).join(', ');
    return { impossible: `unit not accepted: the result needs a UCUM unit (${accepted})` };
  }
  const converted = value * unit.factor;
  const shown = `${value} ${unit.unit}`;
  const { min, max } = source.range;
  if (!(converted >= min && converted <= max)) {
    return { impossible: `${shown} is outside ${min} to ${max} ${baseUnit(source)}`.trimEnd() };
  }
  return { value: converted, shown };
}

/** The unit that range and threshold are given in; empty when no unit is accepted as it is. */
function baseUnit({ units }: Exclude<ObservationSource, { kind: 'observation-code' }>): string {
  return units.find(({ factor }) => factor === 1)?.unit ?? '';
}

function inColumnRange(quantity: { value: number; shown: string }, column: NumberColumn | CategoryColumn): Reading {
  if (column.kind !== 'number') return { impossible: 'the model expects a category here, not a number' };
  const { min, max } = column.range;
  if (quantity.value >= min && quantity.value <= max) return quantity;
  return { impossible: `${quantity.shown} is outside ${min} to ${max} ${column.unit}` };
}

function readCode(
  concept: CodeableConcept | undefined,
  source: Extract<ObservationSource, { kind: 'observation-code' }>,
  column: NumberColumn | CategoryColumn,
): Reading | undefined {
  if (concept?.coding === undefined || concept.coding.length === 0) return undefined;
  const matching = source.values.filter(({ coding }) => hasCode(concept, [coding]));
  const categories = new Set(matching.map(({ category }) => category));
  const [category] = categories;
  if (category === undefined) return { impossible: 'the result is not one of the findings the model knows' };
  if (categories.size > 1) return { impossible: 'the result is coded as two different findings' };
  return { value: category, shown: meaningOf(column, category) };
}

/** A category in the words of the dataset. */
export function meaningOf(column: NumberColumn | CategoryColumn, value: string): string {
  if (column.kind !== 'category') return value;
  return column.categories.find((category) => category.value === value)?.meaning ?? value;
}
