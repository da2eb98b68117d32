/**
 * The mapping to FHIR by HL7's tables: the seven messages of fixtures/hl7v2 always, all of the shared data when LANTERN_DATA_DIR names
 * it: each is mapped, what comes out is R4 as HL7's own definitions have it, and agrees with another converter as far as is said.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { type MappedMessage, mapMessage } from '../src/v2/mapping/message-mapping.ts';
import { parseMessage } from '../src/v2/message.ts';
import { splitMessages } from '../src/v2/message-file.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/hl7v2');
const DATA = process.env['LANTERN_DATA_DIR'];
const OPTIONS = { timeZone: '+01:00', identifierSystem: 'urn:sender' };

type Json = Record<string, unknown>;

function mappedFile(file: string, options: object = {}): MappedMessage {
  const [first] = splitMessages(readFileSync(file)).messages;
  assert.ok(first !== undefined, file);
  return mapMessage(parseMessage(first), { ...OPTIONS, ...options });
}

const mapped = (name: string, options: object = {}) => mappedFile(path.join(FIXTURES, `${name}.hl7`), options);

function ofType({ bundle }: MappedMessage, type: string): Json[] {
  return (bundle?.entry ?? []).map(({ resource }) => resource).filter(({ resourceType }) => resourceType === type);
}

describe('messages mapped by the tables of HL7', () => {
  it('give the patient with name, birth, sex, address, and numbers under their authorities', () => {
    const [patient] = ofType(mapped('VXU'), 'Patient');
    assert.deepEqual(patient?.['name'], [{ family: 'Wong', given: ['Elise'], use: 'official' }]);
    assert.deepEqual([patient?.['birthDate'], patient?.['gender']], ['1983-06-15', 'female']);
    const identifiers = JSON.stringify(patient?.['identifier']);
    assert.match(identifiers, /"value":"90012"/);
    assert.match(identifiers, /"system":"urn:sender:NIST-MPI-1"/);
    assert.match(JSON.stringify(patient?.['address']), /"city":"Bozeman","state":"MT","postalCode":"59715"/);
  });

  it('give each order of a message its own vaccine, with dose, lot and patient', () => {
    const all = mapped('VXU');
    const immunizations = ofType(all, 'Immunization');
    assert.deepEqual(
      immunizations.map((one) => one['occurrenceDateTime']),
      ['2015-06-24', '2014-10-12', '2013-11-12'],
    );
    const [first] = immunizations;
    assert.deepEqual(first?.['doseQuantity'], {
      value: 0.5,
      code: 'mL',
      unit: 'mL',
      system: 'http://unitsofmeasure.org',
    });
    assert.equal(first?.['lotNumber'], '315841');
    const patient = all.bundle?.entry.find(({ resource }) => resource['resourceType'] === 'Patient')?.fullUrl;
    for (const one of immunizations) assert.deepEqual(one['patient'], { reference: patient });
  });

  it('give each report its own results', () => {
    const all = mapped('LAB-ORU-1');
    const reports = ofType(all, 'DiagnosticReport');
    const results = reports.map((one) => (Array.isArray(one['result']) ? one['result'].length : 0));
    assert.equal(reports.length, 2);
    assert.equal(
      results.reduce((sum, count) => sum + count, 0),
      ofType(all, 'Observation').length,
    );
    const values = ofType(all, 'Observation').map((one) => JSON.stringify(one['valueQuantity']));
    assert.ok(values.includes('{"value":4.06,"unit":"tera.l-1"}'), values.join());
  });

  it('say by an identifier which resource is meant, so that a message that comes again finds what is there', () => {
    const requests = mapped('ADT-A40-01').bundle?.entry.map(({ request: { method, url } }) => `${method} ${url}`) ?? [];
    assert.ok(requests.includes('PUT Patient?identifier=urn%3Asender%3ABCBS|12345'), requests.join());
    assert.ok(requests.includes('PUT Patient?identifier=urn%3Asender%3ABCBS|56789'));
    assert.deepEqual(mapped('ADT-A01-01').bundle, mapped('ADT-A01-01').bundle);
  });

  it('keep the digits of numbers, and times in the zone of their sender', () => {
    const text =
      'MSH|^~\\&|A|B|||2026||ORU^R01^ORU_R01|1|P|2.5.1\rPID|1||7^^^N^MR\rOBR|1||9|K^K^L\rOBX|1|NM|K^K^L||1.50|g||||||||202602030405\r';
    const all = mapMessage(parseMessage(Buffer.from(text)), OPTIONS);
    const observation = JSON.stringify(ofType(all, 'Observation')[0]);
    assert.match(observation, /"value":1\.50[,}]/);
    assert.match(observation, /"effectiveDateTime":"2026-02-03T04:05:00\+01:00"/);
  });

  it('use the URI of an authority where it is known, and what is deleted is not there', () => {
    const text = 'MSH|^~\\&|A|B|||2026||ADT^A08^ADT_A01|1|P|2.5.1\rPID|1||9434765919^^^NHS^NH||""||""|F\r';
    const authorities = { NHS: 'https://fhir.nhs.uk/Id/nhs-number' };
    const [patient] = ofType(mapMessage(parseMessage(Buffer.from(text)), { ...OPTIONS, authorities }), 'Patient');
    assert.match(JSON.stringify(patient?.['identifier']), /"system":"https:\/\/fhir\.nhs\.uk\/Id\/nhs-number"/);
    assert.deepEqual(
      [patient?.['name'], patient?.['birthDate'], patient?.['gender']],
      [undefined, undefined, 'female'],
    );
  });

  it('account for every field that has a value, and name no value in what was wrong', () => {
    const text =
      'MSH|^~\\&|A|B|||2026||ADT^A08^ADT_A01|1|P|2.5.1\rPID|1||7^^^N^MR||Secret||19990230|Q|||||||||||||||||\rZZZ|1|x\r';
    const { account } = mapMessage(parseMessage(Buffer.from(text)), OPTIONS);
    const outcomes = new Map(account.fields.map(({ place, outcome }) => [place, outcome]));
    assert.deepEqual(
      [outcomes.get('PID-5'), outcomes.get('PID-7'), outcomes.get('ZZZ-2'), outcomes.get('MSH-3')],
      ['mapped', 'unmapped', 'no-place', 'left-out'],
    );
    assert.deepEqual(
      account.problems.map(({ place }) => place),
      ['PID-7', 'PID-8'],
    );
    assert.doesNotMatch(JSON.stringify(account), /Secret|19990230/);
  });
});

/* HL7's own definitions, read apart from what the mapping reads. */

