import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AppError } from './errors.ts';
import * as states from './states.ts';
import {
  DECISION_STATES,
  finalStates,
  isFinal,
  liveStates,
  nextState,
  PROJECT_STATES,
  ROUND_STATES,
  RUN_STATES,
  SITE_TASK_STATES,
  type StateTable,
  statesAllowing,
  transition,
} from './states.ts';

const tables = Object.entries(states).flatMap(([name, value]): [string, StateTable][] =>
  typeof value === 'object' ? [[name, value]] : [],
);

describe('state tables', () => {
  for (const [name, table] of tables) {
    it(`${name} leads only to states it defines, and every state is reachable from the first`, () => {
      const [first] = Object.keys(table);
      assert.ok(first !== undefined);
      const reached = new Set([first]);
      for (const state of reached) {
        for (const next of Object.values(table[state] ?? {})) {
          assert.ok(Object.hasOwn(table, next), `${state} leads to ${next}, which is not in the table`);
          reached.add(next);
        }
      }
      assert.deepEqual([...reached].sort(), Object.keys(table).sort());
    });
  }

  it('moves along an arrow of the table and nowhere else', () => {
    assert.equal(transition(DECISION_STATES, { what: 'decision', state: 'approved', event: 'withdraw' }), 'withdrawn');
    assert.equal(nextState(DECISION_STATES, 'refused', 'withdraw'), undefined);
  });

  it('says what would be allowed when it refuses', () => {
    assert.throws(
      () => transition(PROJECT_STATES, { what: 'project', state: 'draft', event: 'expire' }),
      (error: unknown) =>
        error instanceof AppError &&
        error.code === 'state.transition-refused' &&
        /is draft.*allowed: submit, close/.test(error.message),
    );
  });

  it('does not mistake a member every object has for an event', () => {
    assert.equal(nextState<StateTable>(PROJECT_STATES, 'draft', 'toString'), undefined);
    assert.equal(nextState<StateTable>(PROJECT_STATES, 'constructor', 'name'), undefined);
  });

  it('lists the states that allow an event, for queries and buttons', () => {
    assert.deepEqual(statesAllowing(RUN_STATES, 'stop'), ['planned', 'running', 'waiting']);
    assert.deepEqual(statesAllowing(SITE_TASK_STATES, 'deliver'), ['done']);
  });

  it('divides each table into states that are live and states that are final', () => {
    assert.deepEqual(liveStates(RUN_STATES), ['planned', 'running', 'waiting']);
    assert.deepEqual(finalStates(ROUND_STATES), ['closed', 'abandoned']);
    assert.deepEqual(finalStates(PROJECT_STATES), ['closed', 'expired']);
    assert.equal(isFinal(ROUND_STATES, 'folding'), false);
  });
});
