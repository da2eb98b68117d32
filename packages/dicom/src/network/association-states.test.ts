import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AssociationEvent, type State, transition } from './association-states.ts';

const STATES: readonly State[] = [
  'Sta1',
  'Sta2',
  'Sta3',
  'Sta4',
  'Sta5',
  'Sta6',
  'Sta7',
  'Sta8',
  'Sta9',
  'Sta10',
  'Sta11',
  'Sta12',
  'Sta13',
];

/** PS3.8 table 9-10, a row an event, a column a state from Sta1 to Sta13; the letters stand for AE, DT, AR and AA. */
const TABLE_9_10: readonly (readonly [AssociationEvent, string])[] = [
  ['associate-wanted', 'E1 -- -- -- -- -- -- -- -- -- -- -- --'],
  ['connected', '-- -- -- E2 -- -- -- -- -- -- -- -- --'],
  ['accept-pdu', '-- A1 A8 -- E3 A8 A8 A8 A8 A8 A8 A8 A6'],
  ['reject-pdu', '-- A1 A8 -- E4 A8 A8 A8 A8 A8 A8 A8 A6'],
  ['connection-made', 'E5 -- -- -- -- -- -- -- -- -- -- -- --'],
  ['associate-pdu', '-- E6 A8 -- A8 A8 A8 A8 A8 A8 A8 A8 A7'],
  ['accept-answer', '-- -- E7 -- -- -- -- -- -- -- -- -- --'],
  ['reject-answer', '-- -- E8 -- -- -- -- -- -- -- -- -- --'],
  ['data-wanted', '-- -- -- -- -- D1 -- R7 -- -- -- -- --'],
  ['data-pdu', '-- A1 A8 -- A8 D2 R6 A8 A8 A8 A8 A8 A6'],
  ['release-wanted', '-- -- -- -- -- R1 -- -- -- -- -- -- --'],
  ['release-pdu', '-- A1 A8 -- A8 R2 R8 A8 A8 A8 A8 A8 A6'],
  ['release-reply-pdu', '-- A1 A8 -- A8 A8 R3 A8 A8 R10 R3 A8 A6'],
  ['release-answer', '-- -- -- -- -- -- -- R4 R9 -- -- R4 --'],
  ['abort-wanted', '-- -- A1 A2 A1 A1 A1 A1 A1 A1 A1 A1 --'],
  ['abort-pdu', '-- A2 A3 -- A3 A3 A3 A3 A3 A3 A3 A3 A2'],
  ['closed', '-- A5 A4 A4 A4 A4 A4 A4 A4 A4 A4 A4 R5'],
  ['invalid-pdu', '-- A1 A8 -- A8 A8 A8 A8 A8 A8 A8 A8 A7'],
];

const FAMILIES: Readonly<Record<string, string>> = { E: 'AE', D: 'DT', R: 'AR', A: 'AA' };

describe('the state machine of an association', () => {
  test('is that of PS3.8 table 9-10', () => {
    for (const [event, row] of TABLE_9_10) {
      for (const [index, cell] of row.split(' ').entries()) {
        const state = STATES[index] ?? 'Sta1';
        const expected = cell === '--' ? undefined : `${FAMILIES[cell.charAt(0)]}-${cell.slice(1)}`;
        assert.equal(transition(state, event, 'acceptor')?.action, expected, `${event} in ${state}`);
      }
    }
  });

  test('gives up waiting for the peer in every state that waits for it', () => {
    const given = STATES.filter((state) => transition(state, 'timer', 'acceptor') !== undefined);
    assert.deepEqual(given, ['Sta2', 'Sta5', 'Sta7', 'Sta10', 'Sta11', 'Sta13']);
  });

  test('takes the two sides of a release collision through their own states to the end', () => {
    const path = (role: 'requestor' | 'acceptor', events: readonly AssociationEvent[]) => {
      let state: State = 'Sta6';
      return events.map((event) => {
        state = transition(state, event, role)?.next ?? 'Sta1';
        return state;
      });
    };
    assert.deepEqual(path('requestor', ['release-wanted', 'release-pdu', 'release-answer', 'release-reply-pdu']), [
      'Sta7',
      'Sta9',
      'Sta11',
      'Sta1',
    ]);
    assert.deepEqual(path('acceptor', ['release-wanted', 'release-pdu', 'release-reply-pdu', 'release-answer']), [
      'Sta7',
      'Sta10',
      'Sta12',
      'Sta13',
    ]);
  });

  test('sends an abort wherever it leaves an association by itself, and always watches the time afterwards', () => {
    for (const [event] of TABLE_9_10) {
      for (const state of STATES) {
        const step = transition(state, event, 'requestor');
        if (step?.next !== 'Sta13' || state === 'Sta13') continue;
        assert.ok(step.effects.includes('start-timer'), `${event} in ${state}`);
      }
    }
  });
});
