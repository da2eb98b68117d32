/** The newest results of a run by kind, and what each step of the plan needs from them. */
import { AppError, type BundleManifest, type GraphManifest } from '@lantern/contract';
import type { RoundResult } from './round-result.ts';

type ResultOf<K extends RoundResult['kind']> = Extract<RoundResult, { kind: K }>;

export function resultOf<K extends RoundResult['kind']>(
  results: readonly RoundResult[],
  kind: K,
): ResultOf<K> | undefined {
  return results.find((result): result is ResultOf<K> => result.kind === kind);
}

/** The coefficients to go on from: all zero before the first Newton round. Intercept first. */
export function thetaOf(results: readonly RoundResult[], featureCount: number): number[] {
  const newest = resultOf(results, 'newton');
  return newest === undefined ? new Array<number>(featureCount + 1).fill(0) : [...newest.theta];
}

export function graphOf(manifest: BundleManifest): GraphManifest {
  if (manifest.kind !== 'graph') throw new AppError('internal', 'A train step needs a graph bundle.');
  return manifest;
}
