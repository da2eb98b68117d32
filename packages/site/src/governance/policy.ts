/**
 * May this leave? The one place where a site compares what the hub asks with what the hospital's governance lead signed.
 *
 * Pure: everything it needs is handed in, so that every reason for a refusal is a test. It is asked twice per task, before
 * any row is read and again just before anything leaves; a decision withdrawn between the two stops the message.
 *
 * Invariant: without a signed, unexpired approval of exactly this project document nothing of a run leaves. The one
 * exception is a count over a dataset that the hospital itself opened to any project; the disclosure gate then applies its
 * defaults.
 */
import {
  type AnswerBody,
  brokenBound,
  COUNT_POLICY_DEFAULT,
  type Conditions,
  type CountPolicy,
  type Decision,
  type DecisionState,
  type Digest,
  EGRESS_TABLE,
  type EgressKind,
  type FeasibilityPolicy,
  FREE_TEXT_DEFAULT,
  type ProjectAlgorithm,
  type ProjectSpec,
  type RoundTask,
  type StepKind,
} from '@lantern/contract';

/** Where this site stands on one project. `decision` is the newest signed one, whatever its verdict. */
export type VerifiedStanding = {
  readonly state: DecisionState;
  readonly spec: ProjectSpec;
  readonly projectDigest: Digest;
  readonly decision?: { readonly document: Decision; readonly digest: Digest };
};

/** `rejected`: what is stored is not what this site signed, so it stands for nothing. */
export type Standing = VerifiedStanding | { readonly state: 'rejected'; readonly message: string };

export type Refusal = {
  readonly allowed: false;
  readonly code: 'policy.not-approved' | 'policy.refused' | 'envelope.rejected';
  readonly message: string;
};

export type RoundPermission = {
  readonly allowed: true;
  readonly conditions: Conditions;
  readonly decisionDigest: Digest;
  readonly algorithm: ProjectAlgorithm;
  readonly spec: ProjectSpec;
};

/** `decisionDigest` is absent where the dataset is open to any project and no decision was needed. */
export type QuestionPermission = {
  readonly allowed: true;
  readonly counts: CountPolicy;
  readonly decisionDigest?: Digest;
};

const ANSWER_OF_STEP = {
  prepare: 'prepared',
  standardise: 'moments',
  newton: 'newton',
  train: 'update',
  evaluate: 'evaluation',
} as const satisfies Record<StepKind, AnswerBody['kind']>;

/** The kind a decision must have allowed before such an answer may leave; `undefined`: it may always leave. */
export function egressOfAnswer(kind: AnswerBody['kind']): EgressKind | undefined {
  return EGRESS_TABLE.find((row) => row.answerKind === kind)?.egress;
}

/** May this round of a run be performed, and may its answer leave? `manifestDigest` was computed from the task's manifest. */
export function allowsRound(
  standing: Standing | undefined,
  request: { readonly task: RoundTask; readonly manifestDigest: Digest; readonly now: Date },
): RoundPermission | Refusal {
  const approval = approvalOf(standing, request.now);
  if (!approval.allowed) return approval;
  const { spec, conditions, projectDigest, decisionDigest } = approval;
  const { task } = request;
  if (task.projectDigest !== projectDigest) {
    return refused('The run is of another version of the project than this site approved.');
  }
  const algorithm = spec.algorithms.find(({ name }) => name === task.algorithm);
  if (algorithm === undefined) return refused(`The project has no algorithm "${task.algorithm}".`);
  if (request.manifestDigest !== task.bundleDigest || task.bundleDigest !== algorithm.bundleDigest) {
    return refused(`The bundle of algorithm "${algorithm.name}" is not the one that the project names.`);
  }
  if (!conditions.bundleDigests.includes(task.bundleDigest)) {
    return refused(`This site's decision does not allow the bundle of algorithm "${algorithm.name}".`);
  }
  const { dataset } = algorithm.features;
  if (!conditions.datasets.includes(dataset)) {
    return refused(`This site's decision does not allow dataset "${dataset}".`);
  }
  const egress = egressOfAnswer(ANSWER_OF_STEP[task.step.kind]);
  if (egress !== undefined && !conditions.egress.includes(egress)) {
    return refused(`This site's decision does not allow "${egress}" to leave.`);
  }
  if (trainingRoundOf(task) > algorithm.roundsMax) {
    return refused(`The project allows at most ${algorithm.roundsMax} rounds of algorithm "${algorithm.name}".`);
  }
  const unbounded = trainingRefusal(algorithm, task);
  if (unbounded !== undefined) return unbounded;
  return { allowed: true, conditions, decisionDigest, algorithm, spec };
}

