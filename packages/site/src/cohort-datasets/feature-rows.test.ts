/**
 * Every kind of column and every aggregation, held against values worked out here from the same raw rows by other means; and both
 * engines against each other.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import {
  AppError,
  assertFeatureSpecification,
  type FeatureColumn,
  type FeatureSpecification,
  FeatureSpecificationSchema,
  parse,
  type ViewFeature,
} from '@lantern/contract';
import { stagingStatements } from '@lantern/omop';
import { copyToPostgres, ENGINES, makeCdm } from '../../test/cdm-engines.ts';
import { circe } from '../../test/records-cdm.ts';
import { type Cdm, openCdm } from '../cdm/cdm.ts';
import { loadCdm } from '../cdm/cdm-load.ts';
import { gatherFeatures, keyPersons, readReport, writeFeatures } from './feature-rows.ts';
import { conversionsTo } from './unit-conversions.ts';
import { compileViews } from './view-values.ts';

const DATA = process.env['LANTERN_DATA_DIR'];
const { signal } = new AbortController();
const KEY = Buffer.from('a key of the test');

const DIABETES = 201826;
const STROKE = 381316;
const GLUCOSE = 3004501;
const [MG_DL, G_L, MMOL_L, FURLONG] = [8840, 8636, 8753, 9999];

type Measured = { id: number; person: number; day: string; value: number | null; unit: number | null };
type Event = { id: number; person: number; concept: number; day: string };

/** Without a pattern that would hide a wrong window or order. */
function generated() {
  let seed = 20_261_127;
  const draw = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const day = () => new Date(Date.UTC(2019, 0, 1 + draw(900))).toISOString().slice(0, 10);
  const persons = Array.from({ length: 60 }, (_, index) => ({
    id: 100 + index,
    sex: [8507, 8532, 0][draw(3)] ?? 0,
    born: 1900 + draw(100),
    index: day(),
  }));
  const measured: Measured[] = [];
  const events: Event[] = [];
  for (const { id: person } of persons) {
    for (let count = draw(9); count > 0; count -= 1) {
      const units = [MG_DL, MG_DL, G_L, MMOL_L, FURLONG, 0, null];
      const unit = units[draw(units.length)] ?? null;
      const size = unit === G_L ? 0.01 : unit === MMOL_L ? 1 / 18 : 1;
      const value = draw(12) === 0 ? null : Math.round((40 + draw(400)) * size * 1000) / 1000;
      // Two values of one day in some cases.
      const [last] = measured.slice(-1);
      const when = last?.person === person && draw(3) === 0 ? last.day : day();
      measured.push({ id: measured.length + 1, person, day: when, value, unit });
    }
    for (let count = draw(5); count > 0; count -= 1)
      events.push({ id: events.length + 1, person, concept: draw(2) === 0 ? 4000001 : 4000002, day: day() });
  }
  // Not by rising numbers in the file.
  return {
    persons,
    measured: measured.toSorted((one, other) => ((one.id * 7919) % 101) - ((other.id * 7919) % 101)),
    events,
  };
}

const RAW = generated();

