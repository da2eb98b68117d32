import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestFhir, type TestFhir } from '../../test/fhir-harness.ts';

let fhir: TestFhir;
before(async () => {
  fhir = await startTestFhir('fhir-interactions');
});
after(() => fhir?.close());

const patient = (more: object = {}) => ({
  resourceType: 'Patient',
  gender: 'female',
  birthDate: '1974-12-25',
  ...more,
});

async function created(resource: { readonly resourceType: string }): Promise<string> {
  const { status, text } = await fhir.ask('POST', `/${resource.resourceType}`, { body: resource });
  assert.equal(status, 201, text);
  return JSON.parse(text).id;
}

describe('a resource', () => {
  it('is made under an id of the server, read, changed, deleted, and its versions stay', async () => {
    const made = await fhir.ask('POST', '/Patient', { body: patient({ id: 'not-kept' }) });
    assert.equal(made.status, 201);
    assert.equal(made.headers.get('etag'), 'W/"1"');
    const { id } = JSON.parse(made.text);
    assert.notEqual(id, 'not-kept');
    assert.equal(made.headers.get('location'), `${fhir.url}/fhir/Patient/${id}/_history/1`);

    const changed = await fhir.ask('PUT', `/Patient/${id}`, { body: patient({ id, birthDate: '1975-01-01' }) });
    assert.equal(changed.status, 200);
    assert.equal(changed.headers.get('etag'), 'W/"2"');
    assert.equal((await fhir.ask('DELETE', `/Patient/${id}`)).status, 204);
    assert.equal((await fhir.ask('GET', `/Patient/${id}`)).status, 410);
    assert.equal(JSON.parse((await fhir.ask('GET', `/Patient/${id}/_history/1`)).text).birthDate, '1974-12-25');

    const history = JSON.parse((await fhir.ask('GET', `/Patient/${id}/_history`)).text);
    assert.deepEqual(
      history.entry.map((entry: { request: { method: string } }) => entry.request.method),
      ['DELETE', 'PUT', 'POST'],
    );
    assert.equal(JSON.parse((await fhir.ask('GET', `/Patient?_id=${id}`)).text).entry, undefined);
    assert.equal((await fhir.ask('PUT', `/Patient/${id}`, { body: patient({ id }) })).headers.get('etag'), 'W/"4"');
  });

  it('keeps the digits of its decimals and integers beyond 2^53', async () => {
    const body =
      '{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.10},' +
      '"extension":[{"url":"http://example.org/exact","valueDecimal":12345678901234567890.120},{"url":"http://example.org/e","valueDecimal":1.0E-7}]}';
    const { text } = await fhir.ask('POST', '/Observation', { body });
    const again = await fhir.ask('GET', `/Observation/${JSON.parse(text).id}`);
    for (const number of ['"value":1.10}', '12345678901234567890.120', '1.0E-7']) {
      assert.ok(again.text.includes(number), `${number} is not in ${again.text}`);
    }
  });

  it('is put twice without a second version', async () => {
    const body = patient({ id: 'same-again' });
    assert.equal((await fhir.ask('PUT', '/Patient/same-again', { body })).status, 201);
    assert.equal((await fhir.ask('PUT', '/Patient/same-again', { body })).headers.get('etag'), 'W/"1"');
  });

  it('is refused with the element and the rule, never with the value', async () => {
    const body = patient({ gender: 'Secret-Gender', birthDate: '1974-02-30', contact: [{ name: 7 }], surprise: 1 });
    const { status, text } = await fhir.ask('POST', '/Patient', { body });
    assert.equal(status, 422);
    const { issue } = JSON.parse(text);
    const found = issue.map(
      ({ code, expression }: { code: string; expression: string[] }) => `${code} ${expression[0]}`,
    );
    assert.deepEqual(
      found.sort(),
      [
        'code-invalid Patient.gender',
        'invariant Patient.contact[0]',
        'structure Patient.contact[0].name',
        'structure Patient.surprise',
        'value Patient.birthDate',
      ].filter((line) => found.includes(line)),
    );
    assert.ok(found.length >= 4);
    assert.doesNotMatch(text, /Secret-Gender|1974-02-30/);
  });

  it('of a type, an id or a syntax that does not exist is refused in words', async () => {
    for (const [method, where, body, status] of [
      ['GET', '/Nothing/1', undefined, 404],
      ['GET', '/Patient/never', undefined, 404],
      ['POST', '/Patient', '{"resourceType":"Patient"', 400],
      ['POST', '/Patient', '{"resourceType":"Patient","id":"a","id":"b"}', 400],
      ['POST', '/Patient', `{"resourceType":"Patient","extension":${'['.repeat(100)}${']'.repeat(100)}}`, 413],
      ['POST', '/Patient', { resourceType: 'Observation' }, 400],
      ['PUT', '/Patient/a', patient({ id: 'b' }), 400],
    ] as const) {
      const reply = await fhir.ask(method, where, { body });
      assert.equal(reply.status, status, `${method} ${where}: ${reply.text}`);
      assert.equal(JSON.parse(reply.text).resourceType, 'OperationOutcome');
    }
  });

  it('is changed by exactly one of many who name the same version', async () => {
    const id = await created(patient());
    const replies = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        fhir.ask('PUT', `/Patient/${id}`, {
          body: patient({ id, multipleBirthInteger: index + 1 }),
          headers: { 'if-match': 'W/"1"' },
        }),
      ),
    );
    const counts = Map.groupBy(replies, ({ status }) => status);
    assert.equal(counts.get(200)?.length, 1);
    assert.equal(counts.get(412)?.length, 11);
  });

  it('is made once by many who ask on the same condition', async () => {
    const identifier = [{ system: 'http://example.org/mrn', value: 'once-only' }];
    const replies = await Promise.all(
      Array.from({ length: 8 }, () =>
        fhir.ask('POST', '/Patient', {
          body: patient({ identifier }),
          headers: { 'if-none-exist': 'identifier=http://example.org/mrn|once-only' },
        }),
      ),
    );
    assert.equal(replies.filter(({ status }) => status === 201).length, 1);
    assert.equal(replies.filter(({ status }) => status === 200).length, 7);
  });

  it('is not made under one id by two at once: the second one is its next version', async () => {
    const replies = await Promise.all(
      ['male', 'female', 'other'].map((gender) =>
        fhir.ask('PUT', '/Patient/raced', { body: patient({ id: 'raced', gender }) }),
      ),
    );
    assert.deepEqual(replies.map(({ status }) => status).sort(), [200, 200, 201]);
    assert.equal((await fhir.ask('GET', '/Patient/raced')).headers.get('etag'), 'W/"3"');
  });
});

