/**
 * The hospital's word on each project that asks it: kept, signed, obeyed, and delivered as a copy to the hub.
 *
 * States are DECISION_STATES of the contract. Every decision is signed with the site's key, rises by one in sequence, is
 * written with its audit record and its delivery job in one transaction, and holds from that commit on. A project document
 * never changes: what the hub sends under a known id with another digest is refused.
 */
import {
  AppError,
  type AskedProject,
  type BundleManifest,
  type DatasetVersion,
  DECISION_STATES,
  type DecisionState,
  type Digest,
  type EventOf,
  finalStates,
  type NewDecision,
  nextState,
  PAYLOAD_TYPES,
  PROJECT_STATES,
  type ProjectId,
  type ProjectSpec,
  type SignedEnvelope,
  type SiteProject,
  transition,
} from '@lantern/contract';
import { documentDigest, enqueue, newId, signEnvelope } from '@lantern/service';
import { JOBS } from '../jobs.ts';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteDb, SiteTx } from '../tables.ts';
import type { AlgorithmPreview } from '../training/preview.ts';
import { decisionDocument } from './decision-document.ts';
import type { DecisionWatch } from './decision-watch.ts';
import type { Standing } from './policy.ts';
import { createSignedStandings, type SignedStandings } from './signed-standing.ts';
import * as store from './store.ts';

const REFRESH_WAIT_MS_MAX = 5_000; // a person is waiting; without an answer the list shows what is known already

export type GovernanceDeps = SiteContext & {
  readonly watch: DecisionWatch;
  /** Asks the hub which projects ask this site. */
  readonly askedProjects: (signal: AbortSignal) => Promise<readonly AskedProject[]>;
  readonly sendDecision: (envelope: SignedEnvelope, signal: AbortSignal) => Promise<void>;
  readonly manifestOf: (digest: Digest, signal: AbortSignal) => Promise<BundleManifest>;
  /** Which versions of these datasets are offered now. */
  readonly versionsOf: (datasets: readonly string[], db: SiteDb) => Promise<DatasetVersion[]>;
  /** What the gate says to each algorithm on this site's rows under its defaults. */
  readonly preview: (spec: ProjectSpec, signal: AbortSignal) => Promise<AlgorithmPreview[]>;
};

const EVENT_OF_VERDICT = { approved: 'approve', refused: 'refuse', withdrawn: 'withdraw' } as const satisfies Record<
  NewDecision['verdict'],
  EventOf<typeof DECISION_STATES>
>;

const HUB_STATES_OVER: ReadonlySet<string> = new Set(finalStates(PROJECT_STATES));

export type Governance = ReturnType<typeof createGovernance>;

export function createGovernance(deps: GovernanceDeps) {
  const standings = createSignedStandings(deps);
  return {
    refresh: (signal: AbortSignal) => refresh(deps, signal),

    /** Asks the hub first, for a short time; then what this site knows. */
    list: (signal: AbortSignal) => list(deps, signal),

    async read(projectId: ProjectId, signal: AbortSignal): Promise<SiteProject> {
      const row = await findOrRefresh(deps, projectId, signal);
      return asSiteProject(row, await store.findDecision(deps.db, projectId, row.sequence));
    },

    async bundles(projectId: ProjectId, signal: AbortSignal) {
      const { spec } = await findOrRefresh(deps, projectId, signal);
      const digests = [...new Set(spec.algorithms.map(({ bundleDigest }) => bundleDigest))];
      const read = async (bundleDigest: Digest) => ({
        bundleDigest,
        manifest: await deps.manifestOf(bundleDigest, signal),
      });
      return Promise.all(digests.map(read));
    },

    async preview(projectId: ProjectId, signal: AbortSignal): Promise<AlgorithmPreview[]> {
      const row = await findOrRefresh(deps, projectId, signal);
      return deps.preview(row.spec, signal);
    },

    decide: (projectId: ProjectId, typed: NewDecision, by: { name: string; signal: AbortSignal }) =>
      decide({ ...deps, standings }, { projectId, typed, by }),

    grantQuestions: (projectId: ProjectId, grant: QuestionGrant) => grantQuestions(deps, projectId, grant),

    questionsGranted: (db: SiteDb, projectId: ProjectId, dataset: string) => store.sumGrants(db, projectId, dataset),

    /** `undefined`: this site has not been asked. */
    standingOf: (projectId: ProjectId) => standings.of(projectId),

    /** The same, after asking the hub about a project that is not known yet; for a task that came before the project. */
    async standingOrAsk(projectId: ProjectId, signal: AbortSignal): Promise<Standing | undefined> {
      const known = await standings.of(projectId);
      if (known !== undefined) return known;
      await tryRefresh(deps, signal);
      return standings.of(projectId);
    },

    watch: (projectId: ProjectId) => deps.watch.watch(projectId),

    /** Moves approvals past their end to `expired`; the policy has refused them since that instant anyway. */
    sweep: () => sweep(deps),

    /** Job: sends one decision. Jobs of one site run one after the other, so that sequences arrive in order. */
    async deliver(projectId: ProjectId, sequence: number, signal: AbortSignal): Promise<void> {
      const row = await store.findDecision(deps.db, projectId, sequence);
      if (row === undefined || row.delivered_at !== null) return;
      await deps.sendDecision(row.envelope, signal);
      await store.markDecisionDelivered(deps.db, projectId, { sequence, at: deps.clock.now() });
    },
  };
}

