/**
 * From what a governance lead typed to the document that the site signs.
 *
 * Invariant: an approval never allows more than the project asked. Conditions that are not typed are those the project asked
 * for, with the gate's defaults. The rules for counts may only be made stricter, since they are shared by everybody who asks:
 * more questions are granted one by one, after a person looked;
 * the rules for statistics of this project's runs may be relaxed, in the open, inside the signed document. Free text, which stays in the
 * hospital and no project asks for, is none unless the lead types it.
 */
import {
  AppError,
  COUNT_POLICY_DEFAULT,
  type Conditions,
  ConditionsSchema,
  type CountPolicy,
  type DatasetVersion,
  type Decision,
  type DecisionId,
  type Digest,
  FREE_TEXT_DEFAULT,
  type NewDecision,
  type ProjectId,
  type ProjectSpec,
  parse,
  RUN_COUNT_MAX_DEFAULT,
  RUN_STATISTICS_POLICY_DEFAULT,
  type SiteId,
} from '@lantern/contract';

export type DecisionHead = {
  readonly decisionId: DecisionId;
  readonly siteId: SiteId;
  readonly projectId: ProjectId;
  readonly projectDigest: Digest;
  readonly decidedBy: string;
  readonly decidedAt: Date;
  /** One more than that of the last decision on this project. */
  readonly sequence: number;
  /** Of the datasets of the project, those that are offered now. */
  readonly versions: readonly DatasetVersion[];
};

/** Throws `input.invalid` naming the condition that goes beyond what the project asked or below what a site must keep. */
export function decisionDocument(typed: NewDecision, spec: ProjectSpec, head: DecisionHead): Decision {
  const { decidedAt, versions, ...rest } = head;
  const common = {
    schema: 'lantern.decision/1' as const,
    ...rest,
    verdict: typed.verdict,
    reason: typed.reason,
    decidedAt: decidedAt.toISOString(),
  };
  if (typed.verdict === 'approved') {
    return { ...common, conditions: conditionsOf(typed, spec, versions), expiresAt: expiryOf(typed, spec, decidedAt) };
  }
  for (const field of OF_APPROVALS) {
    if (typed[field] !== undefined) {
      throw new AppError('input.invalid', `Field /${field} belongs to an approval only.`, { field: `/${field}` });
    }
  }
  return common;
}

const OF_APPROVALS = [
  'expiresAt',
  'egress',
  'bundleDigests',
  'counts',
  'runStatistics',
  'runCountMax',
  'freeText',
] as const;

function expiryOf(typed: NewDecision, spec: ProjectSpec, now: Date): string {
  const expiresAt = typed.expiresAt ?? spec.expiresAt;
  const instantMs = Date.parse(expiresAt);
  if (instantMs <= now.getTime()) {
    throw new AppError('input.invalid', 'Field /expiresAt lies in the past.', { field: '/expiresAt' });
  }
  if (instantMs > Date.parse(spec.expiresAt)) {
    throw new AppError('input.invalid', 'Field /expiresAt is later than the end of the project.', {
      field: '/expiresAt',
    });
  }
  return new Date(instantMs).toISOString();
}

function conditionsOf(typed: NewDecision, spec: ProjectSpec, versions: readonly DatasetVersion[]): Conditions {
  const askedDigests = [...new Set(spec.algorithms.map(({ bundleDigest }) => bundleDigest))];
  const conditions = {
    datasets: spec.datasets,
    bundleDigests: within('bundleDigests', typed.bundleDigests ?? askedDigests, askedDigests),
    egress: within('egress', typed.egress ?? spec.egress, spec.egress),
    counts: countPolicyOf(typed.counts ?? {}),
    runStatistics: { ...RUN_STATISTICS_POLICY_DEFAULT, ...typed.runStatistics },
    runCountMax: typed.runCountMax ?? RUN_COUNT_MAX_DEFAULT,
    freeText: typed.freeText ?? FREE_TEXT_DEFAULT,
    versions: [...versions],
  };
  return parse(ConditionsSchema, conditions, { what: 'Conditions of the decision' });
}

function within<T>(field: string, wanted: readonly T[], asked: readonly T[]): T[] {
  if (!wanted.every((item) => asked.includes(item))) {
    throw new AppError('input.invalid', `Field /${field} allows more than the project asks.`, { field: `/${field}` });
  }
  return [...wanted];
}

/** Which way is stricter. Every rule has a row, so that one added to the contract cannot be forgotten here. */
const STRICTER: Readonly<Record<keyof CountPolicy, 'raised' | 'lowered'>> = {
  patientCountMin: 'raised',
  rounding: 'raised',
  noiseStdDev: 'raised',
  questionsMax: 'lowered',
};

function countPolicyOf(typed: Partial<CountPolicy>): CountPolicy {
  const policy = { ...COUNT_POLICY_DEFAULT, ...typed };
  for (const [field, stricter] of Object.entries(STRICTER) as [keyof CountPolicy, 'raised' | 'lowered'][]) {
    const [value, least] = [policy[field], COUNT_POLICY_DEFAULT[field]];
    if (stricter === 'raised' ? value >= least : value <= least) continue;
    const looser = stricter === 'raised' ? 'lowered' : 'raised';
    throw new AppError('input.invalid', `Field /counts/${field} may be ${stricter} from ${least}, not ${looser}.`, {
      field: `/counts/${field}`,
    });
  }
  return policy;
}