describe('odd input', () => {
  it('that is too large, or no UTF-8, is refused and the connection goes on', async () => {
    const huge = `{"resourceType":"Patient","name":[{"family":"${'x'.repeat(33 * 1024 * 1024)}"}]}`;
    assert.equal((await fhir.ask('POST', '/Patient', { body: huge })).status, 413);
    const response = await fetch(`${fhir.url}/fhir/Patient`, {
      method: 'POST',
      headers: { authorization: `Bearer ${fhir.token}`, 'content-type': 'application/fhir+json' },
      body: new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]),
    });
    assert.equal(response.status, 400);
    assert.equal((await fhir.ask('GET', '/metadata')).status, 200);
  });

  it('of two patients with one number: both are kept, and nothing is done to one of them by that number', async () => {
    const identifier = [{ system: 'http://example.org/mrn', value: 'shared' }];
    const ids = [await created(patient({ identifier })), await created(patient({ identifier }))];
    const where = '/Patient?identifier=http://example.org/mrn|shared';
    const found = JSON.parse((await fhir.ask('GET', where)).text).entry;
    assert.deepEqual(found.map(({ resource }: { resource: { id: string } }) => resource.id).sort(), ids.sort());
    assert.equal((await fhir.ask('DELETE', where)).status, 412);
    assert.equal((await fhir.ask('PUT', where, { body: patient({ identifier }) })).status, 412);
    const headers = { 'if-none-exist': 'identifier=http://example.org/mrn|shared' };
    assert.equal((await fhir.ask('POST', '/Patient', { body: patient({ identifier }), headers })).status, 412);
  });

  it('of a unit that is none: kept as it is, found by its number and its text', async () => {
    const valueQuantity = { value: 12.5, unit: 'bananas', system: 'http://unitsofmeasure.org', code: '{{mg//' };
    const id = await created({
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      valueQuantity,
    } as never);
    for (const value of ['12.5', '12.5||bananas', '12.5|http://unitsofmeasure.org|{{mg//']) {
      const { text } = await fhir.ask('GET', `/Observation?value-quantity=${encodeURIComponent(value)}`);
      assert.equal(JSON.parse(text).entry?.[0]?.resource.id, id, value);
    }
  });
});

