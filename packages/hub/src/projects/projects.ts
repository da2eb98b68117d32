/**
 * Projects: what is asked of the sites, and what each site said.
 *
 * States: PROJECT_STATES and DECISION_STATES of the contract. A project is fixed when it is drafted: its digest is what a
 * site signs. Invariant: the hub stores a decision, it cannot make, change or lengthen one; the newest by sequence number
 * counts, and an older one that arrives late is refused.
 */
import {
  AppError,
  DECISION_STATES,
  type Decision,
  DecisionSchema,
  type Digest,
  nextState,
  PAYLOAD_TYPES,
  PROJECT_STATES,
  type Project,
  type ProjectDetail,
  type ProjectId,
  type ProjectSpec,
  type SignedEnvelope,
  type SiteId,
  transition,
} from '@lantern/contract';
import { documentDigest, newId, openEnvelope, type PublicKey, sha256 } from '@lantern/service';
import { manifestOf } from '../bundles/bundles.ts';
import { activeSites } from '../enrolment/enrolment.ts';
import { type Actor, audit, type HubContext, type Person } from '../hub-context.ts';
import { enqueueDecisionExpiry, enqueueProjectExpiry } from '../jobs.ts';
import type { HubDb, HubTx } from '../tables.ts';
import * as store from './store.ts';

export type ProjectsDeps = HubContext & {
  readonly signerOf: (keyId: string) => Promise<{ siteId: SiteId; signer: PublicKey }>;
  /** Stops what a project still does; called in the transaction that ends it. */
  readonly onEnded: (tx: HubTx, end: { projectId: ProjectId; message: string }) => Promise<void>;
  /** Ends what a site still had to do for a project; called in the transaction that records its word. */
  readonly onWithdrawn: (tx: HubTx, word: { projectId: ProjectId; siteId: SiteId }) => Promise<void>;
};

const EVENT_OF_VERDICT = { approved: 'approve', refused: 'refuse', withdrawn: 'withdraw' } as const;

function projectOf(row: store.ProjectRow): Project {
  return {
    projectId: row.project_id,
    state: row.state,
    spec: row.spec,
    projectDigest: row.project_digest,
    createdBy: row.created_by,
    createdAt: row.created_at.toISOString(),
  };
}

function notFound(): AppError {
  return new AppError('not-found', 'There is no such project.');
}

/** Refuses everybody but the project's creator and administrators. */
function checkOwner(row: store.ProjectRow, person: Person): void {
  if (person.isAdmin || row.created_by === person.name) return;
  throw new AppError('auth.forbidden', 'Only the creator of a project or an administrator may do this.');
}

/** A project as others build on it, locked as it is until the transaction ends. */
export async function openProject(
  tx: HubTx,
  wanted: { projectId: ProjectId; person: Person; states: readonly Project['state'][] },
): Promise<Project> {
  const row = await store.shareProject(tx, wanted.projectId);
  if (row === undefined) throw notFound();
  checkOwner(row, wanted.person);
  if (!wanted.states.includes(row.state)) {
    throw new AppError(
      'state.transition-refused',
      `This project is ${row.state}; this needs one that is ${wanted.states.join(' or ')}.`,
    );
  }
  return projectOf(row);
}

export async function projectFor(db: HubDb, projectId: ProjectId): Promise<Project> {
  const row = await store.findProject(db, projectId);
  if (row === undefined) throw notFound();
  return projectOf(row);
}

export async function draftProject(deps: ProjectsDeps, spec: ProjectSpec, person: Person): Promise<Project> {
  const createdAt = deps.clock.now();
  if (new Date(spec.expiresAt) <= createdAt) {
    throw new AppError('input.invalid', 'expiresAt lies in the past.', { field: '/expiresAt' });
  }
  checkAlgorithms(spec);
  return deps.transaction(async (tx: HubTx) => {
    if ((await activeSites(tx, spec.sites)).length !== spec.sites.length) {
      throw new AppError('input.invalid', 'sites: one of them is not enrolled here.', { field: '/sites' });
    }
    const bundleDigests = [...new Set(spec.algorithms.map((algorithm) => algorithm.bundleDigest))];
    const known = await store.listKnownBundles(tx, bundleDigests);
    const unknown = spec.algorithms.findIndex((algorithm) => !known.has(algorithm.bundleDigest));
    if (unknown !== -1) {
      const field = `/algorithms/${unknown}/bundleDigest`;
      throw new AppError('input.invalid', `${field}: no bundle of this digest is registered.`, { field });
    }
    await checkTrainingBounds(tx, spec);
    const row = {
      project_id: newId('ProjectId'),
      spec,
      project_digest: documentDigest(spec),
      created_by: person.name,
      created_at: createdAt,
      expires_at: new Date(spec.expiresAt),
    };
    await store.insertProject(tx, { ...row, bundleDigests });
    audit(deps, tx, {
      actor: person.userId,
      action: 'project.create',
      object: row.project_id,
      details: { projectDigest: row.project_digest },
    });
    return projectOf({ ...row, state: 'draft' });
  });
}

