import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AppError, type DatasetSchema, type InputSource } from '@lantern/contract';
import fc from 'fast-check';
import { type MappedInput, mapInputs } from './input-mapping.ts';

const NOW = new Date('2026-03-15T12:00:00Z');
const LOINC = 'http://loinc.org';
const LOCAL = 'urn:test';
const UCUM = 'http://unitsofmeasure.org';
const PATIENT_ID = 'p-1';

const shared = { description: 'd', missingAllowed: true };
const SCHEMA: DatasetSchema = {
  name: 'heart',
  title: 'Heart',
  description: 'Test data',
  missingMarks: [],
  columns: [
    { kind: 'number', name: 'age', unit: 'a', range: { min: 18, max: 110 }, ...shared },
    {
      kind: 'category',
      name: 'sex',
      categories: [
        { value: '0', meaning: 'female' },
        { value: '1', meaning: 'male' },
      ],
      ...shared,
    },
    { kind: 'number', name: 'systolic', unit: 'mm[Hg]', range: { min: 0, max: 280 }, ...shared },
    {
      kind: 'category',
      name: 'glucose_high',
      categories: [
        { value: 'no', meaning: 'not raised' },
        { value: 'yes', meaning: 'raised' },
      ],
      ...shared,
    },
    {
      kind: 'category',
      name: 'pain',
      categories: [
        { value: 'typical', meaning: 'typical angina' },
        { value: 'none', meaning: 'no pain' },
      ],
      ...shared,
    },
  ],
};
const INPUTS: InputSource[] = [
  { kind: 'patient-age', column: 'age' },
  { kind: 'patient-gender', column: 'sex', categories: { female: '0', male: '1' } },
  {
    kind: 'observation-quantity',
    column: 'systolic',
    codings: [{ system: LOINC, code: '8480-6', display: 'Systolic blood pressure' }],
    units: [
      { unit: 'mm[Hg]', factor: 1 },
      { unit: 'kPa', factor: 7.5 },
    ],
    range: { min: 50, max: 300 },
    ageMaxDays: 30,
  },
  {
    kind: 'observation-threshold',
    column: 'glucose_high',
    codings: [{ system: LOINC, code: '1558-6', display: 'Fasting glucose' }],
    units: [
      { unit: 'mg/dL', factor: 1 },
      { unit: 'mmol/L', factor: 18 },
    ],
    range: { min: 20, max: 1000 },
    above: 120,
    valueAbove: 'yes',
    valueOtherwise: 'no',
    ageMaxDays: 365,
  },
  {
    kind: 'observation-code',
    column: 'pain',
    codings: [{ system: LOCAL, code: 'pain', display: 'Chest pain' }],
    values: [
      { coding: { system: LOCAL, code: 'typical-angina' }, category: 'typical' },
      { coding: { system: LOCAL, code: 'no-pain' }, category: 'none' },
    ],
    ageMaxDays: 365,
  },
];

type Json = Record<string, unknown>;

const PATIENT: Json = { resourceType: 'Patient', id: PATIENT_ID, birthDate: '1970-03-16', gender: 'female' };

function observation(system: string, code: string, rest: Json): Json {
  return {
    resourceType: 'Observation',
    status: 'final',
    code: { coding: [{ system, code }] },
    subject: { reference: `Patient/${PATIENT_ID}` },
    effectiveDateTime: '2026-03-10T08:00:00+01:00',
    ...rest,
  };
}

function quantity(value: number, code: string, rest: Json = {}): Json {
  return { valueQuantity: { value, system: UCUM, code, unit: code, ...rest } };
}

const systolic = (rest: Json = quantity(141, 'mm[Hg]')) => observation(LOINC, '8480-6', rest);
const glucose = (rest: Json = quantity(95, 'mg/dL')) => observation(LOINC, '1558-6', rest);
const pain = (code = 'typical-angina') =>
  observation(LOCAL, 'pain', { valueCodeableConcept: { coding: [{ system: LOCAL, code }] } });

function bundle(resources: readonly Json[], rest: Json = {}): Json {
  return { resourceType: 'Bundle', type: 'searchset', entry: resources.map((resource) => ({ resource })), ...rest };
}

