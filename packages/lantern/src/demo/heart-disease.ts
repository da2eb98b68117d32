/**
 * The UCI heart-disease data (Janosi, Steinbrunn, Pfisterer, Detrano 1988; CC BY 4.0) as Lantern sees it: the schema all
 * four hospitals share, FLamby's thirteen features (du Terrail et al. 2022, arXiv:2210.04620), and where each comes from at
 * a bedside.
 *
 * Codes: LOINC where a code means exactly the column; the exercise-test findings of 1988 have none that does, so they
 * carry codes of a local system.
 */
import type {
  CategoryColumn,
  DatasetSchema,
  FeatureSpec,
  InputSource,
  ModelCard,
  NumberColumn,
} from '@lantern/contract';

const LOCAL_CODES = 'urn:lantern:codes:heart-disease';
const LOINC = 'http://loinc.org';

const number = (
  name: string,
  description: string,
  rest: Omit<NumberColumn, 'kind' | 'name' | 'description'>,
): NumberColumn => ({
  kind: 'number',
  name,
  description,
  ...rest,
});

const category = (
  name: string,
  description: string,
  meanings: Record<string, string>,
  missingAllowed: boolean,
): CategoryColumn => ({
  kind: 'category',
  name,
  description,
  missingAllowed,
  categories: Object.entries(meanings).map(([value, meaning]) => ({ value, meaning })),
});

export const DATASET: DatasetSchema = {
  name: 'heart-disease',
  title: 'Patients referred for coronary angiography',
  description: 'One row per patient: clinical findings, exercise test, and the outcome of angiography (UCI, 1988).',
  licence: 'CC BY 4.0, doi:10.24432/C52P4X',
  missingMarks: ['?', ''],
  columns: [
    number('age', 'Age at angiography', {
      unit: 'a',
      range: { min: 18, max: 110 },
      medianRange: { min: 30, max: 80 },
      binEdges: [18, 40, 50, 60, 70, 110],
      missingAllowed: false,
    }),
    category('sex', 'Sex as recorded', { '0': 'female', '1': 'male' }, false),
    category(
      'cp',
      'Type of chest pain',
      { '1': 'typical angina', '2': 'atypical angina', '3': 'non-anginal pain', '4': 'asymptomatic' },
      false,
    ),
    number('trestbps', 'Systolic blood pressure at rest on admission; 0 in old records means not measured', {
      unit: 'mm[Hg]',
      coding: { system: LOINC, code: '8480-6', display: 'Systolic blood pressure' },
      range: { min: 0, max: 300 },
      medianRange: { min: 90, max: 180 },
      binEdges: [0, 120, 130, 140, 160, 300],
      missingAllowed: true,
    }),
    number('chol', 'Serum cholesterol; 0 in two hospitals means not measured', {
      unit: 'mg/dL',
      coding: { system: LOINC, code: '2093-3', display: 'Cholesterol in serum or plasma' },
      range: { min: 0, max: 1000 },
      binEdges: [0, 1, 200, 240, 300, 1000],
      missingAllowed: true,
    }),
    category('fbs', 'Fasting blood glucose above 120 mg/dL', { '0': 'no', '1': 'yes' }, true),
    category(
      'restecg',
      'Electrocardiogram at rest',
      { '0': 'normal', '1': 'ST-T wave abnormality', '2': 'left ventricular hypertrophy' },
      true,
    ),
    number('thalach', 'Highest heart rate in the exercise test', {
      unit: '/min',
      range: { min: 40, max: 230 },
      medianRange: { min: 80, max: 190 },
      binEdges: [40, 100, 120, 140, 160, 230],
      missingAllowed: true,
    }),
    category('exang', 'Angina brought on by exercise', { '0': 'no', '1': 'yes' }, true),
    number('oldpeak', 'ST depression in exercise relative to rest', {
      unit: 'mm',
      range: { min: -5, max: 10 },
      binEdges: [-5, 0, 1, 2, 10],
      missingAllowed: true,
    }),
    category(
      'slope',
      'Slope of the peak exercise ST segment',
      { '1': 'upsloping', '2': 'flat', '3': 'downsloping' },
      true,
    ),
    category(
      'ca',
      'Major vessels coloured by fluoroscopy',
      { '0': 'none', '1': 'one', '2': 'two', '3': 'three' },
      true,
    ),
    category('thal', 'Thallium scintigraphy', { '3': 'normal', '6': 'fixed defect', '7': 'reversible defect' }, true),
    category(
      'num',
      'Outcome of angiography',
      { '0': 'no vessel narrowed by half or more', '1': 'one', '2': 'two', '3': 'three', '4': 'four' },
      false,
    ),
    category(
      'split',
      "FLamby's published division of the patients",
      { train: 'for training', test: 'held back', unused: 'left out by FLamby: a needed value is missing' },
      false,
    ),
  ],
};