function checkAlgorithms(spec: ProjectSpec): void {
  const names = new Set<string>();
  for (const [index, algorithm] of spec.algorithms.entries()) {
    const field = `/algorithms/${index}`;
    if (names.has(algorithm.name)) {
      throw new AppError('input.invalid', `${field}/name: another algorithm has this name.`, {
        field: `${field}/name`,
      });
    }
    names.add(algorithm.name);
    if (!spec.datasets.includes(algorithm.features.dataset)) {
      throw new AppError('input.invalid', `${field}/features/dataset is not among the datasets of the project.`, {
        field: `${field}/features/dataset`,
      });
    }
  }
}

/** A graph names how far it may be trained, so that each site signs it; an analysis has nothing to bound. */
async function checkTrainingBounds(tx: HubTx, spec: ProjectSpec): Promise<void> {
  for (const [index, { bundleDigest, training }] of spec.algorithms.entries()) {
    const kind = (await manifestOf(tx, bundleDigest))?.kind;
    const field = `/algorithms/${index}/training`;
    if (kind === 'analysis' && training !== undefined) throw wrong(field, 'an analysis has none');
    if (kind !== 'graph') continue;
    if (training === undefined) throw wrong(field, 'a graph needs bounds on its training');
    if (training.stepsMax === undefined && training.epochsMax === undefined) {
      throw wrong(field, 'needs stepsMax, epochsMax or both, or no round could do any work');
    }
    if (training.strategies.includes('fedprox') && training.proximalMax === undefined) {
      throw wrong(`${field}/proximalMax`, 'FedProx needs it');
    }
  }
}

function wrong(field: string, rule: string): AppError {
  return new AppError('input.invalid', `${field}: ${rule}.`, { field });
}

export async function submitProject(deps: ProjectsDeps, projectId: ProjectId, person: Person): Promise<Project> {
  return moveProject(deps, { projectId, event: 'submit', actor: person.userId }, async (tx, row) => {
    checkOwner(row, person);
    if (row.expires_at <= deps.clock.now()) {
      throw new AppError('input.invalid', 'The project has passed its expiresAt; draft a new one.');
    }
    await enqueueProjectExpiry(tx, projectId, row.expires_at);
  });
}

export async function closeProject(deps: ProjectsDeps, projectId: ProjectId, person: Person): Promise<Project> {
  return moveProject(deps, { projectId, event: 'close', actor: person.userId }, async (tx, row) => {
    checkOwner(row, person);
    await endProject(deps, tx, { projectId, message: 'The project was closed.' });
  });
}

/** The job at a project's expiry; a project that ended before is left as it is. */
export async function expireProject(deps: ProjectsDeps, projectId: ProjectId): Promise<void> {
  const project = await projectFor(deps.db, projectId);
  if (nextState(PROJECT_STATES, project.state, 'expire') === undefined) return;
  await moveProject(deps, { projectId, event: 'expire', actor: 'hub' }, (tx) =>
    endProject(deps, tx, { projectId, message: 'The project has expired.' }),
  );
}

async function moveProject(
  deps: ProjectsDeps,
  move: { projectId: ProjectId; event: 'submit' | 'close' | 'expire'; actor: Actor },
  also: (tx: HubTx, row: store.ProjectRow) => Promise<void>,
): Promise<Project> {
  return deps.transaction(async (tx: HubTx) => {
    const row = await store.lockProject(tx, move.projectId);
    if (row === undefined) throw notFound();
    await also(tx, row);
    const state = transition(PROJECT_STATES, { what: 'project', state: row.state, event: move.event });
    await store.updateProjectState(tx, move.projectId, state);
    audit(deps, tx, { actor: move.actor, action: `project.${move.event}`, object: move.projectId });
    return projectOf({ ...row, state });
  });
}