function map(
  resources: readonly Json[],
  changes: { patient?: unknown; bundle?: unknown; fhirServer?: string } = {},
): MappedInput {
  const patient = 'patient' in changes ? changes.patient : PATIENT;
  const observations = 'bundle' in changes ? changes.bundle : bundle(resources);
  const prefetch = { patient, observations };
  const { fhirServer } = changes;
  return mapInputs({ patientId: PATIENT_ID, fhirServer, prefetch, inputs: INPUTS, schema: SCHEMA, now: NOW });
}

function values(mapped: MappedInput): Json {
  assert.equal(mapped.kind, 'complete', JSON.stringify(mapped));
  return Object.fromEntries(
    mapped.kind === 'complete' ? mapped.values.map(({ column, value }) => [column, value]) : [],
  );
}

/** `missing systolic: ...` for each finding. */
function findings(mapped: MappedInput): string[] {
  if (mapped.kind === 'complete') assert.fail(JSON.stringify(mapped));
  return mapped.findings.map(({ kind, column, label, reason }) => `${kind} ${column ?? label}: ${reason}`);
}

/** With everything but the blood pressure right. */
const withSystolic = (...results: readonly Json[]) => map([...results, glucose(), pain()]);

describe('a complete record', () => {
  test('gives one value per input, each with what it is shown as', () => {
    const mapped = map([systolic(), glucose(), pain()]);
    assert.deepEqual(values(mapped), { age: 55, sex: '0', systolic: 141, glucose_high: 'no', pain: 'typical' });
    assert.ok(mapped.kind === 'complete');
    assert.deepEqual(
      mapped.values.map(({ label, shown, measured }) => [label, shown, measured]),
      [
        ['Age', '55 years', undefined],
        ['Sex', 'female', undefined],
        ['Systolic blood pressure', '141 mm[Hg]', '2026-03-10T08:00:00+01:00'],
        ['Fasting glucose', '95 mg/dL, not above 120 mg/dL', '2026-03-10T08:00:00+01:00'],
        ['Chest pain', 'typical angina', '2026-03-10T08:00:00+01:00'],
      ],
    );
  });

  test('converts units by the declared factors and compares thresholds after conversion', () => {
    const mapped = map([systolic(quantity(18, 'kPa')), glucose(quantity(6.7, 'mmol/L')), pain()]);
    assert.deepEqual(values(mapped), { age: 55, sex: '0', systolic: 135, glucose_high: 'yes', pain: 'typical' });
  });

  test('a value at the threshold is not above it', () => {
    assert.equal(values(map([systolic(), glucose(quantity(120, 'mg/dL')), pain()]))['glucose_high'], 'no');
  });

  test('reads the systolic pressure out of a blood pressure panel', () => {
    const panel = observation(LOINC, '85354-9', {
      component: [
        { code: { coding: [{ system: LOINC, code: '8462-4' }] }, ...quantity(80, 'mm[Hg]') },
        { code: { coding: [{ system: LOINC, code: '8480-6' }] }, ...quantity(133, 'mm[Hg]') },
      ],
    });
    assert.equal(values(withSystolic(panel))['systolic'], 133);
  });

  test('does not read a component of a panel it does not know, where the code may mean something else', () => {
    const panel = observation(LOINC, '97844-3', {
      component: [{ code: { coding: [{ system: LOINC, code: '8480-6' }] }, ...quantity(133, 'mm[Hg]') }],
    });
    assert.deepEqual(findings(withSystolic(panel)), ['missing systolic: no result in the record']);
  });

  test('takes the newest result, whatever the order in which they came', () => {
    const older = systolic({ ...quantity(120, 'mm[Hg]'), effectiveDateTime: '2026-03-09T23:30:00Z' });
    const newer = systolic({ ...quantity(150, 'mm[Hg]'), effectiveDateTime: '2026-03-10T01:00:00+01:00' });
    const newest = systolic({ ...quantity(160, 'mm[Hg]'), effectiveDateTime: '2026-03-09T19:01:00-05:00' });
    assert.equal(values(withSystolic(older, newest, newer))['systolic'], 160);
    assert.equal(values(withSystolic(newest, newer, older))['systolic'], 160);
  });

  test('ignores what was entered in error or cancelled, and what is older and not final', () => {
    const other = (status: string, effectiveDateTime: string) =>
      systolic({ ...quantity(220, 'mm[Hg]'), status, effectiveDateTime });
    for (const status of ['entered-in-error', 'cancelled']) {
      assert.equal(values(withSystolic(systolic(), other(status, '2026-03-11T08:00:00Z')))['systolic'], 141, status);
    }
    for (const status of ['preliminary', 'registered', 'unknown']) {
      assert.equal(values(withSystolic(systolic(), other(status, '2026-03-01T08:00:00Z')))['systolic'], 141, status);
    }
  });

  test('accepts amended and corrected results', () => {
    for (const status of ['amended', 'corrected']) {
      assert.equal(values(withSystolic(systolic({ ...quantity(99, 'mm[Hg]'), status })))['systolic'], 99, status);
    }
  });

  test('accepts a period by its end, and the same value twice', () => {
    const period = { effectiveDateTime: undefined, effectivePeriod: { start: '2026-03-09', end: '2026-03-10' } };
    assert.equal(values(withSystolic(systolic({ ...quantity(99, 'mm[Hg]'), ...period })))['systolic'], 99);
    assert.equal(values(withSystolic(systolic(), systolic()))['systolic'], 141);
  });
});