function statements(): string[] {
  const text = (value: string | number | null) =>
    value === null ? 'NULL' : typeof value === 'number' ? value : `'${value}'`;
  const insert = (table: string, columns: string, rows: (string | number | null)[][]) =>
    `INSERT INTO ${table} (${columns}) VALUES ${rows.map((row) => `(${row.map(text).join(', ')})`).join(', ')}`;
  const { persons, measured, events } = RAW;
  const concept = (id: number, vocabulary: string, code: string) => [
    id,
    code,
    'Any',
    vocabulary,
    'Any',
    code,
    '1970-01-01',
    '2099-12-31',
  ];
  return [
    insert(
      'concept',
      'concept_id, concept_name, domain_id, vocabulary_id, concept_class_id, concept_code, valid_start_date, valid_end_date',
      [
        ...[DIABETES, STROKE, GLUCOSE, 4000000, 4000001, 4000002].map((id) => concept(id, 'SNOMED', String(id))),
        concept(MG_DL, 'UCUM', 'mg/dL'),
        concept(G_L, 'UCUM', 'g/L'),
        concept(MMOL_L, 'UCUM', 'mmol/L'),
        concept(FURLONG, 'UCUM', '[fur_us]'),
      ],
    ),
    insert(
      'concept_ancestor',
      'ancestor_concept_id, descendant_concept_id, min_levels_of_separation, max_levels_of_separation',
      [4000000, 4000001].map((id) => [4000000, id, 0, 1]),
    ),
    insert(
      'person',
      'person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id, person_source_value',
      persons.map(({ id, sex, born }) => [id, sex, born, 0, 0, `Patient/p${id}`]),
    ),
    insert(
      'observation_period',
      'observation_period_id, person_id, observation_period_start_date, observation_period_end_date, period_type_concept_id',
      persons.map(({ id }) => [id, id, '2010-01-01', '2025-12-31', 0]),
    ),
    insert(
      'condition_occurrence',
      'condition_occurrence_id, person_id, condition_concept_id, condition_start_date, condition_type_concept_id',
      [
        ...persons.flatMap(({ id, index }) => [
          [id, id, DIABETES, index, 0],
          [id + 1000, id, DIABETES, '2024-01-01', 0],
        ]),
        ...events.map(({ id, person, day }) => [id + 5000, person, STROKE, day, 0]),
      ],
    ),
    insert(
      'drug_exposure',
      'drug_exposure_id, person_id, drug_concept_id, drug_exposure_start_date, drug_exposure_end_date, drug_type_concept_id',
      events.map(({ id, person, concept: drug, day }) => [id, person, drug, day, day, 0]),
    ),
    insert(
      'measurement',
      'measurement_id, person_id, measurement_concept_id, measurement_date, measurement_type_concept_id, value_as_number, unit_concept_id',
      measured.map(({ id, person, day, value, unit }) => [id, person, GLUCOSE, day, 0, value, unit]),
    ),
  ];
}

const WINDOW = { from: -400, to: 0 };
const RANGE = { min: 60, max: 400 };
const FACTOR = 18.0156;

function glucose(aggregation: 'first' | 'last' | 'mean' | 'min' | 'max' | 'count'): FeatureColumn {
  return {
    kind: 'measurement',
    name: `glucose_${aggregation}`,
    description: 'glucose',
    concepts: [String(GLUCOSE)],
    withDescendants: false,
    window: WINDOW,
    unit: aggregation === 'count' ? '1' : 'mg/dL',
    conversions: aggregation === 'count' ? [] : [{ unit: 'mmol/L', factor: FACTOR }],
    aggregation,
    range: aggregation === 'count' ? { min: 0, max: 4 } : RANGE,
    missing: 'keep',
  };
}

const AGGREGATIONS = ['first', 'last', 'mean', 'min', 'max', 'count'] as const;

function specificationOf(columns: FeatureColumn[], change: Partial<FeatureSpecification> = {}): FeatureSpecification {
  return {
    schema: 'lantern.feature-specification/1',
    name: 'diabetes',
    title: 'Diabetes',
    description: 'persons with diabetes',
    cohort: circe(DIABETES),
    index: 'first-entry',
    columns,
    testShare: 0.3,
    ...change,
  };
}

