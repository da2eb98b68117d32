/**
 * The state machine of an association (PS3.8 9.2), as the tables of the standard have it: ACTIONS are tables 9-6 to 9-9, EVENTS
 * is table 9-10. Nothing else decides what is sent, told or closed.
 */

/**
 * Sta1 idle; Sta2 connected, awaits A-ASSOCIATE-RQ; Sta3 awaits the local answer to it; Sta4 connects; Sta5 awaits the peer's
 * answer; Sta6 data transfer; Sta7 awaits A-RELEASE-RP; Sta8 awaits the local answer to a release; Sta9 to Sta12 both sides
 * released at once (requestor: 9, 11; acceptor: 10, 12); Sta13 awaits the end of the connection.
 */
export type State =
  | 'Sta1'
  | 'Sta2'
  | 'Sta3'
  | 'Sta4'
  | 'Sta5'
  | 'Sta6'
  | 'Sta7'
  | 'Sta8'
  | 'Sta9'
  | 'Sta10'
  | 'Sta11'
  | 'Sta12'
  | 'Sta13';

export type Role = 'requestor' | 'acceptor';

/** Requests come from our side of the association, PDUs from the other. */
export type AssociationEvent =
  | 'associate-wanted'
  | 'connected'
  | 'accept-pdu'
  | 'reject-pdu'
  | 'connection-made'
  | 'associate-pdu'
  | 'accept-answer'
  | 'reject-answer'
  | 'data-wanted'
  | 'data-pdu'
  | 'release-wanted'
  | 'release-pdu'
  | 'release-reply-pdu'
  | 'release-answer'
  | 'abort-wanted'
  | 'abort-pdu'
  | 'closed'
  | 'timer'
  | 'invalid-pdu';

export type Effect =
  | 'send-pdu'
  | 'send-release'
  | 'send-release-reply'
  | 'send-abort'
  | 'send-provider-abort'
  | 'tell-request'
  | 'tell-accepted'
  | 'tell-rejected'
  | 'tell-release'
  | 'tell-released'
  | 'tell-aborted'
  | 'start-timer'
  | 'stop-timer'
  | 'close';

type Action = { readonly effects: readonly Effect[]; readonly next: State | Readonly<Record<Role, State>> };

/** AE-1 and AE-5 have no effect here: the socket exists before the machine does. `send-pdu` is the PDU that the event brings. */
const ACTIONS = {
  'AE-1': { effects: [], next: 'Sta4' },
  'AE-2': { effects: ['send-pdu', 'start-timer'], next: 'Sta5' },
  'AE-3': { effects: ['stop-timer', 'tell-accepted'], next: 'Sta6' },
  'AE-4': { effects: ['stop-timer', 'tell-rejected', 'close'], next: 'Sta1' },
  'AE-5': { effects: ['start-timer'], next: 'Sta2' },
  'AE-6': { effects: ['stop-timer', 'tell-request'], next: 'Sta3' },
  'AE-7': { effects: ['send-pdu'], next: 'Sta6' },
  'AE-8': { effects: ['send-pdu', 'start-timer'], next: 'Sta13' },
  'DT-1': { effects: [], next: 'Sta6' },
  'DT-2': { effects: [], next: 'Sta6' },
  'AR-1': { effects: ['send-release', 'start-timer'], next: 'Sta7' },
  'AR-2': { effects: ['tell-release'], next: 'Sta8' },
  'AR-3': { effects: ['stop-timer', 'tell-released', 'close'], next: 'Sta1' },
  'AR-4': { effects: ['send-release-reply', 'start-timer'], next: 'Sta13' },
  'AR-5': { effects: ['stop-timer'], next: 'Sta1' },
  'AR-6': { effects: [], next: 'Sta7' },
  'AR-7': { effects: [], next: 'Sta8' },
  'AR-8': { effects: ['tell-release'], next: { requestor: 'Sta9', acceptor: 'Sta10' } },
  'AR-9': { effects: ['send-release-reply'], next: 'Sta11' },
  'AR-10': { effects: ['tell-released'], next: 'Sta12' },
  'AA-1': { effects: ['send-abort', 'start-timer'], next: 'Sta13' },
  'AA-2': { effects: ['stop-timer', 'close'], next: 'Sta1' },
  'AA-3': { effects: ['tell-aborted', 'close'], next: 'Sta1' },
  'AA-4': { effects: ['tell-aborted'], next: 'Sta1' },
  'AA-5': { effects: ['stop-timer'], next: 'Sta1' },
  'AA-6': { effects: [], next: 'Sta13' },
  'AA-7': { effects: ['send-provider-abort'], next: 'Sta13' },
  'AA-8': { effects: ['send-provider-abort', 'tell-aborted', 'start-timer'], next: 'Sta13' },
} as const satisfies Readonly<Record<string, Action>>;

