/**
 * Resources of chance against parser, validator and index: 100,000 cases, or as many as a time allows (LANTERN_FUZZ_SECONDS; 60 in CI,
 * else 3). A failure names the seed of its case, which LANTERN_FUZZ_SEED with LANTERN_FUZZ_CASES=1 runs again.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { isJsonObject, parseJson, writeJson } from '../src/fhir/json.ts';
import { searchValuesOf } from '../src/fhir/search-values.ts';
import { validateResource } from '../src/fhir/validator.ts';
import { Hl7Error } from '../src/hl7-error.ts';
import { chanceFrom } from './fuzzing.ts';

const CASE_MS_MAX = 1000;
const LIMITS = { lengthMax: 1_000_000, depthMax: 64 };

const SEEDS = [
  '{"resourceType":"Patient","id":"a","name":[{"family":"B","given":["C",null],"_given":[null,{"id":"x"}],"period":{"start":"2020","end":"2021-02-03"}}],"birthDate":"1974-12-25","deceasedBoolean":false}',
  '{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"2339-0"}]},"subject":{"reference":"Patient/a"},"effectivePeriod":{"start":"2020-01-01T10:00:00Z"},"valueQuantity":{"value":1.10,"system":"http://unitsofmeasure.org","code":"mg/dL"},"contained":[{"resourceType":"Patient","id":"p"}]}',
  '{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:00000000-0000-4000-8000-000000000001","resource":{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"group","item":[{"linkId":"2","type":"string"}]}]},"request":{"method":"POST","url":"Questionnaire"}}]}',
  '{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationCodeableConcept":{"text":"x"},"subject":{"display":"y"},"dosageInstruction":[{"timing":{"event":["2020-01-01"],"repeat":{"boundsPeriod":{"end":"2021"}}},"doseAndRate":[{"doseRange":{"low":{"value":1},"high":{"value":2}}}]}]}',
];
const PIECES = [
  'null',
  '{}',
  '[]',
  '""',
  '1e999',
  '-0',
  '[[[[',
  '{"a":',
  '"\\ud800"',
  '\u0000',
  '"2023-02-30"',
  '"#"',
  '"urn:uuid:"',
  'true',
  '1.10',
  '"resourceType"',
  '"extension"',
  '"__proto__"',
  '"contained"',
];

/** Single characters, tokens, and whole values are cut, repeated or exchanged. */
function hostile(chance: (below: number) => number): string {
  let text = SEEDS[chance(SEEDS.length)] ?? '';
  for (let change = 1 + chance(4); change > 0; change -= 1) {
    const at = chance(text.length + 1);
    const to = Math.min(text.length, at + chance(12));
    const kind = chance(4);
    if (kind === 0) text = text.slice(0, at) + String.fromCharCode(chance(0x250)) + text.slice(at + 1);
    else if (kind === 1) text = text.slice(0, at) + text.slice(to);
    else if (kind === 2) text = text.slice(0, at) + text.slice(Math.max(0, at - chance(60)));
    else {
      const values = [...text.matchAll(/"[^"]*"(?!:)|-?\d[\d.]*|true|false|null/g)];
      const found = values[chance(Math.max(1, values.length))];
      const piece = PIECES[chance(PIECES.length)] ?? '';
      if (found !== undefined) text = text.slice(0, found.index) + piece + text.slice(found.index + found[0].length);
    }
  }
  return text;
}

function runCase(text: string): void {
  let value: unknown;
  try {
    value = parseJson(text, LIMITS);
  } catch (caught) {
    if (caught instanceof Hl7Error) return;
    throw caught;
  }
  assert.deepEqual(JSON.parse(writeJson(value)), JSON.parse(text)); // what is read is what JSON.parse reads
  const issues = validateResource(value);
  if (isJsonObject(value)) searchValuesOf(value);
  assert.ok(issues.every(({ diagnostics }) => diagnostics.length < 500));
}

test('hostile resources are refused or read, and hold nobody up', (t) => {
  const seed = Number(process.env['LANTERN_FUZZ_SEED'] ?? randomInt(2 ** 31));
  const casesMax = Number(process.env['LANTERN_FUZZ_CASES'] ?? 100_000);
  const seconds = Number(process.env['LANTERN_FUZZ_SECONDS'] ?? (process.env['CI'] === 'true' ? 60 : 3));
  const begin = performance.now();
  let count = 0;
  for (; count < casesMax && performance.now() - begin < seconds * 1000; count += 1) {
    const caseSeed = (seed + count) % 2 ** 32;
    const cpu = process.cpuUsage();
    try {
      runCase(hostile(chanceFrom(caseSeed)));
    } catch (cause) {
      throw new Error(`the case of LANTERN_FUZZ_SEED=${caseSeed} failed: ${String(cause)}`, { cause });
    }
    const { user, system } = process.cpuUsage(cpu);
    assert.ok(
      (user + system) / 1000 < CASE_MS_MAX,
      `the case of LANTERN_FUZZ_SEED=${caseSeed} took more than a second`,
    );
  }
  t.diagnostic(`${count} cases from LANTERN_FUZZ_SEED=${seed}`);
});