const COLUMNS: FeatureColumn[] = [
  { kind: 'age', name: 'age', description: 'age', range: { min: 20, max: 100 }, missing: 'keep' },
  { kind: 'sex', name: 'sex', description: 'sex', missing: 'keep' },
  { kind: 'year', name: 'year', description: 'year', range: { min: 2000, max: 2030 }, missing: 'keep' },
  ...AGGREGATIONS.map(glucose),
  {
    kind: 'drug',
    name: 'drug_exists',
    description: 'a drug or what is below it',
    concepts: ['4000000'],
    withDescendants: true,
    window: { from: -200, to: 200 },
    aggregation: 'exists',
  },
  {
    kind: 'drug',
    name: 'drug_count',
    description: 'two drugs',
    concepts: ['4000001', '4000002'],
    withDescendants: false,
    window: { from: -300, to: -1 },
    aggregation: 'count',
    range: { min: 0, max: 2 },
  },
  {
    kind: 'label',
    name: 'stroke',
    description: 'a stroke within a year',
    cohort: circe(STROKE),
    window: { from: 1, to: 365 },
  },
];

/** What the columns should hold, from the raw rows alone. */
function expectedOf(person: (typeof RAW.persons)[number]): Record<string, number | string | null> {
  const days = (day: string) => Math.round((Date.parse(day) - Date.parse(person.index)) / 86_400_000);
  const inside = (day: string, from: number, to: number) => days(day) >= from && days(day) <= to;
  const rows = RAW.measured.filter((one) => one.person === person.id && inside(one.day, WINDOW.from, WINDOW.to));
  const values = rows
    .toSorted((one, other) => Date.parse(one.day) - Date.parse(other.day) || one.id - other.id)
    .flatMap(({ value, unit }) => {
      const factor = new Map([
        [MG_DL, 1],
        [G_L, 100],
        [MMOL_L, FACTOR],
      ]).get(unit ?? 0);
      if (value === null || factor === undefined) return [];
      const inUnit = value * factor;
      return inUnit < RANGE.min || inUnit > RANGE.max ? [] : [inUnit];
    });
  const drugs = RAW.events.filter((one) => one.person === person.id);
  const count = drugs.filter(({ day }) => inside(day, -300, -1)).length;
  // Periods that follow each other are one: a person enters the cohort of the label once, at the first event that is observed.
  const [stroke] = drugs.map(({ day }) => day).toSorted();
  const year = Number(person.index.slice(0, 4));
  const age = year - person.born;
  return {
    age: age < 20 || age > 100 ? null : age,
    sex: { 8507: 'male', 8532: 'female' }[person.sex] ?? null,
    year,
    glucose_first: values[0] ?? null,
    glucose_last: values.at(-1) ?? null,
    glucose_mean: values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length,
    glucose_min: values.length === 0 ? null : Math.min(...values),
    glucose_max: values.length === 0 ? null : Math.max(...values),
    glucose_count: rows.length > 4 ? null : rows.length,
    drug_exists: drugs.some(({ concept, day }) => concept === 4000001 && inside(day, -200, 200)) ? '1' : '0',
    drug_count: count > 2 ? null : count,
    stroke: stroke !== undefined && inside(stroke, 1, 365) ? '1' : '0',
  };
}

function open(where: string): Promise<Cdm> {
  return openCdm({ where, schema: undefined, signal, onProgress: () => undefined });
}

async function tableOf(cdm: Cdm, specification: FeatureSpecification) {
  await gatherFeatures(cdm, specification);
  const { testShare } = specification;
  await keyPersons(cdm, { key: KEY, testShare, usable: 'SELECT person_id FROM temp.feature_row' });
  const places = specification.columns.map((_, place) => place);
  const cells = await cdm.results.rows(
    `SELECT f.person_id, p.split, ${places.map((place) => `v${place}, u${place}, r${place}`).join(', ')}
     FROM temp.feature_row f JOIN temp.feature_person p USING (person_id) ORDER BY f.person_id`,
  );
  return { cells, report: await readReport(cdm, specification) };
}