async function list(deps: GovernanceDeps, signal: AbortSignal): Promise<SiteProject[]> {
  await tryRefresh(deps, signal);
  const [projects, decisions] = await Promise.all([store.listProjects(deps.db), store.listNewestDecisions(deps.db)]);
  const byProject = new Map(decisions.map((row) => [row.project_id, row]));
  return projects.map((project) => asSiteProject(project, byProject.get(project.project_id)));
}

type QuestionGrant = { readonly dataset: string; readonly more: number; readonly reason: string; readonly by: string };

async function grantQuestions(deps: GovernanceDeps, projectId: ProjectId, grant: QuestionGrant): Promise<void> {
  await deps.database.transaction(async (tx: SiteTx) => {
    const row = await store.lockProject(tx, projectId);
    if (row === undefined) throw unknownProject();
    await store.insertGrant(tx, { ...grant, projectId, grantedBy: grant.by, at: deps.clock.now() });
    const { dataset, more } = grant;
    const details = { dataset, more };
    await audit(deps, tx, { actor: `user:${grant.by}`, action: 'questions.grant', object: projectId, details });
  });
}

async function decide(
  deps: GovernanceDeps & { readonly standings: SignedStandings },
  asked: { projectId: ProjectId; typed: NewDecision; by: { name: string; signal: AbortSignal } },
): Promise<SiteProject> {
  const { projectId, typed, by } = asked;
  await findOrRefresh(deps, projectId, by.signal);
  const sequenceMin = (await deps.standings.newestSequence(projectId)) + 1;
  const { sequence, ...decided } = await deps.database.transaction((tx: SiteTx) =>
    decideInside(deps, tx, { projectId, typed, by: by.name, sequenceMin }),
  );
  deps.standings.decided(projectId, sequence);
  if (typed.verdict !== 'approved') deps.watch.approvalEnded(projectId);
  return decided;
}

async function decideInside(
  deps: GovernanceDeps,
  tx: SiteTx,
  input: { projectId: ProjectId; typed: NewDecision; by: string; sequenceMin: number },
): Promise<SiteProject & { sequence: number }> {
  const row = await store.lockProject(tx, input.projectId);
  if (row === undefined) throw unknownProject();
  const state = transition(DECISION_STATES, {
    what: 'decision',
    state: row.state,
    event: EVENT_OF_VERDICT[input.typed.verdict],
  });
  if (documentDigest(row.spec) !== row.project_digest) {
    throw new AppError(
      'envelope.rejected',
      'The stored project is not the document that the hub sent; do not decide on it.',
    );
  }
  // Where rows were taken away, the next number still follows the last one that was signed.
  const last = await store.findNewestSequence(tx, row.project_id);
  const sequence = Math.max(row.sequence + 1, last + 1, input.sequenceMin);
  const document = decisionDocument(input.typed, row.spec, {
    decisionId: newId('DecisionId'),
    siteId: deps.siteId,
    projectId: row.project_id,
    projectDigest: row.project_digest,
    decidedBy: input.by,
    decidedAt: deps.clock.now(),
    sequence,
    versions: await deps.versionsOf(row.spec.datasets, tx),
  });
  const envelope = signEnvelope({ payloadType: PAYLOAD_TYPES.decision, payload: document, keyPair: deps.keyPair });
  const digest = documentDigest(document);
  await store.insertDecision(tx, { document, digest, envelope });
  await store.updateProject(tx, row.project_id, { state, sequence });
  await enqueue(tx, {
    name: JOBS.deliverDecision,
    payload: { projectId: row.project_id, sequence },
    queueName: JOBS.deliverDecision,
  });
  await audit(deps, tx, {
    actor: `user:${input.by}`,
    action: `decision.${EVENT_OF_VERDICT[input.typed.verdict]}`,
    object: row.project_id,
    details: { decisionDigest: digest, sequence },
  });
  return { ...asSiteProject({ ...row, state }, undefined), decision: document, envelope, sequence };
}