/** Thirteen features; rows with a missing value in any of them are left out, as FLamby does. */
export const FEATURES: FeatureSpec = {
  dataset: DATASET.name,
  features: [
    { kind: 'numeric', column: 'age' },
    { kind: 'one-hot', column: 'sex', categories: ['0', '1'], dropFirst: true },
    { kind: 'numeric', column: 'trestbps' },
    { kind: 'numeric', column: 'chol' },
    { kind: 'one-hot', column: 'fbs', categories: ['0', '1'], dropFirst: true },
    { kind: 'numeric', column: 'thalach' },
    { kind: 'one-hot', column: 'exang', categories: ['0', '1'], dropFirst: true },
    { kind: 'numeric', column: 'oldpeak' },
    { kind: 'one-hot', column: 'cp', categories: ['1', '2', '3', '4'], dropFirst: true },
    { kind: 'one-hot', column: 'restecg', categories: ['0', '1', '2'], dropFirst: true },
  ],
  label: {
    name: 'coronary disease',
    positiveWhen: { kind: 'in', column: 'num', values: ['1', '2', '3', '4'] },
    columns: ['num'],
  },
  trainWhere: { kind: 'in', column: 'split', values: ['train'] },
  testWhere: { kind: 'in', column: 'split', values: ['test'] },
  missing: 'drop-row',
};

const YEAR_DAYS = 366;
const local = (code: string, display: string) => ({ system: LOCAL_CODES, code, display });
const yesNo = [
  { coding: local('no', 'No'), category: '0' },
  { coding: local('yes', 'Yes'), category: '1' },
];

export const INPUTS: InputSource[] = [
  { kind: 'patient-age', column: 'age' },
  { kind: 'patient-gender', column: 'sex', categories: { female: '0', male: '1' } },
  {
    kind: 'observation-quantity',
    column: 'trestbps',
    codings: [{ system: LOINC, code: '8480-6', display: 'Systolic blood pressure' }],
    units: [
      { unit: 'mm[Hg]', factor: 1 },
      { unit: 'kPa', factor: 7.50062 },
    ],
    range: { min: 50, max: 300 },
    ageMaxDays: YEAR_DAYS,
  },
  {
    kind: 'observation-quantity',
    column: 'chol',
    codings: [
      { system: LOINC, code: '2093-3', display: 'Cholesterol, mass' },
      { system: LOINC, code: '14647-2', display: 'Cholesterol, amount of substance' },
    ],
    units: [
      { unit: 'mg/dL', factor: 1 },
      { unit: 'mmol/L', factor: 38.67 },
    ],
    range: { min: 50, max: 1000 },
    ageMaxDays: YEAR_DAYS,
  },
  {
    kind: 'observation-threshold',
    column: 'fbs',
    codings: [
      { system: LOINC, code: '1558-6', display: 'Fasting glucose, mass' },
      { system: LOINC, code: '14771-0', display: 'Fasting glucose, amount of substance' },
    ],
    units: [
      { unit: 'mg/dL', factor: 1 },
      { unit: 'mmol/L', factor: 18.016 },
    ],
    range: { min: 20, max: 1000 },
    above: 120,
    valueAbove: '1',
    valueOtherwise: '0',
    ageMaxDays: YEAR_DAYS,
  },
  {
    kind: 'observation-quantity',
    column: 'thalach',
    codings: [local('thalach', 'Highest heart rate in the exercise test')],
    units: [{ unit: '/min', factor: 1 }],
    range: { min: 40, max: 230 },
    ageMaxDays: YEAR_DAYS,
  },
  {
    kind: 'observation-quantity',
    column: 'oldpeak',
    codings: [local('oldpeak', 'ST depression in exercise relative to rest')],
    units: [{ unit: 'mm', factor: 1 }],
    range: { min: -5, max: 10 },
    ageMaxDays: YEAR_DAYS,
  },
  {
    kind: 'observation-code',
    column: 'exang',
    codings: [local('exang', 'Angina brought on by exercise')],
    values: yesNo,
    ageMaxDays: YEAR_DAYS,
  },
  {
    kind: 'observation-code',
    column: 'cp',
    codings: [local('cp', 'Type of chest pain')],
    values: [
      { coding: local('typical-angina', 'Typical angina'), category: '1' },
      { coding: local('atypical-angina', 'Atypical angina'), category: '2' },
      { coding: local('non-anginal', 'Non-anginal pain'), category: '3' },
      { coding: local('asymptomatic', 'Asymptomatic'), category: '4' },
    ],
    ageMaxDays: YEAR_DAYS,
  },
  {
    kind: 'observation-code',
    column: 'restecg',
    codings: [{ system: LOINC, code: '8601-7', display: 'EKG impression' }],
    values: [
      { coding: local('normal', 'Normal'), category: '0' },
      { coding: local('st-t-abnormality', 'ST-T wave abnormality'), category: '1' },
      { coding: local('lv-hypertrophy', 'Left ventricular hypertrophy'), category: '2' },
    ],
    ageMaxDays: YEAR_DAYS,
  },
];

/** `trainRowCount`: as the sites prepared them. */
export const cardOf = (trainRowCount: number): ModelCard => ({
  title: 'Coronary disease before angiography',
  intendedUse:
    'Demonstration of a federated model at the bedside: probability that angiography shows a vessel narrowed by half or more.',
  notFor:
    'Care of patients. The data is from 1988, from patients already referred for angiography; it is not a medical device.',
  limits: [
    `Learnt from ${trainRowCount} patients of four hospitals referred for angiography before 1988; other patients differ.`,
    'Cholesterol was not measured at one hospital and in part of another; its weight is not to be trusted.',
    'One hospital contributed no patient without disease.',
  ],
  outcome: 'narrowing by half or more of at least one coronary vessel',
  contact: "the project's researcher",
});