describe('a feature specification', () => {
  const specification = specificationOf(COLUMNS);
  const answers: Awaited<ReturnType<typeof tableOf>>[] = [];

  for (const engine of ENGINES) {
    it(`gives on ${engine} what the raw rows hold, column for column`, async (t) => {
      assertFeatureSpecification(parse(FeatureSpecificationSchema, specification, { what: 'Feature specification' }));
      const made = await makeCdm(engine, statements(), { isStrict: false });
      const cdm = await open(made.where);
      const folder = await mkdtemp(path.join(tmpdir(), 'lantern-features-'));
      t.after(async () => {
        await cdm.close();
        await made.close();
        await rm(folder, { recursive: true, force: true });
      });
      const answer = await tableOf(cdm, specification);
      assert.equal(answer.cells.length, RAW.persons.length);
      for (const person of RAW.persons) {
        const row = answer.cells.find(([id]) => id === String(person.id)) ?? [];
        for (const [place, { name, kind }] of COLUMNS.entries()) {
          const value = row[2 + place * 3] ?? null;
          const expected = expectedOf(person)[name];
          if (kind === 'sex') assert.equal({ '8507': 'male', '8532': 'female' }[Number(value)] ?? null, expected);
          else if (expected === null) assert.equal(value, null, `${name} of ${person.id}`);
          else assert.equal(Number(value), Number(expected), `${name} of ${person.id}`);
        }
      }
      const known = new Set<number | null>([MG_DL, G_L, MMOL_L]);
      const inWindow = ({ person, day }: Measured) => {
        const index = RAW.persons.find(({ id }) => id === person)?.index ?? '';
        const days = Math.round((Date.parse(day) - Date.parse(index)) / 86_400_000);
        return days >= WINDOW.from && days <= WINDOW.to;
      };
      const otherUnits = RAW.measured.filter((one) => one.value !== null && !known.has(one.unit) && inWindow(one));
      const first = answer.report.columns.find(({ name }) => name === 'glucose_first');
      assert.ok(otherUnits.length > 10);
      assert.equal(first?.unitLeftOutCount, otherUnits.length);
      assert.ok((first?.rangeLeftOutCount ?? 0) > 5);
      assert.ok(answer.report.testRowCount > 8 && answer.report.testRowCount < 30);
      const out = path.join(folder, 'table.csv');
      await writeFeatures(cdm, specification, out);
      const [header, ...lines] = (await readFile(out, 'utf8')).trimEnd().split('\n');
      assert.equal(header, ['patient', ...COLUMNS.map(({ name }) => name), 'split'].join(','));
      assert.equal(lines.length, RAW.persons.length);
      assert.ok(!lines.some((line) => RAW.persons.some(({ id }) => line.startsWith(`${id},`))));
      answers.push(answer);
    });
  }

  it('gives the same bits on both engines', () => {
    assert.equal(answers.length, 2);
    assert.deepEqual(answers[0], answers[1]);
  });

  it('leaves out and counts persons without a value that must be there, and takes the last entry when it is asked for', async (t) => {
    const made = await makeCdm('duckdb', statements(), { isStrict: false });
    const cdm = await open(made.where);
    t.after(async () => {
      await cdm.close();
      await made.close();
    });
    const [dropped] = COLUMNS.filter(({ name }) => name === 'glucose_last');
    assert.ok(dropped?.kind === 'measurement');
    const { report } = await tableOf(cdm, specificationOf([{ ...dropped, missing: 'drop-row' }]));
    const without = RAW.persons.filter((person) => expectedOf(person)['glucose_last'] === null).length;
    assert.ok(without > 3);
    assert.equal(report.droppedCount, without);
    assert.equal(report.rowCount, RAW.persons.length - without);
    assert.equal(report.columns[0]?.missingCount, without);
    const year = COLUMNS.filter(({ name }) => name === 'year');
    const primary = circe(DIABETES);
    const all = {
      ...primary,
      PrimaryCriteria: { ...(primary['PrimaryCriteria'] as object), PrimaryCriteriaLimit: { Type: 'All' } },
      QualifiedLimit: { Type: 'All' },
      ExpressionLimit: { Type: 'All' },
      EndStrategy: { DateOffset: { DateField: 'StartDate', Offset: 1 } },
    };
    const last = await tableOf(cdm, specificationOf(year, { index: 'last-entry', cohort: all }));
    assert.ok(last.cells.every((row) => row[2] === '2024.0' || row[2] === '2024'));
    const first = await tableOf(cdm, specificationOf(year, { cohort: all }));
    assert.ok(first.cells.every((row) => Number(row[2]) < 2024));
  });

  it('is refused by the path of what is wrong', () => {
    const refusal = (value: unknown) => {
      try {
        assertFeatureSpecification(parse(FeatureSpecificationSchema, value, { what: 'Feature specification' }));
      } catch (caught) {
        assert.ok(caught instanceof AppError);
        return caught.field;
      }
      return undefined;
    };
    const [age, , , measurement] = COLUMNS;
    assert.equal(refusal(specification), undefined);
    assert.equal(refusal({ ...specification, note: 1 }), '/note');
    assert.equal(refusal(specificationOf([{ ...age, unit: 'a' } as never])), '/columns/0/unit');
    assert.equal(refusal(specificationOf([age as never, age as never])), '/columns/1/name');
    assert.equal(
      refusal(specificationOf([{ ...measurement, window: { from: 1, to: 0 } } as never])),
      '/columns/0/window',
    );
    const count = COLUMNS.find(({ name }) => name === 'drug_count');
    assert.equal(refusal(specificationOf([{ ...count, range: undefined } as never])), '/columns/0/range');
  });

  it('names the place of a cohort that is not understood', async (t) => {
    const made = await makeCdm('duckdb', statements(), { isStrict: false });
    const cdm = await open(made.where);
    t.after(async () => {
      await cdm.close();
      await made.close();
    });
    const label = {
      kind: 'label',
      name: 'l',
      description: 'l',
      cohort: { Nonsense: 1 },
      window: { from: 0, to: 1 },
    } as const;
    await assert.rejects(gatherFeatures(cdm, specificationOf([label])), /field \/columns\/0\/cohort/);
  });
});

