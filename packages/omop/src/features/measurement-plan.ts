/** Columns made of measurements: values in the window, in one unit and in range, and one of them or a number made of them. */
import type { MeasurementFeature } from '@lantern/contract';
import type { PlanSteps } from '../cohort/plan-steps.ts';
import {
  column,
  type Expression,
  equal,
  integer,
  max,
  min,
  type Order,
  rowNumber,
  type Select,
} from '../cohort/sql-tree.ts';
import { INDEX, inWindow, outside, within } from './row-values.ts';
import { conversionsFor, type UnitConversion, type UnitConversions } from './unit-conversion.ts';

type Asked = {
  readonly feature: MeasurementFeature;
  readonly conceptSet: number;
  readonly conversions: UnitConversions;
};

const ROW = 'm';
const UNIT = 'u';
const VALUE = 'v';
const NOTHING: Expression = { kind: 'null', type: 'double precision' };

/** Adds the steps of a column; returns the last: person_id, value, unit_left_out, range_left_out. */
export function addMeasurement(steps: PlanSteps, index: string, asked: Asked): string {
  const { feature } = asked;
  const found = steps.add('measurement_values', measuredValues(index, asked));
  const usable = steps.add('measurement_usable', usableValues(found, feature));
  const own = (name: string) => column(VALUE, name);
  return steps.add('measurement_rows', {
    columns: {
      person_id: own('person_id'),
      value: aggregated(feature.aggregation),
      unit_left_out: { kind: 'aggregate', name: 'sum', of: own('unit_left_out') },
      range_left_out: { kind: 'aggregate', name: 'sum', of: own('range_left_out') },
    },
    from: { step: usable, as: VALUE },
    groupBy: [own('person_id')],
  });
}

/** person_id, event_id, day, measured, converted; `converted` is nothing where the unit is not known. */
function measuredValues(index: string, { feature, conceptSet, conversions }: Asked): Select {
  const own = (name: string) => column(ROW, name);
  const measured: Expression = { kind: 'to-double', of: own('value_as_number') };
  return {
    columns: {
      person_id: column(INDEX, 'person_id'),
      event_id: own('measurement_id'),
      day: own('measurement_date'),
      measured,
      converted: converted(measured, feature, conversionsFor(feature, conversions)),
    },
    from: { table: 'measurement', as: ROW },
    joins: [
      {
        kind: 'inner',
        source: { step: index, as: INDEX },
        on: [equal(column(INDEX, 'person_id'), own('person_id')), ...inWindow(own('measurement_date'), feature.window)],
      },
      {
        kind: 'left',
        source: { table: 'concept', as: UNIT },
        on: [
          equal(column(UNIT, 'concept_id'), own('unit_concept_id')),
          equal(column(UNIT, 'vocabulary_id'), { kind: 'text', value: 'UCUM' }),
        ],
      },
    ],
    where: [{ kind: 'in-concept-set', value: own('measurement_concept_id'), conceptSets: [conceptSet] }],
  };
}

/** One case for each unit. No unit at all is concept 0, or nothing. */
function converted(measured: Expression, feature: MeasurementFeature, conversions: UnitConversions): Expression {
  const code = column(UNIT, 'concept_code');
  const noUnit = equal({ kind: 'coalesce', of: [column(ROW, 'unit_concept_id'), integer(0)] }, integer(0));
  const otherwise: Expression =
    feature.withoutUnit === 'as-declared'
      ? { kind: 'case', when: noUnit, value: measured, otherwise: NOTHING }
      : NOTHING;
  return conversions.toReversed().reduce<Expression>(
    (rest, one) => ({
      kind: 'case',
      when: equal(code, { kind: 'text', value: one.unit }),
      value: convertedBy(measured, one),
      otherwise: rest,
    }),
    otherwise,
  );
}

function convertedBy(measured: Expression, { factor, offset }: UnitConversion): Expression {
  const number = (value: number): Expression => ({ kind: 'number', value });
  const scaled: Expression = factor === 1 ? measured : { kind: 'times', left: measured, right: number(factor) };
  return offset === 0 ? scaled : { kind: 'plus', left: scaled, right: number(offset) };
}

/** person_id, event_id, day, value, unit_left_out, range_left_out, ordinal: values that count come first, in the order asked for. */
function usableValues(found: string, { range, aggregation }: MeasurementFeature): Select {
  const own = (name: string) => column(VALUE, name);
  const value = within(own('converted'), range);
  const isDescending = aggregation === 'last';
  const one = (when: Expression): Expression => ({ kind: 'case', when, value: integer(1), otherwise: integer(0) });
  const isNothing = (of: Expression): Expression => ({ kind: 'is-null', of });
  const lacksUnit: Expression = {
    kind: 'all',
    of: [{ kind: 'not', of: isNothing(own('measured')) }, isNothing(own('converted'))],
  };
  return {
    columns: {
      person_id: own('person_id'),
      event_id: own('event_id'),
      day: own('day'),
      value,
      unit_left_out: one(lacksUnit),
      range_left_out: one(outside(own('converted'), range)),
      ordinal: rowNumber(own('person_id'), [
        { by: one(isNothing(value)) },
        { by: own('day'), isDescending },
        { by: own('event_id'), isDescending },
      ]),
    },
    from: { step: found, as: VALUE },
  };
}

function aggregated(aggregation: MeasurementFeature['aggregation']): Expression {
  const value = column(VALUE, 'value');
  switch (aggregation) {
    case 'first':
    case 'last':
      return max({
        kind: 'case',
        when: equal(column(VALUE, 'ordinal'), integer(1)),
        value,
        otherwise: NOTHING,
      });
    case 'min':
      return min(value);
    case 'max':
      return max(value);
    case 'count':
      return { kind: 'aggregate', name: 'count', of: column(VALUE, 'event_id') };
    case 'mean': {
      const orderBy: Order[] = [{ by: column(VALUE, 'day') }, { by: column(VALUE, 'event_id') }];
      return {
        kind: 'divide',
        left: { kind: 'aggregate', name: 'sum', of: value, orderBy },
        right: { kind: 'aggregate', name: 'count', of: value },
      };
    }
  }
}