describe('the wrong patient', () => {
  test('another Patient resource ends everything', () => {
    assert.deepEqual(findings(map([systolic(), glucose(), pain()], { patient: { ...PATIENT, id: 'p-2' } })), [
      'impossible Patient: the record sent another patient than the one in the context of the request',
    ]);
  });

  test('one Observation of another patient, even one that is not used, ends everything', () => {
    const foreign = observation(LOINC, '1234-5', { subject: { reference: 'Patient/p-2' } });
    assert.match(findings(map([systolic(), glucose(), pain(), foreign]))[0] ?? '', /^impossible Observations/);
  });

  test('an Observation without a subject, or of something else with this id, ends everything', () => {
    for (const subject of [undefined, {}, { reference: `Group/${PATIENT_ID}` }, { reference: PATIENT_ID }]) {
      const results = [systolic({ ...quantity(120, 'mm[Hg]'), subject }), glucose(), pain()];
      assert.match(findings(map(results))[0] ?? '', /^impossible Observations: .* not, or not surely, of this patient/);
    }
  });
});

describe('the same patient', () => {
  const BASE = 'https://ehr.test/fhir';
  const withSubject = (reference: string, fhirServer?: string) =>
    map([systolic({ ...quantity(120, 'mm[Hg]'), subject: { reference } }), glucose(), pain()], {
      ...(fhirServer === undefined ? {} : { fhirServer }),
    });

  test('may be named with a version, and in full on the base that the request names', () => {
    for (const reference of ['Patient/p-1/_history/2', `${BASE}/Patient/p-1`, `${BASE}/Patient/p-1/_history/2`]) {
      assert.equal(values(withSubject(reference, BASE))['systolic'], 120, reference);
    }
  });

  test('is not surely the same on another base, or where the request names none', () => {
    for (const found of [
      withSubject('https://other.test/fhir/Patient/p-1', BASE),
      withSubject(`${BASE}/Patient/p-1`),
    ]) {
      assert.match(findings(found)[0] ?? '', /^impossible Observations: .* not, or not surely, of this patient/);
    }
  });
});

describe('what the record system could not read', () => {
  const outcome = (severity: string) => ({
    resourceType: 'OperationOutcome',
    issue: [{ severity, code: 'forbidden', diagnostics: 'secret-text' }],
  });
  const UNREAD = 'the record system says that it could not read all of it';

  test('is missing, all of it at once, and its words stay there', () => {
    assert.deepEqual(findings(map([], { patient: outcome('error') })), [`missing Patient: ${UNREAD}`]);
    assert.deepEqual(findings(map([], { bundle: outcome('error') })), [`missing Observations: ${UNREAD}`]);
    assert.deepEqual(findings(map([], { patient: outcome('fatal'), bundle: outcome('fatal') })), [
      `missing Patient: ${UNREAD}`,
      `missing Observations: ${UNREAD}`,
    ]);
  });

  test('is missing also where it is said beside results, which then may not be all', () => {
    const results = [systolic(), glucose(), pain()];
    for (const severity of ['fatal', 'error', 'warning', 'unheard of']) {
      assert.deepEqual(findings(map([...results, outcome(severity)])), [`missing Observations: ${UNREAD}`], severity);
    }
    assert.deepEqual(findings(map([...results, { resourceType: 'OperationOutcome' }])), [
      `missing Observations: ${UNREAD}`,
    ]);
  });

  test('is not meant by mere information beside the results', () => {
    assert.equal(map([systolic(), glucose(), pain(), outcome('information')]).kind, 'complete');
  });
});