/** Takes over what the hub asks. Throws when the hub does not answer. */
async function refresh(deps: GovernanceDeps, signal: AbortSignal): Promise<void> {
  for (const asked of await deps.askedProjects(signal)) await takeOver(deps, asked);
}

async function tryRefresh(deps: GovernanceDeps, signal: AbortSignal): Promise<void> {
  try {
    await refresh(deps, AbortSignal.any([signal, AbortSignal.timeout(REFRESH_WAIT_MS_MAX)]));
  } catch (err) {
    // The hub may be away; what this site knows is still true.
    deps.log.debug({ err }, 'the hub did not say which projects ask this site');
  }
}

async function takeOver(deps: GovernanceDeps, asked: AskedProject): Promise<void> {
  if (documentDigest(asked.spec) !== asked.projectDigest || !asked.spec.sites.includes(deps.siteId)) {
    deps.log.warn(
      { projectId: asked.projectId },
      'the hub sent a project whose digest or sites do not fit; it is ignored',
    );
    return;
  }
  const known = await store.findProject(deps.db, asked.projectId);
  if (known === undefined) {
    await deps.database.transaction(async (tx: SiteTx) => {
      if (!(await store.insertProject(tx, asked, deps.clock.now()))) return;
      const { projectDigest } = asked;
      await audit(deps, tx, {
        actor: 'hub',
        action: 'project.asked',
        object: asked.projectId,
        details: { projectDigest },
      });
    });
    return;
  }
  if (known.project_digest !== asked.projectDigest) {
    deps.log.warn({ projectId: asked.projectId }, 'the hub changed a project under its old id; the change is ignored');
    return;
  }
  if (known.hub_state !== asked.state) await followHub(deps, asked);
}

/** A project that ended at the hub lapses here, unless this site's approval still stands; that one ends by expiry. */
async function followHub(deps: GovernanceDeps, asked: AskedProject): Promise<void> {
  await deps.database.transaction(async (tx: SiteTx) => {
    const row = await store.lockProject(tx, asked.projectId);
    if (row === undefined) return;
    const lapsed = HUB_STATES_OVER.has(asked.state) ? nextState(DECISION_STATES, row.state, 'lapse') : undefined;
    await store.updateProject(tx, asked.projectId, { hub_state: asked.state, state: lapsed ?? row.state });
    if (lapsed !== undefined) {
      await audit(deps, tx, { actor: 'hub', action: 'project.lapsed', object: asked.projectId });
    }
  });
}

async function sweep(deps: GovernanceDeps): Promise<void> {
  const now = deps.clock.now();
  const decisions = await store.listNewestDecisions(deps.db);
  for (const { project_id: projectId, document } of decisions) {
    if (document.verdict !== 'approved' || document.expiresAt === undefined) continue;
    if (Date.parse(document.expiresAt) > now.getTime()) continue;
    if (await expire(deps, projectId, document.sequence)) deps.watch.approvalEnded(projectId);
  }
}

async function expire(deps: GovernanceDeps, projectId: ProjectId, sequence: number): Promise<boolean> {
  return deps.database.transaction(async (tx: SiteTx) => {
    const row = await store.lockProject(tx, projectId);
    const state = row === undefined ? undefined : nextState(DECISION_STATES, row.state, 'expire');
    if (row === undefined || state === undefined || row.sequence !== sequence) return false;
    await store.updateProject(tx, projectId, { state });
    await audit(deps, tx, { actor: 'site', action: 'decision.expire', object: projectId, details: { sequence } });
    return true;
  });
}

async function findOrRefresh(
  deps: GovernanceDeps,
  projectId: ProjectId,
  signal: AbortSignal,
): Promise<store.ProjectRow> {
  const known = await store.findProject(deps.db, projectId);
  if (known !== undefined) return known;
  await tryRefresh(deps, signal);
  const row = await store.findProject(deps.db, projectId);
  if (row === undefined) throw unknownProject();
  return row;
}

function asSiteProject(
  row: { project_id: ProjectId; project_digest: SiteProject['projectDigest']; spec: ProjectSpec; state: DecisionState },
  decision: store.DecisionRow | undefined,
): SiteProject {
  return {
    projectId: row.project_id,
    projectDigest: row.project_digest,
    spec: row.spec,
    state: row.state,
    ...(decision === undefined ? {} : { decision: decision.document, envelope: decision.envelope }),
  };
}

function unknownProject(): AppError {
  return new AppError('not-found', 'No project of this id asks this site.');
}
