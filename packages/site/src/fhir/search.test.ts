import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestFhir, type TestFhir } from '../../test/fhir-harness.ts';

let fhir: TestFhir;

const LOINC = 'http://loinc.org';
const RESOURCES = [
  { resourceType: 'Organization', id: 'org', name: 'Ward' },
  {
    resourceType: 'Patient',
    id: 'ann',
    name: [{ family: 'Müller', given: ['Ann', 'Zoë'] }],
    gender: 'female',
    birthDate: '1974-12-25',
    identifier: [{ system: 'http://nhs.uk/number', value: '943 476 5919' }, { value: 'bare' }],
    managingOrganization: { reference: 'Organization/org' },
    telecom: [{ system: 'phone', value: '0123' }],
  },
  {
    resourceType: 'Patient',
    id: 'bob',
    name: [{ family: 'Smith, Jr', given: ['Bob'] }],
    gender: 'male',
    birthDate: '1990',
    deceasedDateTime: '2020-01-01',
  },
  { resourceType: 'Patient', id: 'cyd', name: [{ family: 'Smithson' }] },
  observation('o1', 'ann', { value: 80, code: 'mg/dL' }, '2020-05-01T10:00:00Z'),
  observation('o2', 'ann', { value: 0.9, code: 'g/L' }, '2020-06'),
  observation('o3', 'bob', { value: 5.4, code: 'mmol/L' }, '2021-01-01'),
  { ...observation('o4', 'bob', undefined, undefined), status: 'preliminary' },
  {
    resourceType: 'Condition',
    id: 'c1',
    subject: { reference: 'Patient/bob' },
    code: { coding: [{ system: 'http://snomed.info/sct', code: '44054006' }] },
    onsetPeriod: { start: '2019-03-01', end: '2019-09-01' },
  },
];

function observation(
  id: string,
  subject: string,
  value: { value: number; code: string } | undefined,
  date: string | undefined,
) {
  return {
    resourceType: 'Observation',
    id,
    status: 'final',
    code: { coding: [{ system: LOINC, code: '2339-0' }] },
    subject: { reference: `Patient/${subject}`, identifier: { system: 'http://nhs.uk/number', value: subject } },
    ...(value === undefined
      ? {}
      : { valueQuantity: { ...value, unit: value.code, system: 'http://unitsofmeasure.org' } }),
    ...(date === undefined ? {} : { effectiveDateTime: date }),
  };
}

before(async () => {
  fhir = await startTestFhir('fhir-search');
  for (const resource of RESOURCES) {
    const { status, text } = await fhir.ask('PUT', `/${resource.resourceType}/${resource.id}`, { body: resource });
    assert.equal(status, 201, text);
  }
});
after(() => fhir?.close());

async function idsOf(where: string): Promise<string[]> {
  const { status, text } = await fhir.ask('GET', where);
  assert.equal(status, 200, `${where}: ${text}`);
  return (JSON.parse(text).entry ?? []).map(({ resource }: { resource: { id: string } }) => resource.id);
}