describe('missing input', () => {
  test('every missing input is named, and the others are not hidden behind it', () => {
    assert.deepEqual(findings(map([glucose()], { patient: { ...PATIENT, birthDate: undefined } })), [
      'missing age: the patient has no birth date',
      'missing systolic: no result in the record',
      'missing pain: no result in the record',
    ]);
  });

  test('a birth date of a year or month gives no age, as the age would be a guess', () => {
    for (const birthDate of ['1970', '1970-03', '1970-02-30', 'unknown']) {
      const found = findings(map([systolic(), glucose(), pain()], { patient: { ...PATIENT, birthDate } }));
      assert.deepEqual(found, ['missing age: the birth date is not a full date, so the age is not known exactly']);
    }
  });

  test('age is in completed years', () => {
    const age = (birthDate: string) =>
      values(map([systolic(), glucose(), pain()], { patient: { ...PATIENT, birthDate } }))['age'];
    assert.equal(age('1970-03-15'), 56);
    assert.equal(age('1970-03-16'), 55);
    assert.equal(age('1970-04-01'), 55);
  });

  test('a result older than allowed is missing; one on the last day is not', () => {
    const on = (effectiveDateTime: string) => withSystolic(systolic({ ...quantity(130, 'mm[Hg]'), effectiveDateTime }));
    assert.equal(values(on('2026-02-13T12:00:01Z'))['systolic'], 130);
    assert.deepEqual(findings(on('2026-02-13T11:59:59Z')), [
      'missing systolic: the newest result is older than 30 days (2026-02-13T11:59:59Z)',
    ]);
  });

  test('a result without an exact date is missing', () => {
    for (const effectiveDateTime of [undefined, '2026', '2026-03', '2026-02-30', '2026-03-10T08:00:00', 'soon']) {
      assert.deepEqual(findings(withSystolic(systolic({ ...quantity(130, 'mm[Hg]'), effectiveDateTime }))), [
        'missing systolic: a final result has no exact date',
      ]);
    }
    const undated = systolic({ ...quantity(220, 'mm[Hg]'), effectiveDateTime: '2026-03' });
    assert.deepEqual(findings(withSystolic(systolic(), undated)), [
      'missing systolic: a final result has no exact date',
    ]);
  });

  test('a newer result that is not final is no reason to take the one before it', () => {
    for (const status of ['preliminary', 'registered', 'unknown']) {
      const newer = systolic({ ...quantity(220, 'mm[Hg]'), status, effectiveDateTime: '2026-03-11T08:00:00Z' });
      assert.deepEqual(findings(withSystolic(systolic(), newer)), [
        'missing systolic: the newest result is not, or not surely, final',
      ]);
    }
  });

  test('a result that is not final and has no exact date may be the newest', () => {
    for (const status of ['preliminary', 'registered', 'unknown']) {
      for (const effectiveDateTime of [undefined, '2026', '2026-03', 'soon']) {
        const undated = systolic({ ...quantity(220, 'mm[Hg]'), status, effectiveDateTime });
        assert.deepEqual(findings(withSystolic(systolic(), undated)), [
          'missing systolic: a result that is not final has no exact date',
        ]);
      }
    }
  });

  test('a result that is not final, on the day of one that is dated by the day alone, may be the newest', () => {
    const ofTheDay = systolic({ ...quantity(130, 'mm[Hg]'), effectiveDateTime: '2026-03-10' });
    const pending = (effectiveDateTime: string) =>
      withSystolic(ofTheDay, systolic({ ...quantity(220, 'mm[Hg]'), status: 'preliminary', effectiveDateTime }));
    for (const time of ['2026-03-10T08:00:00Z', '2026-03-10']) {
      assert.deepEqual(findings(pending(time)), ['missing systolic: the newest result is not, or not surely, final']);
    }
    assert.equal(values(pending('2026-03-08T08:00:00Z'))['systolic'], 130);
  });

  test('content that changes the meaning of a resource makes it unusable, whatever it says', () => {
    const modifierExtension = [{ url: 'https://example.org/not', valueBoolean: true }];
    for (const modifier of [{ modifierExtension }, { implicitRules: 'https://example.org/rules' }]) {
      assert.deepEqual(findings(withSystolic(systolic(modifier))), [
        'impossible systolic: a result carries a modifier that is not understood here',
      ]);
      const patient = { ...PATIENT, ...modifier };
      assert.match(findings(map([], { patient })).join(), /^impossible .*modifier that is not understood/);
    }
  });

  test('nobody who has died gets a risk', () => {
    for (const died of [{ deceasedBoolean: true }, { deceasedDateTime: '2026-03-01' }]) {
      assert.match(findings(map([], { patient: { ...PATIENT, ...died } })).join(), /has died/);
    }
    assert.equal(
      values(map([systolic(), glucose(), pain()], { patient: { ...PATIENT, deceasedBoolean: false } }))['systolic'],
      141,
    );
  });

  test('an absent value is missing, with an older one at hand', () => {
    const absent = systolic({ dataAbsentReason: { coding: [{ code: 'unknown' }] }, effectiveDateTime: '2026-03-12' });
    assert.deepEqual(findings(withSystolic(systolic(), absent)), [
      'missing systolic: the record says it was not obtained',
    ]);
    assert.deepEqual(findings(withSystolic(systolic({}))), ['missing systolic: the result has no value']);
  });

  test('only a preliminary result is no result', () => {
    assert.deepEqual(findings(withSystolic(systolic({ ...quantity(130, 'mm[Hg]'), status: 'preliminary' }))), [
      'missing systolic: no final result in the record',
    ]);
  });

  test('sex unknown is missing; sex other than the model knows is not usable', () => {
    const sex = (gender: unknown) =>
      findings(map([systolic(), glucose(), pain()], { patient: { ...PATIENT, gender } }));
    assert.deepEqual(sex(undefined), ['missing sex: not known in the record']);
    assert.deepEqual(sex('unknown'), ['missing sex: not known in the record']);
    assert.deepEqual(sex('other'), ['impossible sex: the model was trained on female and male patients only']);
  });

  test('the first page of several is not the record', () => {
    const paged = { link: [{ relation: 'self' }, { relation: 'next' }] };
    const results = [systolic(), glucose(), pain()];
    for (const rest of [paged, { total: 4 }]) {
      assert.deepEqual(findings(map([], { bundle: bundle(results, rest) })), [
        'missing Observations: the record sent only the first page of the results',
      ]);
    }
    assert.equal(map([], { bundle: bundle(results, { total: 3 }) }).kind, 'complete');
  });

  test('null means that the record has no data', () => {
    assert.deepEqual(findings(map([], { patient: null })), ['missing Patient: the record sent no patient']);
    assert.equal(findings(map([], { bundle: null })).length, 3);
  });
});