type Definition = {
  readonly paths: ReadonlyMap<
    string,
    {
      readonly types: readonly string[];
      readonly isList: boolean;
      readonly min: number;
      readonly reference: string | undefined;
    }
  >;
};

function readDefinitions(folder: string): Map<string, Definition> {
  const all: Json[] = [];
  for (const file of readdirSync(folder)) {
    if (!file.endsWith('.json.gz')) continue;
    const read: unknown = JSON.parse(gunzipSync(readFileSync(path.join(folder, file))).toString());
    all.push(...(Array.isArray(read) ? read : [read]));
  }
  return new Map(all.map((one) => [String(one['name']), definitionOf(one)]));
}

type RawElement = { path: string; max: string; min: number; type?: { code: string }[]; contentReference?: string };

function definitionOf(one: Json): Definition {
  const { element } = one['snapshot'] as { element: RawElement[] };
  const paths = element.map(({ path: name, max, min, type = [], contentReference }) => {
    const types = type.map(({ code }) => code);
    return [name, { types, isList: max !== '1', min, reference: contentReference?.slice(1) }] as const;
  });
  return { paths: new Map(paths) };
}

/** What is wrong with a resource: elements that are not there, lists that are none, elements that are needed. */
function faultsOf(definitions: Map<string, Definition>, json: Json, type: string, base = type): string[] {
  const definition = definitions.get(base.split('.')[0] ?? '');
  if (definition === undefined) return [];
  const faults: string[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === 'resourceType' || name.startsWith('_') || name === 'fhir_comments') continue;
    const found = findElement(definition, base, name);
    if (found === undefined) {
      faults.push(`${base}.${name} is no element`);
      continue;
    }
    if (Array.isArray(value) !== found.isList) faults.push(`${base}.${name} is ${found.isList ? 'a list' : 'no list'}`);
    for (const inner of [value].flat()) {
      if (typeof inner !== 'object' || inner === null || Object.getPrototypeOf(inner) === null) continue;
      const next = found.isBackbone ? found.path : found.type;
      faults.push(...faultsOf(definitions, inner as Json, type, next));
    }
  }
  for (const [name, { min }] of definition.paths) {
    const own = name.slice(base.length + 1);
    if (min === 0 || !name.startsWith(`${base}.`) || own.includes('.')) continue;
    const isThere = Object.keys(json).some((key) => key.replace(/^_/, '').startsWith(own.replace('[x]', '')));
    if (!isThere) faults.push(`${name} is missing`);
  }
  return faults;
}