describe('a column made of a view of SQL on FHIR', () => {
  const view = {
    name: 'glucose',
    patient: 'patient',
    day: 'day',
    definition: {
      resource: 'Observation',
      where: [{ path: "code.coding.code = '2345-7'" }],
      select: [
        {
          column: [
            { name: 'patient', path: 'subject.getReferenceKey(Patient)' },
            { name: 'day', path: 'effective.ofType(dateTime)' },
            { name: 'value', path: 'value.ofType(Quantity).value' },
          ],
        },
      ],
    },
  };
  const observations = RAW.measured.map(({ person, day, value }, index) => ({
    resourceType: 'Observation',
    id: `o${index}`,
    status: 'final',
    code: { coding: [{ system: 'http://loinc.org', code: index % 7 === 0 ? '718-7' : '2345-7' }] },
    subject: { reference: `Patient/p${person}` },
    effectiveDateTime: `${day}T10:00:00Z`,
    ...(value === null ? {} : { valueQuantity: { value } }),
  }));
  async function* resources(type: string) {
    if (type === 'Observation') yield* observations;
  }
  const columnOf = (aggregation: ViewFeature['aggregation']): ViewFeature => ({
    kind: 'view',
    name: `view_${aggregation}`,
    description: 'glucose as it is written',
    view: 'glucose',
    column: 'value',
    window: WINDOW,
    unit: 'mg/dL',
    aggregation,
    missing: 'keep',
    ...(aggregation === 'exists' ? {} : { range: RANGES[aggregation === 'count' ? 'count' : 'value'] }),
  });
  const RANGES = { count: { min: 0, max: 3 }, value: { min: 60, max: 400 } };
  const aggregations = ['first', 'last', 'mean', 'min', 'max', 'count', 'exists'] as const;

  for (const engine of ENGINES) {
    it(`holds on ${engine} what its resources hold, in the window and range`, async (t) => {
      const specification = specificationOf(aggregations.map(columnOf), { views: [view] });
      assertFeatureSpecification(parse(FeatureSpecificationSchema, specification, { what: 'Feature specification' }));
      const made = await makeCdm(engine, statements(), { isStrict: false });
      const cdm = await open(made.where);
      t.after(async () => {
        await cdm.close();
        await made.close();
      });
      await assert.rejects(gatherFeatures(cdm, specification), { code: 'input.invalid', field: 'fhir' });
      await gatherFeatures(cdm, specification, resources);
      let seen = 0;
      for (const person of RAW.persons) {
        const rows = observations
          .map((one, order) => ({ one, order }))
          .filter(({ one }) => {
            const days = Math.round(
              (Date.parse(one.effectiveDateTime.slice(0, 10)) - Date.parse(person.index)) / 86_400_000,
            );
            return (
              one.subject.reference === `Patient/p${person.id}` &&
              one.code.coding[0]?.code === '2345-7' &&
              one.valueQuantity !== undefined &&
              days >= WINDOW.from &&
              days <= WINDOW.to
            );
          })
          .toSorted(
            (a, b) =>
              a.one.effectiveDateTime.slice(0, 10).localeCompare(b.one.effectiveDateTime.slice(0, 10)) ||
              a.order - b.order,
          )
          .map(({ one }) => one.valueQuantity?.value ?? 0);
        const values = rows.filter((value) => value >= 60 && value <= 400);
        seen += values.length;
        const expected = [
          values[0],
          values.at(-1),
          values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length,
          values.length === 0 ? undefined : Math.min(...values),
          values.length === 0 ? undefined : Math.max(...values),
          rows.length > 3 ? undefined : rows.length,
          rows.length === 0 ? 0 : 1,
        ];
        const [row = []] = await cdm.results.rows(
          `SELECT ${aggregations.map((_, place) => `v${place}`).join(', ')}, r0 FROM temp.feature_row WHERE person_id = ${person.id}`,
        );
        for (const [place, value] of expected.entries()) {
          const found = row[place] ?? null;
          assert.equal(found === null ? undefined : Number(found), value, `${aggregations[place]} of ${person.id}`);
        }
        assert.equal(Number(row[aggregations.length]), rows.length - values.length);
      }
      assert.ok(seen > 30, `${seen}`);
    });
  }

  it('is refused where the view, its column or its day is not there', () => {
    const refused = (change: Partial<ViewFeature>, views = [view]) =>
      specificationOf([{ ...columnOf('last'), ...change }], { views });
    assert.throws(() => compileViews(refused({ view: 'other' })), { field: '/columns/0/view' });
    assert.throws(() => compileViews(refused({ column: 'other' })), { field: '/columns/0/column' });
    assert.throws(() => compileViews(refused({}, [{ ...view, patient: 'nobody' }])), { field: '/views/0' });
    const { day: _, ...dayless } = view;
    assert.throws(() => assertFeatureSpecification(specificationOf([columnOf('last')], { views: [dayless] })), {
      field: '/columns/0/window',
    });
  });
});