describe('impossible input', () => {
  const impossible = (rest: Json) => findings(withSystolic(systolic(rest)));

  test('a unit that was not declared is not converted by a guess', () => {
    const units: Json[] = [
      quantity(130, 'cm[Hg]'),
      quantity(130, 'mmHg'),
      { valueQuantity: { value: 130, unit: 'mm[Hg]' } },
      { valueQuantity: { value: 130, unit: 'mm[Hg]', system: LOCAL, code: 'mm[Hg]' } },
      { valueQuantity: { value: 130 } },
    ];
    for (const rest of units) {
      assert.deepEqual(impossible(rest), [
        'impossible systolic: unit not accepted: the result needs a UCUM unit (mm[Hg], kPa)',
      ]);
    }
  });

  test('a value outside the range of the source or of the dataset is impossible, after conversion', () => {
    assert.deepEqual(impossible(quantity(1300, 'mm[Hg]')), [
      'impossible systolic: 1300 mm[Hg] is outside 50 to 300 mm[Hg]',
    ]);
    assert.deepEqual(impossible(quantity(0, 'mm[Hg]')), ['impossible systolic: 0 mm[Hg] is outside 50 to 300 mm[Hg]']);
    assert.deepEqual(impossible(quantity(141, 'kPa')), ['impossible systolic: 141 kPa is outside 50 to 300 mm[Hg]']);
    assert.deepEqual(impossible(quantity(290, 'mm[Hg]')), [
      'impossible systolic: 290 mm[Hg] is outside 0 to 280 mm[Hg]',
    ]);
  });

  test('a bound is not a value', () => {
    for (const comparator of ['<', '<=', '>', '>=', 'ad']) {
      assert.match(
        impossible(quantity(130, 'mm[Hg]', { comparator }))[0] ?? '',
        /^impossible systolic: .*only a bound/,
      );
    }
  });

  test('a result from the future is an error of the record', () => {
    const future = { ...quantity(130, 'mm[Hg]'), effectiveDateTime: '2026-03-15T12:06:00Z' };
    assert.match(impossible(future)[0] ?? '', /dated in the future/);
    assert.equal(
      values(withSystolic(systolic({ ...future, effectiveDateTime: '2026-03-15T12:04:00Z' })))['systolic'],
      130,
    );
  });

  test('a result dated today is not from the future, wherever the day has begun', () => {
    const today = { ...quantity(130, 'mm[Hg]'), effectiveDateTime: '2026-03-15' };
    assert.equal(values(withSystolic(systolic(today)))['systolic'], 130);
  });

  test('two results that may both be the newest must agree', () => {
    const morning = systolic({ ...quantity(150, 'mm[Hg]'), effectiveDateTime: '2026-03-10' });
    const exact = systolic({ ...quantity(120, 'mm[Hg]'), effectiveDateTime: '2026-03-10T08:00:00Z' });
    assert.match(findings(withSystolic(morning, exact))[0] ?? '', /several results that disagree/);
    assert.match(findings(withSystolic(exact, morning))[0] ?? '', /several results that disagree/);
  });

  test('a coded finding the model does not know, or two at once, is not turned into one it knows', () => {
    const coded = (...codes: string[]) =>
      findings(
        map([
          systolic(),
          glucose(),
          observation(LOCAL, 'pain', {
            valueCodeableConcept: { coding: codes.map((code) => ({ system: LOCAL, code })) },
          }),
        ]),
      );
    assert.match(coded('stabbing')[0] ?? '', /^impossible pain: the result is not one of the findings/);
    assert.match(coded('typical-angina', 'no-pain')[0] ?? '', /coded as two different findings/);
  });

  test('a birth date in the future or an age outside the dataset is impossible', () => {
    const age = (birthDate: string) =>
      findings(map([systolic(), glucose(), pain()], { patient: { ...PATIENT, birthDate } }));
    assert.deepEqual(age('2026-03-16'), ['impossible age: the birth date is in the future']);
    assert.deepEqual(age('2020-01-01'), ['impossible age: 6 years is outside 18 to 110']);
  });
});

