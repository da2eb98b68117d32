/**
 * Every lifecycle of Lantern as a table, and the one function that moves along it. Server, command line, buttons and
 * tests read these tables; nothing else decides whether a transition is legal.
 *
 * A table maps state -> event -> next state. A state without events is final.
 */
import { AppError } from './errors.ts';

export type StateTable = Readonly<Record<string, Readonly<Record<string, string>>>>;
export type StateOf<T extends StateTable> = keyof T & string;
export type EventOf<T extends StateTable> = { [S in keyof T]: keyof T[S] & string }[keyof T];

/** A research purpose. `submitted` asks the sites; which sites said yes is their decisions' state, not the project's. */
export const PROJECT_STATES = {
  draft: { submit: 'submitted', close: 'closed' },
  submitted: { close: 'closed', expire: 'expired' },
  closed: {},
  expired: {},
} as const satisfies StateTable;

/** What one site says to one project. A refusal may be reconsidered; a withdrawal or expiry needs a new decision. */
export const DECISION_STATES = {
  asked: { approve: 'approved', refuse: 'refused', lapse: 'lapsed' },
  approved: { withdraw: 'withdrawn', expire: 'expired', approve: 'approved' },
  refused: { approve: 'approved', refuse: 'refused', lapse: 'lapsed' },
  withdrawn: { approve: 'approved', lapse: 'lapsed' },
  expired: { approve: 'approved', lapse: 'lapsed' },
  lapsed: {},
} as const satisfies StateTable;

/** One federated execution of a bundle. `waiting`: below quorum, nothing lost, goes on by itself when sites return. */
export const RUN_STATES = {
  planned: { start: 'running', stop: 'stopped' },
  running: { wait: 'waiting', complete: 'completed', fail: 'failed', stop: 'stopped' },
  waiting: { resume: 'running', complete: 'completed', fail: 'failed', stop: 'stopped' },
  completed: {},
  failed: {},
  stopped: {},
} as const satisfies StateTable;

/** One round of a run. `open` collects updates; `folding` makes the new weights; a fold may be done again after a crash. */
export const ROUND_STATES = {
  open: { fold: 'folding', abandon: 'abandoned' },
  folding: { close: 'closed', abandon: 'abandoned' },
  closed: {},
  abandoned: {},
} as const satisfies StateTable;

/** A task for one site, as the hub sees it. Delivery may happen again until an answer is here; an answer counts once. */
export const HUB_TASK_STATES = {
  queued: { deliver: 'delivered', answer: 'answered', refuse: 'refused', fail: 'failed', cancel: 'cancelled' },
  delivered: { deliver: 'delivered', answer: 'answered', refuse: 'refused', fail: 'failed', cancel: 'cancelled' },
  answered: {},
  refused: {},
  failed: {},
  cancelled: {},
} as const satisfies StateTable;

/** The same task as the site sees it. `done` holds the signed answer: from then on it is delivered, never recomputed. */
export const SITE_TASK_STATES = {
  received: { perform: 'performing', cancel: 'cancelled' },
  performing: { perform: 'performing', finish: 'done', cancel: 'cancelled' },
  done: { deliver: 'delivered', cancel: 'cancelled' },
  delivered: {},
  cancelled: {},
} as const satisfies StateTable;

/** An enrolled site as the hub sees it. */
export const SITE_STATES = {
  active: { revoke: 'revoked' },
  revoked: {},
} as const satisfies StateTable;

/** A model version in the registry. */
export const MODEL_VERSION_STATES = {
  released: { retire: 'retired' },
  retired: {},
} as const satisfies StateTable;

/** A model version at work at a site. Shadow and canary join this table with the clinical workflows. */
export const DEPLOYMENT_STATES = {
  live: { stop: 'stopped' },
  stopped: { start: 'live' },
} as const satisfies StateTable;

/** What arrives at one AE title for one study. A late instance begins the next revision; a complete one never opens again. */
export const ARRIVAL_STATES = {
  receiving: { complete: 'complete' },
  complete: {},
} as const satisfies StateTable;

/** A request of storage commitment (PS3.4 annex J). Whoever asks again with the same transaction is told again. */
export const COMMITMENT_STATES = {
  requested: { report: 'reported', abandon: 'unreported', ask: 'requested' },
  reported: { ask: 'requested' },
  unreported: { ask: 'requested' },
} as const satisfies StateTable;

/** A study of a pull, or what was listed and not looked up yet. Fetching begins anew after a crash; it finds what is there. */
export const PULL_ENTRY_STATES = {
  waiting: { find: 'found', miss: 'not-found', fail: 'failed' },
  found: { fetch: 'fetching', finish: 'done', fail: 'failed' },
  fetching: { fetch: 'fetching', finish: 'done', fail: 'failed' },
  done: {},
  failed: { retry: 'waiting' },
  'not-found': { retry: 'waiting' },
} as const satisfies StateTable;

/** A pass of the ETL from the records of a site to its CDM. One that a crash cut off begins anew. */
export const CDM_PASS_STATES = {
  waiting: { start: 'running', fail: 'failed' },
  running: { start: 'running', finish: 'done', fail: 'failed' },
  done: {},
  failed: {},
} as const satisfies StateTable;

/**
 * A version of a collection of de-identified images. A newer version that is approved takes its place: it keeps its copies and gets no
 * more. Withdrawn, its copies are removed.
 */
export const IMAGE_COLLECTION_STATES = {
  draft: { approve: 'approved', withdraw: 'withdrawn' },
  approved: { supersede: 'superseded', withdraw: 'withdrawn' },
  superseded: { withdraw: 'withdrawn' },
  withdrawn: {},
} as const satisfies StateTable;