function findElement(definition: Definition, base: string, name: string) {
  const plain = definition.paths.get(`${base}.${name}`);
  if (plain !== undefined) {
    const isBackbone =
      plain.reference !== undefined || plain.types.some((one) => one === 'BackboneElement' || one === 'Element');
    return { ...plain, path: plain.reference ?? `${base}.${name}`, type: plain.types[0] ?? '', isBackbone };
  }
  for (const [path_, one] of definition.paths) {
    if (!path_.endsWith('[x]') || !`${base}.${name}`.startsWith(path_.slice(0, -3))) continue;
    const suffix = `${base}.${name}`.slice(path_.length - 3);
    const type = one.types.find((code) => code.charAt(0).toUpperCase() + code.slice(1) === suffix);
    if (type !== undefined) return { ...one, path: path_, type, isBackbone: false };
  }
  return undefined;
}

describe('every message of the shared data', {
  skip: (DATA === undefined || !existsSync(path.join(DATA, 'hl7v2'))) && 'LANTERN_DATA_DIR names no folder with hl7v2',
}, () => {
  const folder = path.join(DATA ?? '', 'hl7v2', 'messages');

  it('goes in and comes out as R4', (t) => {
    const definitions = readDefinitions(path.join(DATA ?? '', 'fhir-r4', 'definitions'));
    const faults: string[] = [];
    const outcomes: Record<string, number> = {};
    const files = readdirSync(folder);
    for (const file of files) {
      for (const withMessageHeader of [true, false]) {
        const { bundle, account } = mappedFile(path.join(folder, file), { withMessageHeader });
        assert.ok(bundle !== undefined, file);
        for (const { resource } of bundle.entry)
          faults.push(...faultsOf(definitions, resource, String(resource['resourceType'])));
        if (withMessageHeader)
          for (const { outcome, count } of account.fields) outcomes[outcome] = (outcomes[outcome] ?? 0) + count;
      }
    }
    t.diagnostic(`${files.length} messages; fields by outcome ${JSON.stringify(outcomes)}`);
    assert.equal(files.length, 64);
    assert.deepEqual([...new Set(faults)], []);
  });

  it('agrees with what another converter makes of it', (t) => {
    const shares: [string, number, number][] = [];
    for (const type of [
      'Patient',
      'Observation',
      'DiagnosticReport',
      'Immunization',
      'Encounter',
      'Appointment',
      'AllergyIntolerance',
    ]) {
      let [found, all] = [0, 0];
      for (const file of readdirSync(folder)) {
        const expected = path.join(DATA ?? '', 'hl7v2', 'fhir-expected-microsoft', file.replace('.hl7', '.json.gz'));
        if (!existsSync(expected)) continue;
        const theirs: { entry?: { resource: Json }[] } = JSON.parse(gunzipSync(readFileSync(expected)).toString());
        const ours = new Set(leaves(ofType(mappedFile(path.join(folder, file)), type)));
        const wanted = new Set(
          leaves(
            (theirs.entry ?? []).map(({ resource }) => resource).filter(({ resourceType }) => resourceType === type),
          ),
        );
        all += wanted.size;
        found += [...wanted].filter((leaf) => ours.has(leaf)).length;
      }
      shares.push([type, found, all]);
    }
    t.diagnostic(shares.map(([type, found, all]) => `${type} ${found}/${all}`).join(', '));
    const [patient] = shares;
    assert.ok(
      patient !== undefined && patient[1] / patient[2] > 0.4,
      'values of patients agree by less than two fifths',
    );
  });
});

/** Values with the name of their element, without ids, references and systems, which each converter makes up. */
function leaves(value: unknown, name = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((one) => leaves(one, name));
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, one]) =>
      /^(id|meta|reference|system|resourceType|fullUrl|url)$/.test(key) ? [] : leaves(one, key),
    );
  }
  return [`${name}=${String(value)}`];
}