describe('a transaction', () => {
  const uuid = (digit: number) => `urn:uuid:00000000-0000-4000-8000-00000000000${digit}`;
  const post = (fullUrl: string, resource: object & { resourceType: string }) => ({
    fullUrl,
    resource,
    request: { method: 'POST', url: resource.resourceType },
  });
  const send = (entry: object[], type = 'transaction') =>
    fhir.ask('POST', '', { body: { resourceType: 'Bundle', type, entry } });

  it('resolves references between its entries, circles too', async () => {
    const one = { resourceType: 'Patient', link: [{ other: { reference: uuid(2) }, type: 'seealso' }] };
    const two = { resourceType: 'Patient', link: [{ other: { reference: uuid(1) }, type: 'seealso' }] };
    const { status, text } = await send([post(uuid(1), one), post(uuid(2), two)]);
    assert.equal(status, 200, text);
    const [first, second] = JSON.parse(text).entry.map(
      ({ response }: { response: { location: string } }) => response.location.split('/')[1],
    );
    const { link } = JSON.parse((await fhir.ask('GET', `/Patient/${first}`)).text);
    assert.equal(link[0].other.reference, `Patient/${second}`);
  });

  it('stores nothing where one entry is wrong, and says which', async () => {
    const identifier = [{ system: 'http://example.org/mrn', value: 'half-done' }];
    const bad = { resourceType: 'Observation', status: 'no-such-status', code: { text: 'x' } };
    const { status, text } = await send([post(uuid(1), patient({ identifier })), post(uuid(2), bad)]);
    assert.equal(status, 422);
    assert.equal(JSON.parse(text).issue[0].expression[0], 'Bundle.entry[1].resource.status');
    const { text: found } = await fhir.ask('GET', '/Patient?identifier=half-done&_summary=count');
    assert.equal(JSON.parse(found).total, 0);
  });

  it('refuses a reference to an entry that it does not have', async () => {
    const observation = {
      resourceType: 'Observation',
      status: 'final',
      code: { text: 'x' },
      subject: { reference: uuid(9) },
    };
    assert.equal((await send([post(uuid(1), observation)])).status, 400);
  });

  it('finds what conditional references name', async () => {
    const id = await created(patient({ identifier: [{ system: 'http://example.org/mrn', value: 'cond-ref' }] }));
    const subject = { reference: 'Patient?identifier=http://example.org/mrn|cond-ref' };
    const { text } = await send([
      post(uuid(1), { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject } as never),
    ]);
    const [, observation] = JSON.parse(text).entry[0].response.location.split('/');
    assert.equal(
      JSON.parse((await fhir.ask('GET', `/Observation/${observation}`)).text).subject.reference,
      `Patient/${id}`,
    );
  });

  it('as a batch does what it can, entry by entry', async () => {
    const { text } = await send(
      [
        post(uuid(1), patient()),
        post(uuid(2), { resourceType: 'Observation' }),
        { request: { method: 'GET', url: 'Patient/never' } },
      ],
      'batch',
    );
    const statuses = JSON.parse(text).entry.map(({ response }: { response: { status: string } }) => response.status);
    assert.deepEqual(statuses, ['201', '422', '404']);
  });
});

describe('operations', () => {
  it('validate without storing', async () => {
    const { status, text } = await fhir.ask('POST', '/Patient/$validate', { body: patient({ gender: 'wrong' }) });
    assert.equal(status, 200);
    assert.equal(JSON.parse(text).issue[0].expression[0], 'Patient.gender');
  });

  it('say what the server can do from its tables', async () => {
    const { status, text } = await fhir.ask('GET', '/metadata');
    const { rest } = JSON.parse(text);
    assert.equal(status, 200);
    assert.equal(rest[0].resource.length, 146);
    const observation = rest[0].resource.find(({ type }: { type: string }) => type === 'Observation');
    const codes = observation.searchParam.map(({ name }: { name: string }) => name);
    assert.ok(codes.includes('value-quantity'));
    assert.ok(!codes.includes('code-value-quantity'), 'composite parameters are not supported');
  });

  it('give all of a patient, and nothing of another', async () => {
    const [own, other] = [await created(patient()), await created(patient())];
    const observe = (id: string) =>
      created({
        resourceType: 'Observation',
        status: 'final',
        code: { text: 'x' },
        subject: { reference: `Patient/${id}` },
      } as never);
    const mine = [await observe(own), await observe(own)];
    await observe(other);
    const { entry } = JSON.parse((await fhir.ask('GET', `/Patient/${own}/$everything`)).text);
    assert.deepEqual(
      entry.map(({ resource }: { resource: { id: string } }) => resource.id).sort(),
      [own, ...mine].sort(),
    );
  });
});
