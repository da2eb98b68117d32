/**
 * A structured condition on the rows of a dataset: the only way to ask for a subset from outside. No SQL crosses a boundary.
 * A missing value satisfies no comparison, nor its negation; only `missing` finds it.
 */
import { type Static, Type } from 'typebox';
import { ColumnNameSchema } from './dataset.ts';

export const FILTER_DEPTH_MAX = 8; // questions people ask stay below 4; bounds recursion on hostile input
export const FILTER_NODE_COUNT_MAX = 100; // bounds the SQL we print

const FilterDefinitions = {
  Filter: Type.Union([
    Type.Object(
      { kind: Type.Literal('all'), of: Type.Array(Type.Ref('Filter'), { maxItems: 50 }) },
      { additionalProperties: false },
    ),
    Type.Object(
      { kind: Type.Literal('any'), of: Type.Array(Type.Ref('Filter'), { maxItems: 50 }) },
      { additionalProperties: false },
    ),
    Type.Object({ kind: Type.Literal('not'), of: Type.Ref('Filter') }, { additionalProperties: false }),
    Type.Object(
      {
        kind: Type.Literal('compare'),
        column: ColumnNameSchema,
        operator: Type.Union([
          Type.Literal('<'),
          Type.Literal('<='),
          Type.Literal('>'),
          Type.Literal('>='),
          Type.Literal('='),
          Type.Literal('!='),
        ]),
        value: Type.Number(),
      },
      { additionalProperties: false },
    ),
    Type.Object(
      {
        kind: Type.Literal('in'),
        column: ColumnNameSchema,
        values: Type.Array(Type.String({ maxLength: 64 }), { minItems: 1, maxItems: 200 }),
      },
      { additionalProperties: false },
    ),
    Type.Object({ kind: Type.Literal('missing'), column: ColumnNameSchema }, { additionalProperties: false }),
  ]),
};

export const FilterSchema = Type.Cyclic(FilterDefinitions, 'Filter');
export type Filter = Static<typeof FilterSchema>;

/** Every row. */
export const EVERYTHING: Filter = { kind: 'all', of: [] };
