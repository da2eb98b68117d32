/**
 * Opens a round: its row, one signed task per site, and the instant at which the hub looks again, all in one transaction.
 * A task holds everything its step needs, so that a site never has to ask about a run.
 */
import {
  AppError,
  type BlobRef,
  BUNDLE_FILE_PATHS,
  type Digest,
  type GraphManifest,
  INLINE_TENSOR_BYTES_MAX,
  type RoundTask,
  type RunPlan,
  type SiteId,
  type Step,
  type StepKind,
  type TensorRef,
} from '@lantern/contract';
import { featureNames } from '@lantern/learning';
import { type BlobStore, inlineBlob, newId } from '@lantern/service';
import { issueTasks, type NewTask } from '../exchange/tasks.ts';
import type { HubContext } from '../hub-context.ts';
import type { HubTx } from '../tables.ts';
import type { RunBlueprint } from './blueprint.ts';
import { graphOf, resultOf, thetaOf } from './results.ts';
import type { RoundResult } from './round-result.ts';
import * as store from './store.ts';
import { readFully } from './tensor-file.ts';

export type RoundToOpen = { readonly number: number; readonly step: StepKind; readonly sites: readonly SiteId[] };

/** An update holds the parameters and a header; the slack covers names and shapes of the largest header we accept. */
const UPDATE_HEADER_BYTES_MAX = 1024 * 1024;
const FLOAT32_BYTES = 4;

export async function openRound(
  context: Pick<HubContext, 'keyPair' | 'clock' | 'issued'> & { readonly blobs: BlobStore },
  tx: HubTx,
  input: { blueprint: RunBlueprint; round: RoundToOpen; results: readonly RoundResult[] },
): Promise<void> {
  const { blueprint, round, results } = input;
  const openedAt = context.clock.now();
  await store.insertRound(tx, { runId: blueprint.runId, number: round.number, step: round.step, openedAt });
  const step = await withSmallTensors(context.blobs, stepOf(blueprint, round, results));
  const tasks = round.sites.map((siteId): NewTask => {
    const task: RoundTask = {
      schema: 'lantern.task/1',
      taskId: newId('TaskId'),
      siteId,
      projectId: blueprint.project.projectId,
      createdAt: openedAt.toISOString(),
      kind: 'round',
      projectDigest: blueprint.project.projectDigest,
      runId: blueprint.runId,
      round: round.number,
      algorithm: blueprint.plan.algorithm,
      manifest: blueprint.manifest,
      bundleDigest: blueprint.algorithm.bundleDigest,
      standardisation: standardisationOf(blueprint.plan, results),
      step,
    };
    return {
      task,
      blobs: blobsOf(step),
      uploadBytesMax: uploadBytesMaxOf(step, blueprint.manifest),
    };
  });
  await issueTasks(context, tx, tasks);
}

function standardisationOf(plan: RunPlan, results: readonly RoundResult[]): RoundTask['standardisation'] {
  const pooled = resultOf(results, 'standardised');
  if (plan.standardisation === 'pooled' && pooled !== undefined) {
    return { kind: 'pooled', values: pooled.standardisation };
  }
  return { kind: plan.standardisation };
}

function stepOf(blueprint: RunBlueprint, round: RoundToOpen, results: readonly RoundResult[]): Step {
  const { plan, manifest, algorithm } = blueprint;
  const featureCount = featureNames(algorithm.features).length;
  switch (round.step) {
    case 'prepare':
    case 'standardise':
      return { kind: round.step };
    case 'newton':
      return { kind: 'newton', theta: thetaOf(results, featureCount) };
    case 'train':
      return trainStep(blueprint, round.number, results);
    case 'evaluate':
      return manifest.kind === 'graph'
        ? { kind: 'evaluate', weights: weightsOf(manifest, results) }
        : { kind: 'evaluate', theta: thetaOf(results, featureCount) };
    default:
      throw new AppError('internal', `There is no step ${plan.algorithm}.`);
  }
}

function trainStep(blueprint: RunBlueprint, number: number, results: readonly RoundResult[]): Step {
  const { plan } = blueprint;
  if (plan.strategy === undefined || plan.local === undefined) {
    throw new AppError('internal', 'A train step needs strategy and local training.');
  }
  const control = resultOf(results, 'trained')?.serverState['c'];
  return {
    kind: 'train',
    weights: weightsOf(graphOf(blueprint.manifest), results),
    ...(control === undefined ? {} : { control }),
    strategy: plan.strategy,
    local: plan.local,
    seed: seedOf(plan.seed, number),
  };
}

/** Another order of the rows in each round, the same when a round is computed again. */
function seedOf(planSeed: number, round: number): number {
  return (planSeed * 1_000_003 + round) % 2 ** 32;
}

/** The global weights now: those of the last round, before the first those of the bundle. */
export function weightsOf(manifest: GraphManifest, results: readonly RoundResult[]): BlobRef {
  const trained = resultOf(results, 'trained');
  if (trained !== undefined) return trained.weights;
  const initial = manifest.files.find((file) => file.path === BUNDLE_FILE_PATHS.initialWeights);
  if (initial === undefined) throw new AppError('bundle.invalid', 'The bundle has no initial weights.');
  return { digest: initial.digest, sizeBytes: initial.sizeBytes };
}

/** The step with the bytes of its small tensors, which spares each site a request. */
async function withSmallTensors(blobs: BlobStore, step: Step): Promise<Step> {
  const filled = async (ref: TensorRef): Promise<TensorRef> =>
    ref.sizeBytes > INLINE_TENSOR_BYTES_MAX ? ref : inlineBlob(await readSmall(blobs, ref));
  switch (step.kind) {
    case 'train':
      return {
        ...step,
        weights: await filled(step.weights),
        ...(step.control === undefined ? {} : { control: await filled(step.control) }),
      };
    case 'evaluate':
      return step.weights === undefined ? step : { ...step, weights: await filled(step.weights) };
    default:
      return step;
  }
}

async function readSmall(blobs: BlobStore, ref: TensorRef): Promise<Uint8Array> {
  const reader = await blobs.openReader(ref.digest);
  try {
    const bytes = new Uint8Array(ref.sizeBytes);
    readFully(bytes, 0, (target, byteOffset) => reader.readInto(target, byteOffset));
    return bytes;
  } finally {
    reader.close();
  }
}

/** The blobs a site will ask for, beside those of the bundle, which every site of the project may read. */
function blobsOf(step: Step): Digest[] {
  const weights = step.kind === 'train' || step.kind === 'evaluate' ? step.weights : undefined;
  const control = step.kind === 'train' ? step.control : undefined;
  const blobs = [weights, control].flatMap((ref) => (ref === undefined || ref.bytes !== undefined ? [] : [ref.digest]));
  return [...new Set(blobs)];
}

function uploadBytesMaxOf(step: Step, manifest: RoundTask['manifest']): number {
  if (step.kind !== 'train') return 0;
  return parameterBytes(graphOf(manifest)) + UPDATE_HEADER_BYTES_MAX;
}

/** Bytes of all parameters as float32. */
export function parameterBytes(manifest: GraphManifest): number {
  return manifest.parameters.reduce(
    (sum, parameter) => sum + FLOAT32_BYTES * parameter.shape.reduce((product, size) => product * size, 1),
    0,
  );
}