describe('a column made of a view whose values have units', () => {
  const PERSON = `Patient/p${RAW.persons[0]?.id}`;
  const VALUES: [value: number, unit: string | undefined, patient: string][] = [
    [90, 'mg/dL', PERSON],
    [1.1, 'g/L', PERSON], // 110 mg/dL
    [7, 'mmol/L', PERSON], // 126.1092 mg/dL by the factor of the specification
    [5, '[fur_us]', PERSON],
    [101, undefined, PERSON],
    [9, 'g/L', PERSON], // 900 mg/dL, beyond the range
    [85, 'mg/dL', 'Patient/former'],
  ];
  async function* resources() {
    for (const [index, [value, unit, patient]] of VALUES.entries()) {
      const valueQuantity = { value, ...(unit === undefined ? {} : { code: unit }) };
      const observation = { resourceType: 'Observation', id: `q${index}`, status: 'final', code: { text: 'glucose' } };
      yield { ...observation, subject: { reference: patient }, valueQuantity };
    }
  }
  const column = [
    { name: 'who', path: 'subject.getReferenceKey(Patient)' },
    { name: 'value', path: 'value.ofType(Quantity).value' },
    { name: 'unit', path: 'value.ofType(Quantity).code' },
  ];
  const views = [{ name: 'glucose', patient: 'who', definition: { resource: 'Observation', select: [{ column }] } }];
  const mean: ViewFeature = {
    kind: 'view',
    name: 'glucose',
    description: 'glucose',
    view: 'glucose',
    column: 'value',
    unitColumn: 'unit',
    unit: 'mg/dL',
    conversions: [{ unit: 'mmol/L', factor: FACTOR }],
    aggregation: 'mean',
    range: RANGE,
    missing: 'keep',
  };
  async function ofPerson(changes: Partial<ViewFeature>[], own: readonly string[] = []): Promise<(number | null)[][]> {
    const columns = changes.map((change, index) => ({ ...mean, ...change, name: `c${index}` }));
    const specification = specificationOf(columns, { views });
    assertFeatureSpecification(parse(FeatureSpecificationSchema, specification, { what: 'Feature specification' }));
    const made = await makeCdm('duckdb', [...statements(), ...own], { isStrict: false });
    const cdm = await open(made.where);
    try {
      await gatherFeatures(cdm, specification, resources);
      const cells = columns.map((_, place) => `v${place}, u${place}, r${place}`).join(', ');
      const [row = []] = await cdm.results.rows(
        `SELECT ${cells} FROM temp.feature_row WHERE person_id = ${RAW.persons[0]?.id}`,
      );
      return columns.map((_, place) =>
        row.slice(place * 3, place * 3 + 3).map((cell) => (cell === null ? null : Number(cell))),
      );
    } finally {
      await cdm.close();
      await made.close();
    }
  }

  it('has them in the unit of the column, and counts those that do not become it', async () => {
    const withoutUnit = 'as-declared' as const;
    assert.deepEqual(await ofPerson([{}, { withoutUnit }, { aggregation: 'max' }, { conversions: [] }]), [
      [(90 + 110 + 7 * FACTOR) / 3, 2, 1],
      [(90 + 110 + 7 * FACTOR + 101) / 4, 1, 1],
      [7 * FACTOR, 2, 1],
      [100, 3, 1],
    ]);
  });

  it('is refused where it would convert and has no units, or names a column that is not there', async () => {
    const { unitColumn: _, ...bare } = mean;
    const check = (one: ViewFeature) => assertFeatureSpecification(specificationOf([one], { views }));
    assert.throws(() => check(bare), { field: '/columns/0/unitColumn' });
    assert.throws(() => check({ ...mean, aggregation: 'count' }), { field: '/columns/0/unitColumn' });
    await assert.rejects(ofPerson([{ unitColumn: 'nothing' }]), { field: '/columns/0/unitColumn' });
  });

  it('has the rows that name its person by a patient who was merged into him', async () => {
    const [{ id } = { id: 0 }] = RAW.persons;
    const own = [
      ...stagingStatements(),
      'INSERT INTO etl.resource (resource_number, resource_key) SELECT person_id, person_source_value FROM person',
    ];
    assert.deepEqual(await ofPerson([{ aggregation: 'min' }], own), [[90, 2, 1]]);
    const merged = `INSERT INTO etl.person_survivor VALUES ('Patient/former', 'Patient/p${id}')`;
    assert.deepEqual(await ofPerson([{ aggregation: 'min' }], [...own, merged]), [[85, 2, 1]]);
  });
});