describe('a search', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['/Patient?name=muller', ['ann']],
    ['/Patient?name:exact=Müller', ['ann']],
    ['/Patient?name:exact=muller', []],
    ['/Patient?family:contains=mith', ['bob', 'cyd']],
    ['/Patient?family=Smith\\, Jr', ['bob']],
    ['/Patient?given=zoe,bob', ['ann', 'bob']],
    ['/Patient?gender=female', ['ann']],
    ['/Patient?gender=http://hl7.org/fhir/administrative-gender|female', ['ann']],
    ['/Patient?gender:not=female', ['bob', 'cyd']],
    ['/Patient?gender:missing=true', ['cyd']],
    ['/Patient?gender:missing=false', ['ann', 'bob']],
    ['/Patient?identifier=http://nhs.uk/number|943 476 5919', ['ann']],
    ['/Patient?identifier=|bare', ['ann']],
    ['/Patient?identifier=http://nhs.uk/number|', ['ann']],
    ['/Patient?identifier=http://elsewhere|bare', []],
    ['/Patient?phone=0123', ['ann']],
    ['/Patient?deceased=true', ['bob']],
    ['/Patient?deceased=false', ['ann', 'cyd']],
    ['/Patient?birthdate=1974-12', ['ann']],
    ['/Patient?birthdate=1990-06-01', []],
    ['/Patient?birthdate=lt1980', ['ann']],
    ['/Patient?birthdate=ge1990', ['bob']],
    ['/Patient?birthdate=ne1990', ['ann']],
    ['/Patient?_id=ann,cyd', ['ann', 'cyd']],
    ['/Patient?organization.name=war', ['ann']],
    ['/Patient?organization=org&name=ann', ['ann']],
    ['/Patient?_has:Observation:patient:code=2339-0', ['ann', 'bob']],
    ['/Patient?_has:Observation:patient:status=preliminary', ['bob']],
    ['/Patient?_has:Condition:subject:code=44054006&gender=male', ['bob']],
    ['/Observation?patient=ann', ['o1', 'o2']],
    ['/Observation?subject=Patient/bob', ['o3', 'o4']],
    ['/Observation?subject:Patient=bob', ['o3', 'o4']],
    ['/Observation?patient:identifier=http://nhs.uk/number|ann', ['o1', 'o2']],
    ['/Observation?subject:Patient.birthdate=gt1980', ['o3', 'o4']],
    ['/Observation?patient.gender=female&status=final', ['o1', 'o2']],
    [`/Observation?code=${LOINC}|2339-0&status=preliminary`, ['o4']],
    ['/Observation?value-quantity=80|http://unitsofmeasure.org|mg/dL', ['o1']],
    ['/Observation?value-quantity=gt0.7|http://unitsofmeasure.org|g/L', ['o1', 'o2']],
    ['/Observation?value-quantity=le0.8|http://unitsofmeasure.org|g/L', ['o1']],
    ['/Observation?value-quantity=5||mmol/L', ['o3']],
    ['/Observation?value-quantity=5.5||mmol/L', []],
    ['/Observation?value-quantity=lt1', ['o2']],
    ['/Observation?date=2020-06-15', []],
    ['/Observation?date=2020', ['o1', 'o2']],
    ['/Observation?date=gt2020-06', ['o3']],
    ['/Observation?date=ge2020-06', ['o2', 'o3']],
    ['/Observation?date=sa2020-06', ['o3']],
    ['/Observation?date=eb2020-06', ['o1']],
    ['/Observation?date=le2020-05-01T10:00:00Z', ['o1']],
    ['/Observation?date:missing=true', ['o4']],
    ['/Observation?_sort=date', ['o1', 'o2', 'o3', 'o4']],
    ['/Observation?_sort=-date', ['o3', 'o2', 'o1', 'o4']],
    ['/Observation?_sort=-date&date=lt2021', ['o2', 'o1']],
    ['/Observation?_sort=-date&date=eq2020-06,eq2021', ['o3', 'o2']],
    ['/Observation?_sort=date&date=ge2020-06', ['o2', 'o3']],
    ['/Organization?_has:Patient:organization:_id=ann', ['org']],
    ['/Organization?_has:Patient:organization:_has:Observation:patient:status=final', ['org']],
    ['/Condition?onset-date=2019', ['c1']],
    ['/Condition?onset-date=2019-05', []],
    ['/Condition?onset-date=ap2019-05', ['c1']],
    ['/Patient?_sort=-family', ['cyd', 'bob', 'ann']],
    ['/Observation?_lastUpdated=gt2020&_sort=-_lastUpdated&_count=2', ['o4', 'o3']],
  ];
  for (const [where, ids] of cases) {
    it(`finds by ${where}`, async () => {
      const found = await idsOf(where);
      assert.deepEqual(where.includes('_sort') ? found : found.sort(), ids);
    });
  }

  it('is refused where anything in it is not understood', async () => {
    for (const where of [
      '/Patient?unknown=1',
      '/Patient?name:phonetic=x',
      '/Patient?birthdate=yesterday',
      '/Patient?birthdate:exact=2000',
      '/Patient?_sort=a,b',
      '/Patient?_text=x',
      '/Observation?code-value-quantity=a$b',
      '/Observation?code:text=x',
      '/Patient?gender=',
      '/Patient?name=a%00b',
      '/Observation?subject.nothing=1',
      '/Patient?_has:Observation:status:code=1',
      '/Patient?_include=Patient:name',
      '/Patient?_summary=text',
      '/Patient?_count=x',
    ]) {
      const { status, text } = await fhir.ask('GET', where);
      assert.equal(status, 400, `${where}: ${text}`);
      assert.equal(JSON.parse(text).resourceType, 'OperationOutcome');
    }
  });

  it('takes the first and the last days that a calendar of four digits has', async () => {
    for (const where of ['/Patient?birthdate=9999-12-31', '/Patient?birthdate=gt9999', '/Patient?birthdate=lt0001']) {
      const { status, text } = await fhir.ask('GET', where);
      assert.equal(status, 200, `${where}: ${text}`);
      assert.equal(JSON.parse(text).entry?.length ?? 0, 0, where);
    }
  });

  it('is not misled by signs of SQL', async () => {
    for (const value of ["x' or '1'='1", '%', '_', '\\', '$1', '"; drop table fhir_resource; --']) {
      assert.deepEqual(await idsOf(`/Patient?name=${encodeURIComponent(value)}`), []);
    }
    assert.equal((await idsOf('/Patient')).length, 3);
  });

  it('by POST finds the same', async () => {
    const { text } = await fhir.ask('POST', '/Patient/_search', {
      body: 'name=muller',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    assert.equal(JSON.parse(text).entry[0].resource.id, 'ann');
  });

  it('brings what matches refer to, and what refers to them', async () => {
    assert.deepEqual(
      await idsOf('/Observation?_id=o1&_include=Observation:patient&_include:iterate=Patient:organization'),
      ['o1', 'ann', 'org'],
    );
    assert.deepEqual(
      (await idsOf('/Patient?_id=bob&_revinclude=Observation:subject&_revinclude=Condition:patient')).sort(),
      ['bob', 'c1', 'o3', 'o4'],
    );
    const { entry } = JSON.parse((await fhir.ask('GET', '/Observation?_id=o1&_include=Observation:patient')).text);
    assert.deepEqual(
      entry.map(({ search }: { search: { mode: string } }) => search.mode),
      ['match', 'include'],
    );
  });

  it('counts, and shows only the elements that are asked for', async () => {
    assert.equal(JSON.parse((await fhir.ask('GET', '/Observation?_summary=count')).text).total, 4);
    const { total, entry } = JSON.parse(
      (await fhir.ask('GET', '/Patient?_total=accurate&_id=ann&_elements=gender')).text,
    );
    assert.equal(total, 1);
    assert.deepEqual(Object.keys(entry[0].resource).sort(), ['gender', 'id', 'meta', 'resourceType']);
  });

  for (const sort of ['', '&_sort=-date', '&_sort=date', '&_sort=_id']) {
    it(`gives each match once over its pages, whatever is added meanwhile (${sort})`, async () => {
      const seen: string[] = [];
      let next: string | undefined = `/Observation?code=2339-0&_count=1${sort}`;
      for (let page = 0; next !== undefined; page += 1) {
        const { link, entry = [] } = JSON.parse((await fhir.ask('GET', next)).text);
        seen.push(...entry.map(({ resource }: { resource: { id: string } }) => resource.id));
        next = link.find(({ relation }: { relation: string }) => relation === 'next')?.url;
        const added = `a${sort.length}-${page}`;
        const body = { ...observation(added, 'cyd', undefined, undefined), code: { coding: [{ code: 'other' }] } };
        await fhir.ask('PUT', `/Observation/${added}`, { body });
      }
      assert.deepEqual(seen.sort(), ['o1', 'o2', 'o3', 'o4']);
    });
  }

  it('forgets what a resource was found by when it changes or goes', async () => {
    await fhir.ask('PUT', '/Patient/dee', {
      body: { resourceType: 'Patient', id: 'dee', name: [{ family: 'Before' }] },
    });
    await fhir.ask('PUT', '/Patient/dee', {
      body: { resourceType: 'Patient', id: 'dee', name: [{ family: 'Later' }] },
    });
    assert.deepEqual(await idsOf('/Patient?family=before'), []);
    assert.deepEqual(await idsOf('/Patient?family=later'), ['dee']);
    await fhir.ask('DELETE', '/Patient/dee');
    assert.deepEqual(await idsOf('/Patient?family=later'), []);
    const { rows } = await fhir.database.pool.query(
      "select count(*)::int as count from fhir_string where folded in ('before', 'later')",
    );
    assert.equal(rows[0].count, 0);
  });
});