/**
 * One study in one collection. `waiting`: for a decision, or a list of opt-outs that is not too old; nothing is copied meanwhile.
 * `failed`: its job will not be tried again by itself, and nothing of it is given. What comes later of a study, what a person lets
 * pass, and `lantern images collection retry` make it pending again.
 */
export const RESEARCH_STUDY_STATES = {
  pending: { again: 'pending', wait: 'waiting', finish: 'done', exclude: 'opted-out', fail: 'failed' },
  waiting: { again: 'pending', exclude: 'opted-out' },
  done: { again: 'pending', exclude: 'opted-out' },
  'opted-out': { again: 'pending' },
  failed: { again: 'pending' },
} as const satisfies StateTable;

/**
 * An image that de-identification held back. The decision of a person is for its content, wherever that turns up again. `hold` again:
 * it could not be done as the person said.
 */
export const QUARANTINE_STATES = {
  held: { release: 'released', refuse: 'refused' },
  released: { refuse: 'refused', hold: 'held' },
  refused: {},
} as const satisfies StateTable;

/**
 * A message of HL7 v2 that was acknowledged. `received` is the work that is left: it is mapped in the order of arrival. `ignored`: of a
 * kind that is understood and has nothing to map.
 */
export const FEED_MESSAGE_STATES = {
  received: { map: 'mapped', warn: 'mapped-with-warning', ignore: 'ignored', fail: 'failed' },
  failed: { retry: 'received' },
  mapped: {},
  'mapped-with-warning': {},
  ignored: {},
} as const satisfies StateTable;

/** A Bulk Data export of FHIR. One that is cancelled or has expired is gone. */
export const BULK_EXPORT_STATES = {
  running: { finish: 'done', fail: 'failed' },
  done: {},
  failed: {},
} as const satisfies StateTable;

/** A dataset that is built out of a cohort. A failed one is asked for again, when what stopped it is mended. */
export const DATASET_BUILD_STATES = {
  asked: { finish: 'done', fail: 'failed' },
  done: {},
  failed: {},
} as const satisfies StateTable;

export type ProjectState = StateOf<typeof PROJECT_STATES>;
export type DecisionState = StateOf<typeof DECISION_STATES>;
export type RunState = StateOf<typeof RUN_STATES>;
export type RoundState = StateOf<typeof ROUND_STATES>;
export type HubTaskState = StateOf<typeof HUB_TASK_STATES>;
export type SiteTaskState = StateOf<typeof SITE_TASK_STATES>;
export type SiteState = StateOf<typeof SITE_STATES>;
export type ModelVersionState = StateOf<typeof MODEL_VERSION_STATES>;
export type DeploymentState = StateOf<typeof DEPLOYMENT_STATES>;
export type ArrivalState = StateOf<typeof ARRIVAL_STATES>;
export type CommitmentState = StateOf<typeof COMMITMENT_STATES>;
export type PullEntryState = StateOf<typeof PULL_ENTRY_STATES>;
export type ImageCollectionState = StateOf<typeof IMAGE_COLLECTION_STATES>;
export type ResearchStudyState = StateOf<typeof RESEARCH_STUDY_STATES>;
export type QuarantineState = StateOf<typeof QUARANTINE_STATES>;
export type FeedMessageState = StateOf<typeof FEED_MESSAGE_STATES>;
export type CdmPassState = StateOf<typeof CDM_PASS_STATES>;
export type BulkExportState = StateOf<typeof BULK_EXPORT_STATES>;
export type DatasetBuildState = StateOf<typeof DATASET_BUILD_STATES>;

/** The state after `event`, or `undefined` where the table does not allow it. */
export function nextState<T extends StateTable>(
  table: T,
  state: StateOf<T>,
  event: EventOf<T>,
): StateOf<T> | undefined {
  const events = Object.hasOwn(table, state) ? table[state] : undefined;
  return events !== undefined && Object.hasOwn(events, event) ? events[event] : undefined;
}

/** The state after `event`; refuses with what would be allowed instead. `what` names the thing, e.g. "project". */
export function transition<T extends StateTable>(
  table: T,
  move: { what: string; state: StateOf<T>; event: EventOf<T> },
): StateOf<T> {
  const next = nextState(table, move.state, move.event);
  if (next !== undefined) return next;
  const allowed = Object.keys(table[move.state] ?? {});
  const instead = allowed.length === 0 ? 'nothing more can happen to it' : `allowed: ${allowed.join(', ')}`;
  throw new AppError(
    'state.transition-refused',
    `This ${move.what} is ${move.state}, so "${move.event}" is not possible; ${instead}.`,
  );
}

/** Every state from which `event` is legal: for buttons, and for `where state in (...)`. */
export function statesAllowing<T extends StateTable>(table: T, event: EventOf<T>): StateOf<T>[] {
  return (Object.keys(table) as StateOf<T>[]).filter((state) => nextState(table, state, event) !== undefined);
}

/** Every state in which something can still happen: for `where state in (...)`. */
export function liveStates<T extends StateTable>(table: T): StateOf<T>[] {
  return (Object.keys(table) as StateOf<T>[]).filter((state) => !isFinal(table, state));
}

/** Every state in which nothing can happen any more. */
export function finalStates<T extends StateTable>(table: T): StateOf<T>[] {
  return (Object.keys(table) as StateOf<T>[]).filter((state) => isFinal(table, state));
}

export function isFinal<T extends StateTable>(table: T, state: StateOf<T>): boolean {
  return Object.keys(table[state] ?? {}).length === 0;
}