/** May this dataset be counted for this project? */
export function allowsQuestion(
  standing: Standing | undefined,
  request: { readonly dataset: string; readonly feasibility: FeasibilityPolicy; readonly now: Date },
): QuestionPermission | Refusal {
  const undecided = standing === undefined || standing.state === 'asked';
  if (undecided && request.feasibility === 'any-project') return { allowed: true, counts: COUNT_POLICY_DEFAULT };
  const approval = approvalOf(standing, request.now);
  if (!approval.allowed) return approval;
  const { conditions, decisionDigest } = approval;
  if (!conditions.datasets.includes(request.dataset)) {
    return refused(`This site's decision does not allow dataset "${request.dataset}".`);
  }
  if (!conditions.egress.includes('counts')) return refused('This site\'s decision does not allow "counts" to leave.');
  return { allowed: true, counts: conditions.counts, decisionDigest };
}

export type FreeTextPermission = { readonly allowed: true; readonly decisionDigest: Digest };

/** May this project have notes? Only a signed approval that says so allows it; one that says nothing allows none. */
export function allowsFreeText(standing: Standing | undefined, now: Date): FreeTextPermission | Refusal {
  const approval = approvalOf(standing, now);
  if (!approval.allowed) return approval;
  const { conditions, decisionDigest } = approval;
  if ((conditions.freeText ?? FREE_TEXT_DEFAULT) !== 'deidentified')
    return refused("This site's decision does not allow free text for the project.");
  return { allowed: true, decisionDigest };
}

type Approval = {
  readonly allowed: true;
  readonly spec: ProjectSpec;
  readonly conditions: Conditions;
  readonly projectDigest: Digest;
  readonly decisionDigest: Digest;
};

const NOT_APPROVED: Readonly<Record<Exclude<DecisionState, 'approved'>, string>> = {
  asked: 'This site has not decided about the project yet.',
  refused: 'This site refused the project.',
  withdrawn: 'This site withdrew its approval of the project.',
  expired: "This site's approval of the project has expired.",
  lapsed: 'The project has ended.',
};

/** Whether a signed approval of the project stands. */
export function isApproved(standing: Standing | undefined, now: Date): boolean {
  return approvalOf(standing, now).allowed;
}

function approvalOf(standing: Standing | undefined, now: Date): Approval | Refusal {
  if (standing === undefined) return notApproved('This site has not been asked about the project.');
  if (standing.state === 'rejected') return changed(standing.message);
  const { state, decision, spec, projectDigest } = standing;
  if (state !== 'approved') return notApproved(NOT_APPROVED[state]);
  if (
    decision === undefined ||
    decision.document.verdict !== 'approved' ||
    decision.document.conditions === undefined
  ) {
    return notApproved('This site has no signed approval of the project.');
  }
  const { expiresAt, conditions } = decision.document;
  // The sweep may not have run yet: expiry holds from its instant on.
  if (expiresAt === undefined || Date.parse(expiresAt) <= now.getTime()) return notApproved(NOT_APPROVED.expired);
  if (decision.document.projectDigest !== projectDigest) {
    return refused('The approval is of another version of the project.');
  }
  return { allowed: true, spec, conditions, projectDigest, decisionDigest: decision.digest };
}

/** A graph is trained only as far as the signed project says, whatever the hub let pass. */
function trainingRefusal({ name, training }: ProjectAlgorithm, { manifest, step }: RoundTask): Refusal | undefined {
  if (manifest.kind !== 'graph') return undefined;
  if (training === undefined) return refused(`The project sets no bounds on the training of algorithm "${name}".`);
  if (step.kind !== 'train') return undefined;
  const broken = brokenBound(training, step);
  return broken === undefined ? undefined : refused(`Algorithm "${name}": ${broken.field}: ${broken.rule}.`);
}

/** Rounds are numbered with `prepare` as 0 and, with pooled standardisation, `standardise` as 1. */
function trainingRoundOf(task: RoundTask): number {
  if (task.step.kind !== 'newton' && task.step.kind !== 'train') return 0;
  return task.standardisation.kind === 'pooled' ? task.round - 1 : task.round;
}

const refused = (message: string): Refusal => ({ allowed: false, code: 'policy.refused', message });
/** Says what to do: the row may have been changed by a fault, and the lead at this site is who can look. */
const changed = (message: string): Refusal => ({
  allowed: false,
  code: 'envelope.rejected',
  message: `The decision stored at this site is not the one that it signed: ${message} Its governance lead has to decide anew.`,
});
const notApproved = (message: string): Refusal => ({ allowed: false, code: 'policy.not-approved', message });
