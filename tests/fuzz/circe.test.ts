/**
 * Cohort definitions of chance: broken as bytes, and with values and fields exchanged in their tree. Whatever comes is read, planned,
 * printed and explained, or refused as `input.invalid` with the path of what is wrong.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { AppError } from '@lantern/contract';
import { cohortRunSql, explainCohort, namedConcepts, planCohort, planNeeds, readCirce } from '@lantern/omop';
import { type Chance, fuzz, mutated } from '../../packages/dicom/test/fuzzing.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures');

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

function definitions(): string[] {
  const cases = path.join(FIXTURES, 'omop-cohorts');
  const data = process.env['LANTERN_DATA_DIR'];
  const phenotypes = data === undefined ? undefined : path.join(data, 'omop-cohorts/phenotypes');
  const texts = readdirSync(cases)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) =>
      Object.values((JSON.parse(readFileSync(path.join(cases, name), 'utf8')) as { cohorts: object }).cohorts),
    )
    .map((one) => JSON.stringify(one));
  if (phenotypes === undefined) return texts;
  return [...texts, ...readdirSync(phenotypes).map((name) => readFileSync(path.join(phenotypes, name), 'utf8'))];
}

/** The path of what was refused; undefined where nothing was. */
function refusalOf(text: string): AppError | undefined {
  try {
    const definition = readCirce(text);
    const plan = planCohort(definition);
    for (const dialect of ['duckdb', 'postgres'] as const) assert.ok(cohortRunSql(plan, { dialect }).length > 0);
    assert.ok(planNeeds(plan).size > 0);
    assert.ok(explainCohort(definition).length > 0);
    namedConcepts(definition);
    return undefined;
  } catch (caught) {
    assert.ok(caught instanceof AppError, String(caught instanceof Error ? caught.stack : caught));
    assert.equal(caught.code, 'input.invalid');
    assert.notEqual(caught.field, undefined, caught.message);
    return caught;
  }
}

const ODD: readonly Json[] = [
  null,
  true,
  -1,
  0.5,
  1e308,
  2 ** 31,
  2 ** 53,
  '',
  '\0',
  "'; --",
  '__proto__',
  'constructor',
  [],
  {},
  [[]],
];

function pick<T>(chance: Chance, list: readonly T[]): T {
  const found = list[chance(list.length)];
  assert.ok(found !== undefined);
  return found;
}

/** Every object and list of a tree, with its path. */
function containersOf(value: Json, at = ''): { value: Json[] | { [name: string]: Json }; at: string }[] {
  if (typeof value !== 'object' || value === null) return [];
  const below = Array.isArray(value)
    ? value.flatMap((one, index) => containersOf(one, `${at}[${index}]`))
    : Object.entries(value).flatMap(([name, one]) => containersOf(one, at === '' ? name : `${at}.${name}`));
  return [{ value, at }, ...below];
}

function mutateTree(root: Json, chance: Chance): void {
  const all = containersOf(root);
  for (let change = 1 + chance(3); change > 0; change -= 1) {
    const { value: target } = pick(chance, all);
    const names = Object.keys(target);
    const name = names.length === 0 ? 'Anything' : pick(chance, names);
    const own = (target as Record<string, Json>)[name] ?? null;
    const { value: other } = pick(chance, all);
    switch (chance(5)) {
      case 0:
        Object.assign(target, { [name]: pick(chance, ODD) });
        break;
      case 1:
        if (Array.isArray(target)) target.splice(Number(name) || 0, 1);
        else delete target[name];
        break;
      case 2: // a copy: a tree that holds itself is no JSON
        Object.assign(target, { [name]: JSON.parse(JSON.stringify(other)) });
        break;
      case 3:
        if (Array.isArray(target)) target.push(JSON.parse(JSON.stringify(own)));
        else
          Object.assign(target, {
            [pick(chance, ['CodesetId', 'First', 'Type', 'Groups', 'constructor', 'Count'])]: own,
          });
        break;
      default:
        if (typeof own === 'number') Object.assign(target, { [name]: chance(3) === 0 ? -own : own * 1000 });
        else if (typeof own === 'string')
          Object.assign(target, { [name]: `${own}${pick(chance, ['x', '\u0000', "'", '9'])}` });
    }
  }
}

describe('a cohort definition of chance', () => {
  const known = definitions();

  it('is read or refused by path, whatever became of its bytes', async (t) => {
    await fuzz(t, (chance) => {
      refusalOf(mutated(Buffer.from(pick(chance, known)), chance).toString('utf8'));
    });
  });

  it('is read or refused by path, whatever became of its tree', async (t) => {
    let refused = 0;
    const count = await fuzz(t, (chance) => {
      const tree = JSON.parse(pick(chance, known)) as Json;
      mutateTree(tree, chance);
      if (refusalOf(JSON.stringify(tree)) !== undefined) refused += 1;
    });
    assert.ok(refused > count / 10 && refused < count, `${refused} of ${count} were refused`);
  });

  it('is refused by the name of a field that nobody knows, wherever it stands', () => {
    let count = 0;
    for (const text of known) {
      for (const { at } of containersOf(JSON.parse(text) as Json)) {
        const tree = JSON.parse(text) as Json;
        const target = containersOf(tree).find((one) => one.at === at)?.value;
        // What a vocabulary says of a concept says nothing about who is in the cohort.
        if (target === undefined || Array.isArray(target) || 'CONCEPT_ID' in target) continue;
        target['Surprise'] = 1;
        const refusal = refusalOf(JSON.stringify(tree));
        assert.equal(refusal?.field, at === '' ? 'Surprise' : `${at}.Surprise`);
        count += 1;
      }
      if (count > 3000) break;
    }
    assert.ok(count > 200);
  });

  it('of twenty thousand criteria is refused, and quickly', () => {
    const many = Array.from({ length: 20_000 }, () => ({ Death: {} }));
    const beginMs = process.cpuUsage().user;
    const refusal = refusalOf(JSON.stringify({ ConceptSets: [], PrimaryCriteria: { CriteriaList: many } }));
    assert.match(refusal?.message ?? '', /more than \d+ criteria/);
    assert.ok((process.cpuUsage().user - beginMs) / 1000 < 2000);
  });

  it('nested a thousand groups deep is refused', () => {
    let group: Json = { Type: 'ALL' };
    for (let depth = 0; depth < 1000; depth += 1) group = { Type: 'ALL', Groups: [group] };
    const definition = { PrimaryCriteria: { CriteriaList: [{ Death: {} }] }, AdditionalCriteria: group };
    assert.match(refusalOf(JSON.stringify(definition))?.message ?? '', /groups deep/);
  });
});