describe('conversions between units', () => {
  const of = (unit: string, other: string) => conversionsTo(unit).find((one) => one.unit === other);

  it('are those of UCUM, offsets included', () => {
    assert.deepEqual(of('mg/dL', 'g/L'), { unit: 'g/L', factor: 100, offset: 0 });
    assert.deepEqual(of('kg', '[lb_av]'), { unit: '[lb_av]', factor: 0.45359237, offset: 0 });
    const fahrenheit = of('Cel', '[degF]');
    assert.ok(Math.abs(98.6 * (fahrenheit?.factor ?? 0) + (fahrenheit?.offset ?? 0) - 37) < 1e-9);
  });

  it('are not made between mass and amount, nor between pure numbers', () => {
    assert.equal(of('mg/dL', 'mmol/L'), undefined);
    assert.equal(of('%', 'mmol/mol'), undefined);
    assert.equal(of('nonsense', 'mg/dL'), undefined);
  });
});

it('GiBleed gives the same table on both engines, with the drugs and diagnoses of its raw rows', async (t) => {
  if (DATA === undefined) return t.skip('LANTERN_DATA_DIR names no folder with omop-gibleed');
  const folder = path.join(DATA, 'omop-gibleed');
  if (!existsSync(folder)) return t.skip(`${folder} is not there`);
  const scratch = await mkdtemp(path.join(tmpdir(), 'lantern-gibleed-features-'));
  t.after(() => rm(scratch, { recursive: true, force: true }));
  const file = path.join(scratch, 'gibleed.duckdb');
  await loadCdm({ folder, file, signal, onProgress: () => undefined });
  const copied = await copyToPostgres(file);
  const [duckdb, postgres] = [await open(file), await open(copied.where)];
  t.after(async () => {
    await duckdb.close();
    await postgres.close();
    await copied.close();
  });
  const fixtures = path.resolve(import.meta.dirname, '../../../../fixtures/omop-gibleed');
  const read = async (name: string): Promise<Record<string, unknown>> =>
    JSON.parse(await readFile(path.join(fixtures, name), 'utf8'));
  const window = { from: -3650, to: 30 };
  const specification = specificationOf(
    [
      { kind: 'age', name: 'age', description: 'age', range: { min: 0, max: 120 }, missing: 'keep' },
      { kind: 'sex', name: 'sex', description: 'sex', missing: 'keep' },
      {
        kind: 'condition',
        name: 'conditions',
        description: 'diagnoses of any kind below a clinical finding',
        concepts: ['4112343', '260139', '40481087'],
        withDescendants: false,
        window,
        aggregation: 'count',
        range: { min: 0, max: 1000 },
      },
      {
        kind: 'measurement',
        name: 'measured',
        description: 'body height',
        concepts: ['3036277', '3006322'],
        withDescendants: false,
        window,
        unit: '1',
        aggregation: 'count',
        range: { min: 0, max: 1000 },
        missing: 'keep',
      },
      {
        kind: 'label',
        name: 'bleed',
        description: 'bleeding',
        cohort: await read('gi-bleed-observed.json'),
        window: { from: 1, to: 90 },
      },
    ],
    { cohort: await read('celecoxib-observed.json') },
  );
  const answer = await tableOf(duckdb, specification);
  assert.deepEqual(await tableOf(postgres, specification), answer);
  assert.equal(answer.report.cohortPatientCount, 1800);
  const counts = await duckdb.rows(
    `SELECT f.person_id, count(c.condition_occurrence_id) FROM temp.feature_row f LEFT JOIN condition_occurrence c
     ON c.person_id = f.person_id AND date_diff('day', f.index_date, c.condition_start_date) BETWEEN -3650 AND 30
     AND c.condition_concept_id IN (4112343, 260139, 40481087) GROUP BY 1 ORDER BY 1`,
  );
  assert.deepEqual(
    answer.cells.map((row) => [row[0], Number(row[8])]),
    counts.map(([id, count]) => [id, Number(count)]),
  );
  assert.ok(counts.some(([, count]) => Number(count) > 3));
  const bleeding = answer.cells.filter((row) => Number(row[14]) === 1).length;
  assert.ok(bleeding > 100, `${bleeding}`);
});
