import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNT_POLICY_DEFAULT } from '@lantern/contract';
import { chargeQuestion, tableCost } from './budget.ts';

const policy = { ...COUNT_POLICY_DEFAULT, questionsMax: 5 };

test('a question is charged once, its repeat is free, and another wording is charged again', () => {
  const charged = new Map<string, number>();
  const ask = (key: string, cost: number) => {
    const charge = chargeQuestion({ policy, budget: { granted: 0, charged, shared: undefined }, price: { key, cost } });
    if (charge.kind === 'charged') charged.set(charge.price.key, charge.price.cost);
    return [charge.kind, charge.questionsLeft];
  };
  assert.deepEqual(ask('a', 1), ['charged', 4]);
  assert.deepEqual(ask('a', 1), ['free', 4]);
  assert.deepEqual(ask('b', 3), ['charged', 1]);
  assert.deepEqual(ask('c', 2), ['spent', 1]);
  assert.deepEqual(ask('d', 1), ['charged', 0]);
  assert.deepEqual(ask('e', 1), ['spent', 0]);
  assert.deepEqual(ask('b', 3), ['free', 0]);
});

test('a grant of a governance lead adds to the budget', () => {
  const budget = { granted: 2, charged: new Map([['a', 5]]), shared: undefined };
  assert.deepEqual(chargeQuestion({ policy, budget, price: { key: 'b', cost: 2 } }), {
    kind: 'charged',
    price: { key: 'b', cost: 2, isShared: false },
    questionsLeft: 0,
  });
});

test('a policy that was tightened below what is spent leaves nothing, not less than nothing', () => {
  const budget = { granted: 0, charged: new Map([['a', 9]]), shared: undefined };
  assert.deepEqual(chargeQuestion({ policy, budget, price: { key: 'b', cost: 1 } }), {
    kind: 'spent',
    questionsLeft: 0,
  });
});

test('a table whose cells share out the patients costs two sets, otherwise one for each cell', () => {
  assert.equal(tableCost({ cellCount: 12, disjoint: true }), 2);
  assert.equal(tableCost({ cellCount: 12, disjoint: false }), 12);
});

test('projects that nobody decided about pay from one budget, then each from what it was granted', () => {
  const shared = new Map<string, number>();
  const projects = [0, 1].map((granted) => ({ granted, charged: new Map<string, number>() }));
  const ask = (project: number, key: string, cost: number) => {
    const { granted = 0, charged = new Map() } = projects[project] ?? {};
    const charge = chargeQuestion({ policy, budget: { granted, charged, shared }, price: { key, cost } });
    if (charge.kind === 'charged') (charge.price.isShared ? shared : charged).set(charge.price.key, charge.price.cost);
    return [charge.kind, charge.questionsLeft];
  };
  assert.deepEqual(ask(0, 'a', 3), ['charged', 2]);
  assert.deepEqual(ask(1, 'a', 3), ['free', 3]);
  assert.deepEqual(ask(1, 'b', 2), ['charged', 1]);
  assert.deepEqual(ask(0, 'c', 1), ['spent', 0]);
  assert.deepEqual(ask(1, 'c', 1), ['charged', 0]);
  assert.deepEqual(ask(1, 'd', 1), ['spent', 0]);
  assert.deepEqual(ask(0, 'c', 1), ['spent', 0]);
  assert.deepEqual(ask(1, 'c', 1), ['free', 0]);
});