/** Decisions that nobody will need any more lapse; runs stop. */
async function endProject(deps: ProjectsDeps, tx: HubTx, end: { projectId: ProjectId; message: string }) {
  for (const { site_id: siteId, state } of await store.listDecisions(tx, end.projectId)) {
    const lapsed = nextState(DECISION_STATES, state, 'lapse');
    if (lapsed !== undefined) await store.updateDecision(tx, { projectId: end.projectId, siteId, state: lapsed });
  }
  await deps.onEnded(tx, end);
}

export async function listProjects(db: HubDb): Promise<Project[]> {
  return (await store.listProjectRows(db)).map(projectOf);
}

export async function readProject(db: HubDb, projectId: ProjectId): Promise<ProjectDetail> {
  const project = await projectFor(db, projectId);
  const decisions = await store.listDecisions(db, projectId);
  return {
    project,
    decisions: decisions.map((row) => ({
      siteId: row.site_id,
      state: row.state,
      ...(row.envelope === null ? {} : { envelope: row.envelope }),
    })),
  };
}

export async function listAskedProjects(db: HubDb, siteId: SiteId) {
  return (await store.listProjectsAsking(db, siteId)).map((row) => ({
    projectId: row.project_id,
    spec: row.spec,
    projectDigest: row.project_digest,
    state: row.state,
  }));
}

/** Stores a site's signed word. The same document again changes nothing. */
export async function receiveDecision(
  deps: ProjectsDeps,
  received: { keyId: string; envelope: SignedEnvelope },
): Promise<void> {
  const { siteId, signer } = await deps.signerOf(received.keyId);
  const { envelope } = received;
  const decision = openEnvelope(envelope, { payloadType: PAYLOAD_TYPES.decision, schema: DecisionSchema, signer });
  if (decision.siteId !== siteId) throw new AppError('envelope.rejected', 'The decision names another site.');
  const decisionDigest = sha256(Buffer.from(envelope.payload, 'base64'));
  await deps.transaction((tx: HubTx) => storeDecision(deps, tx, { decision, decisionDigest, envelope }));
}

async function storeDecision(
  deps: ProjectsDeps,
  tx: HubTx,
  input: { decision: Decision; decisionDigest: Digest; envelope: SignedEnvelope },
): Promise<void> {
  const { decision, decisionDigest, envelope } = input;
  const { projectId, siteId, sequence } = decision;
  const project = await store.shareProject(tx, projectId);
  const held = await store.lockDecision(tx, { projectId, siteId });
  if (project === undefined || held === undefined) throw new AppError('not-found', 'No such project asks this site.');
  if (held.decision_digest === decisionDigest) return;
  if (project.project_digest !== decision.projectDigest) {
    throw new AppError('conflict', 'The decision is about another text of the project.', { field: '/projectDigest' });
  }
  if (sequence <= held.sequence) {
    throw new AppError('conflict', 'A decision with this or a later sequence number is already here.', {
      field: '/sequence',
    });
  }
  const event = EVENT_OF_VERDICT[decision.verdict];
  const state = transition(DECISION_STATES, { what: 'decision', state: held.state, event });
  await store.insertDecisionDocument(tx, {
    projectId,
    siteId,
    sequence,
    decisionDigest,
    envelope,
    receivedAt: deps.clock.now(),
  });
  await store.updateDecision(tx, { projectId, siteId, state, newest: { sequence, decisionDigest } });
  if (state === 'approved' && decision.expiresAt !== undefined) {
    await enqueueDecisionExpiry(tx, { projectId, siteId, sequence }, new Date(decision.expiresAt));
  }
  if (state !== 'approved') await deps.onWithdrawn(tx, { projectId, siteId });
  audit(deps, tx, {
    actor: siteId,
    action: `decision.${event}`,
    object: projectId,
    details: { decisionDigest, sequence },
  });
}

/** The job at a decision's expiry; a newer decision makes it void. */
export async function expireDecision(
  deps: ProjectsDeps,
  job: { projectId: ProjectId; siteId: SiteId; sequence: number },
): Promise<void> {
  await deps.transaction(async (tx: HubTx) => {
    const held = await store.lockDecision(tx, job);
    if (held === undefined || held.sequence !== job.sequence) return;
    const state = nextState(DECISION_STATES, held.state, 'expire');
    if (state === undefined) return;
    await store.updateDecision(tx, { projectId: job.projectId, siteId: job.siteId, state });
    audit(deps, tx, {
      actor: 'hub',
      action: 'decision.expire',
      object: job.projectId,
      details: { siteId: job.siteId },
    });
  });
}
