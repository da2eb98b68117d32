/**
 * What the answers of a round come to, for every step whose answers travel inside the message: the numbers of all sites
 * merged in ascending order of site id, so that the same answers give the same bits whatever order they came in.
 */
import {
  type AnswerBody,
  AppError,
  type Digest,
  type EvaluationMetrics,
  type Run,
  type SiteId,
} from '@lantern/contract';
import { encodeTensors, mergeMoments, mergeNewtonStatistics, newtonStep, standardisationOf } from '@lantern/learning';
import type { BlobStore } from '@lantern/service';
import { evaluationOf } from './evaluation.ts';
import type { PreparedResult, RoundResult } from './round-result.ts';
import type { UsableAnswer } from './store.ts';

export type Closing = {
  readonly result: RoundResult;
  readonly metrics: Record<string, number>;
  readonly weightsDigest?: Digest;
  /** Blobs that nobody needs once the round is closed: uploaded updates, replaced server state. */
  readonly leavesBlobs?: boolean;
  readonly evaluation?: NonNullable<Run['evaluation']>;
};

type BodyOf<K extends AnswerBody['kind']> = Extract<AnswerBody, { kind: K }>;

/** The answers of one kind; the plan has let no other through. */
export function bodiesOf<K extends AnswerBody['kind']>(
  answers: readonly UsableAnswer[],
  kind: K,
): { siteId: SiteId; body: BodyOf<K> }[] {
  return answers.flatMap(({ siteId, body }) => (isKind(body, kind) ? [{ siteId, body }] : []));
}

function isKind<K extends AnswerBody['kind']>(body: AnswerBody, kind: K): body is BodyOf<K> {
  return body.kind === kind;
}

/**
 * Closes `prepare`: the sites must mean the same by every column. Throws `dataset.schema-mismatch` naming the sites that
 * differ from the majority.
 */
export function closePrepare(answers: readonly UsableAnswer[], names: ReadonlyMap<SiteId, string>): PreparedResult {
  const prepared = bodiesOf(answers, 'prepared');
  const sitesByDigest = new Map<Digest, SiteId[]>();
  for (const { siteId, body } of prepared) {
    sitesByDigest.set(body.schemaDigest, [...(sitesByDigest.get(body.schemaDigest) ?? []), siteId]);
  }
  const groups = [...sitesByDigest].sort(([, a], [, b]) => b.length - a.length);
  const [most, ...others] = groups;
  if (most === undefined) throw new AppError('internal', 'A round was closed without answers.');
  if (others.length > 0) {
    const list = (siteIds: readonly SiteId[]) => siteIds.map((siteId) => names.get(siteId) ?? siteId).join(', ');
    throw new AppError(
      'dataset.schema-mismatch',
      `The sites describe the dataset differently: ${groups.map(([, siteIds]) => list(siteIds)).join(' / ')}.`,
    );
  }
  const trainRowCounts: Record<SiteId, number> = {};
  for (const { siteId, body } of prepared) trainRowCounts[siteId] = body.trainRowCount;
  return { kind: 'prepared', schemaDigest: most[0], trainRowCounts };
}

export function prepareMetrics(answers: readonly UsableAnswer[]): Record<string, number> {
  const prepared = bodiesOf(answers, 'prepared');
  return {
    siteCount: prepared.length,
    trainRowCount: prepared.reduce((sum, { body }) => sum + body.trainRowCount, 0),
    testRowCount: prepared.reduce((sum, { body }) => sum + body.testRowCount, 0),
  };
}

export function closeStandardise(answers: readonly UsableAnswer[]): Closing {
  const moments = mergeMoments(bodiesOf(answers, 'moments').map(({ body }) => body.moments));
  return {
    result: { kind: 'standardised', standardisation: standardisationOf(moments), rowCount: moments.rowCount },
    metrics: { siteCount: answers.length, rowCount: moments.rowCount },
  };
}

/** One Newton-Raphson step over all sites; the new coefficients are also kept as a safetensors file `theta`. */
export async function closeNewton(
  answers: readonly UsableAnswer[],
  input: { theta: readonly number[]; ridge: number; damping: number; blobs: BlobStore },
): Promise<Closing> {
  const { theta, ridge, damping } = input;
  const merged = mergeNewtonStatistics(bodiesOf(answers, 'newton').map(({ body }) => body));
  const step = newtonStep({ theta, gradient: merged.gradient, hessian: merged.hessian, ridge, damping });
  const file = encodeTensors({
    theta: { dtype: 'F64', shape: [step.theta.length], data: Float64Array.from(step.theta) },
  });
  const weights = await input.blobs.put(file);
  return {
    result: { kind: 'newton', theta: step.theta, weights },
    weightsDigest: weights.digest,
    metrics: {
      siteCount: answers.length,
      rowCount: merged.rowCount,
      logLikelihood: merged.logLikelihood,
      changeMax: step.changeMax,
    },
  };
}

export function closeEvaluate(answers: readonly UsableAnswer[]): Closing {
  const evaluation = evaluationOf(bodiesOf(answers, 'evaluation').map(({ siteId, body }) => ({ siteId, ...body })));
  return {
    result: { kind: 'evaluated' },
    evaluation,
    metrics: { siteCount: answers.length, ...numbersOf(evaluation.combined) },
  };
}

function numbersOf(metrics: EvaluationMetrics): Record<string, number> {
  return Object.fromEntries(
    Object.entries(metrics).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  );
}
