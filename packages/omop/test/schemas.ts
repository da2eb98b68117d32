/** A small schema whose column names are chosen to collide with the names our own SQL uses. */
import type { CategoryColumn, DatasetSchema, NumberColumn } from '@lantern/contract';

const PRESSURE: NumberColumn = {
  kind: 'number',
  name: 'value',
  description: 'Systolic blood pressure',
  unit: 'mm[Hg]',
  range: { min: 0, max: 300 },
  medianRange: { min: 90, max: 180 },
  binEdges: [80, 120, 160],
  missingAllowed: true,
};

export const AGE: NumberColumn = {
  kind: 'number',
  name: 'f0',
  description: 'Age',
  unit: 'a',
  range: { min: 0, max: 110 },
  missingAllowed: false,
};

export const SEX: CategoryColumn = {
  kind: 'category',
  name: 'label',
  description: 'Sex',
  missingAllowed: false,
  categories: [
    { value: '0', meaning: 'female' },
    { value: '1', meaning: 'male' },
  ],
};

const PAIN: CategoryColumn = {
  kind: 'category',
  name: 'text',
  description: "Pain; its spelling holds a quote's mark",
  missingAllowed: true,
  categories: [
    { value: 'none', meaning: 'no pain' },
    { value: "at o'clock", meaning: 'at a known time' },
    { value: '3', meaning: 'always' },
  ],
};

export const SCHEMA: DatasetSchema = {
  name: 'small',
  title: 'Small',
  description: 'For tests',
  missingMarks: ['?', 'n/a'],
  columns: [PRESSURE, AGE, SEX, PAIN],
};

export const KEYED: DatasetSchema = {
  ...SCHEMA,
  columns: [...SCHEMA.columns, { kind: 'patient-key', name: 'cell', description: 'Number of the patient' }],
};