describe('requests that are not FHIR', () => {
  test('a prefetch key that was not sent is named', () => {
    for (const prefetch of [undefined, {}, { patient: PATIENT }]) {
      assert.throws(
        () => mapInputs({ patientId: PATIENT_ID, prefetch, inputs: INPUTS, schema: SCHEMA, now: NOW }),
        (error) => error instanceof AppError && error.code === 'input.prefetch-missing' && error.httpStatus === 412,
      );
    }
  });

  test('other resources than those asked for are refused, without quoting them', () => {
    const wrong: [unknown, unknown][] = [
      [{ resourceType: 'Practitioner', id: 'secret-name' }, bundle([])],
      [PATIENT, PATIENT],
      [PATIENT, { ...bundle([]), type: 'transaction' }],
      [PATIENT, bundle([systolic(quantity(Number.NaN, 'secret-name'))])],
      [PATIENT, bundle([{ ...systolic(), status: 3 }])],
      ['secret-name', bundle([])],
    ];
    for (const [patient, observations] of wrong) {
      assert.throws(
        () => map([], { patient, bundle: observations }),
        (error) =>
          error instanceof AppError && error.code === 'input.invalid' && !error.message.includes('secret-name'),
      );
    }
  });

  test('a resource that is not readable is named by its place in the request', () => {
    const { status, ...withoutStatus } = systolic();
    const wrong: [unknown, unknown, string][] = [
      [PATIENT, bundle([systolic(), { ...systolic(), code: 'x' }]), '/prefetch/observations/entry/1/resource/code'],
      [PATIENT, bundle([systolic(), systolic(), withoutStatus]), '/prefetch/observations/entry/2/resource/status'],
      [PATIENT, { ...bundle([]), type: 'batch' }, '/prefetch/observations/type'],
      [{ ...PATIENT, birthDate: 7 }, bundle([]), '/prefetch/patient/birthDate'],
    ];
    for (const [patient, observations, field] of wrong)
      assert.throws(() => map([], { patient, bundle: observations }), { code: 'input.invalid', field });
  });

  test('a model that reads the patient alone needs no observations', () => {
    const inputs = INPUTS.slice(0, 2);
    const mapped = mapInputs({
      patientId: PATIENT_ID,
      prefetch: { patient: PATIENT },
      inputs,
      schema: SCHEMA,
      now: NOW,
    });
    assert.deepEqual(values(mapped), { age: 55, sex: '0' });
  });
});