type ActionName = keyof typeof ACTIONS;
type Row = Readonly<Partial<Record<State, ActionName>>>;

/** Where a PDU must not come the association is aborted (AA-8), by whoever was not yet bound to it as a user (AA-1). */
const UNEXPECTED: Row = {
  Sta2: 'AA-1',
  Sta3: 'AA-8',
  Sta5: 'AA-8',
  Sta6: 'AA-8',
  Sta7: 'AA-8',
  Sta8: 'AA-8',
  Sta9: 'AA-8',
  Sta10: 'AA-8',
  Sta11: 'AA-8',
  Sta12: 'AA-8',
  Sta13: 'AA-6',
};

function inEach(states: readonly State[], action: ActionName): Row {
  return Object.fromEntries(states.map((state) => [state, action]));
}

const ASSOCIATED: readonly State[] = ['Sta3', 'Sta5', 'Sta6', 'Sta7', 'Sta8', 'Sta9', 'Sta10', 'Sta11', 'Sta12'];

const EVENTS: Readonly<Record<AssociationEvent, Row>> = {
  'associate-wanted': { Sta1: 'AE-1' },
  connected: { Sta4: 'AE-2' },
  'accept-pdu': { ...UNEXPECTED, Sta5: 'AE-3' },
  'reject-pdu': { ...UNEXPECTED, Sta5: 'AE-4' },
  'connection-made': { Sta1: 'AE-5' },
  'associate-pdu': { ...UNEXPECTED, Sta2: 'AE-6', Sta13: 'AA-7' },
  'accept-answer': { Sta3: 'AE-7' },
  'reject-answer': { Sta3: 'AE-8' },
  'data-wanted': { Sta6: 'DT-1', Sta8: 'AR-7' },
  'data-pdu': { ...UNEXPECTED, Sta6: 'DT-2', Sta7: 'AR-6' },
  'release-wanted': { Sta6: 'AR-1' },
  'release-pdu': { ...UNEXPECTED, Sta6: 'AR-2', Sta7: 'AR-8' },
  'release-reply-pdu': { ...UNEXPECTED, Sta7: 'AR-3', Sta10: 'AR-10', Sta11: 'AR-3' },
  'release-answer': { Sta8: 'AR-4', Sta9: 'AR-9', Sta12: 'AR-4' },
  'abort-wanted': { ...inEach(ASSOCIATED, 'AA-1'), Sta4: 'AA-2' },
  'abort-pdu': { ...inEach(ASSOCIATED, 'AA-3'), Sta2: 'AA-2', Sta13: 'AA-2' },
  closed: { ...inEach(ASSOCIATED, 'AA-4'), Sta2: 'AA-5', Sta4: 'AA-4', Sta13: 'AR-5' },
  // In Sta5 and Sta7 the standard leaves it to the user to give up waiting; we give up by the same timer.
  timer: { Sta2: 'AA-2', Sta5: 'AA-8', Sta7: 'AA-8', Sta10: 'AA-8', Sta11: 'AA-8', Sta13: 'AA-2' },
  'invalid-pdu': { ...UNEXPECTED, Sta13: 'AA-7' },
};

export type Transition = { readonly action: ActionName; readonly effects: readonly Effect[]; readonly next: State };

/** `undefined` where the event cannot happen in the state: a PDU that is late, or a call that came too late. */
export function transition(state: State, event: AssociationEvent, role: Role): Transition | undefined {
  const action = EVENTS[event][state];
  if (action === undefined) return undefined;
  const { effects, next }: Action = ACTIONS[action];
  return { action, effects, next: typeof next === 'string' ? next : next[role] };
}
