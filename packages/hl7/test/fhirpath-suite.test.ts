/**
 * HL7's suite for FHIRPath on R4 through the engine that checks the rules of the standard. That engine is a part of FHIRPath on purpose
 * (no dates and quantities as literals, no calendar arithmetic, no functions of type `convertsTo`), so its share is told and must not fall.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { compileFhirPath } from '../src/fhir/fhirpath/evaluate.ts';
import { type Item, itemOfResource, primitiveOf } from '../src/fhir/fhirpath/item.ts';
import { isJsonObject, parseJson } from '../src/fhir/json.ts';

const PASSED_MIN = 471;
const dataDir = process.env['LANTERN_DATA_DIR'];

type Case = {
  readonly name: string;
  readonly file: string;
  readonly expression: string;
  readonly isInvalid: boolean;
  readonly outputs: readonly string[];
  readonly isPredicate: boolean;
};

const unescaped = (text: string): string =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&');

function casesOf(xml: string): Case[] {
  return [...xml.replaceAll(/<!--[\s\S]*?-->/g, '').matchAll(/<test\s([^>]*)>([\s\S]*?)<\/test>/g)].map(
    ([, attributes = '', body = '']) => ({
      name: /name="([^"]*)"/.exec(attributes)?.[1] ?? '',
      file: /inputfile="([^"]*)"/.exec(attributes)?.[1] ?? 'patient-example.xml',
      isPredicate: /predicate="true"/.test(attributes),
      expression: unescaped(/<expression[^>]*>([\s\S]*?)<\/expression>/.exec(body)?.[1] ?? ''),
      isInvalid: /<expression\s[^>]*invalid=/.test(body),
      outputs: [...body.matchAll(/<output[^>]*?(?:\/>|>([\s\S]*?)<\/output>)/g)].map(([, output = '']) =>
        unescaped(output),
      ),
    }),
  );
}

function passes(suite: string, { file, expression, isInvalid, outputs, isPredicate }: Case): boolean {
  try {
    const text = readFileSync(path.join(suite, 'input', file.replace(/\.xml$/, '.json')), 'utf8');
    const resource = parseJson(text, { lengthMax: 1e7, depthMax: 64 });
    if (!isJsonObject(resource)) return false;
    const root = itemOfResource(resource);
    const found = compileFhirPath(expression)(root, { resource: root, rootResource: root });
    if (isInvalid) return false;
    if (isPredicate) return outputs[0] === String(found.length > 0 && found[0]?.value !== false);
    const texts = found.map((item: Item) => String(primitiveOf(item)));
    return texts.length === outputs.length && texts.every((one, index) => one === outputs[index]);
  } catch {
    return isInvalid; // an expression that must be refused was
  }
}

test("the engine passes no less of HL7's FHIRPath suite than before", {
  skip: dataDir === undefined && 'LANTERN_DATA_DIR names no folder with fhirpath',
}, (t) => {
  const suite = path.join(dataDir ?? '', 'fhirpath');
  const cases = casesOf(readFileSync(path.join(suite, 'tests-fhir-r4.xml'), 'utf8'));
  const passed = cases.filter((one) => passes(suite, one)).length;
  t.diagnostic(`${passed} of ${cases.length} (${Math.round((100 * passed) / cases.length)} %)`);
  assert.equal(cases.length, 935); // two more of the file are commented out
  assert.ok(passed >= PASSED_MIN, `${passed} passed, ${PASSED_MIN} did before`);
});