describe('hostile FHIR', () => {
  const anything = fc.anything({ withNullPrototype: true, maxDepth: 4 });
  const member = (name: string) => ({ [name]: fc.option(anything, { nil: undefined }) });
  const hostileObservation = fc.record({
    resourceType: fc.constant('Observation'),
    status: fc.oneof(fc.constantFrom('final', 'amended', 'cancelled'), anything),
    code: fc.oneof(fc.constant({ coding: [{ system: LOINC, code: '8480-6' }] }), anything),
    subject: fc.oneof(fc.constant({ reference: `Patient/${PATIENT_ID}` }), anything),
    effectiveDateTime: fc.oneof(fc.constantFrom('2026-03-10', '2026-03-10T08:00:00Z', '9999-99-99'), anything),
    valueQuantity: fc.oneof(
      fc.record({ value: fc.oneof(fc.double(), anything), system: fc.constant(UCUM), code: fc.constant('mm[Hg]') }),
      anything,
    ),
    ...member('component'),
    ...member('dataAbsentReason'),
  });

  test('never throws anything but AppError, and never maps less than every input', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constant(PATIENT), anything),
        fc.oneof(fc.array(fc.oneof(hostileObservation, anything), { maxLength: 6 }), anything),
        (patient, entries) => {
          const list = Array.isArray(entries) ? entries.map((resource: unknown) => ({ resource })) : entries;
          try {
            const observations = { resourceType: 'Bundle', type: 'searchset', entry: list };
            assert.equal(map([], { patient, bundle: observations }).kind, 'incomplete');
          } catch (error) {
            assert.ok(error instanceof AppError && error.code === 'input.invalid', String(error));
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('a record that lacks any one input, or spoils it, gives no complete mapping', () => {
    const results = [systolic(), glucose(), pain()];
    const spoils: ((result: Json) => Json | undefined)[] = [
      () => undefined,
      (result) => ({ ...result, status: 'entered-in-error' }),
      (result) => ({ ...result, code: { coding: [{ system: LOINC, code: '0-0' }] } }),
      (result) => ({ ...result, effectiveDateTime: '2020-01-01' }),
      (result) => ({ ...result, effectiveDateTime: '2030-01-01' }),
      (result) => ({ ...result, subject: { reference: 'Patient/other' } }),
      (result) => ({ ...result, dataAbsentReason: {} }),
      (result) => ({ ...result, valueQuantity: undefined, valueCodeableConcept: undefined }),
    ];
    fc.assert(
      fc.property(fc.nat(results.length - 1), fc.constantFrom(...spoils), (which, spoil) => {
        const spoiled = (result: Json): Json[] => {
          const changed = spoil(result);
          return changed === undefined ? [] : [changed];
        };
        const record = results.flatMap((result, index) => (index === which ? spoiled(result) : [result]));
        assert.equal(map(record).kind, 'incomplete');
      }),
    );
  });

  test('text of the record never comes back in a finding', () => {
    const mark = '<script>alert(1)</script>';
    fc.assert(
      fc.property(
        fc.constantFrom('comparator', 'code', 'unit', 'system'),
        fc.constantFrom('effectiveDateTime', 'status'),
        (inQuantity, inObservation) => {
          const hostile = systolic({ ...quantity(130, 'mm[Hg]', { [inQuantity]: mark }) });
          assert.ok(!JSON.stringify(withSystolic(hostile)).includes('script'));
          assert.ok(!JSON.stringify(withSystolic({ ...systolic(), [inObservation]: mark })).includes('script'));
        },
      ),
    );
  });

  test('members named like those of Object.prototype are data', () => {
    const prefetch: unknown = JSON.parse('{"__proto__": {"patient": {}, "observations": {}}}');
    assert.throws(
      () =>
        mapInputs({
          patientId: PATIENT_ID,
          prefetch: prefetch as Record<string, unknown>,
          inputs: INPUTS,
          schema: SCHEMA,
          now: NOW,
        }),
      (error) => error instanceof AppError && error.code === 'input.prefetch-missing',
    );
  });
});
