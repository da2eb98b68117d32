/**
 * For the governance lead before a decision: what the gate would say to each algorithm of a project on this site's rows. The
 * preview stays inside the hospital; it shows the price of a relaxation before anybody signs one, and how far a graph may be trained.
 */
import {
  AppError,
  type DisclosureFinding,
  type ProjectSpec,
  RUN_STATISTICS_POLICY_DEFAULT,
  type TrainingBounds,
} from '@lantern/contract';
import { featureNames } from '@lantern/learning';
import { answerRunStatistics } from '@lantern/omop';
import type { Dataset } from '../datasets/datasets.ts';
import type { TableEngine } from '../datasets/table-engine.ts';
import { type Bundles, holdsPairs, parameterCountOf } from './bundles.ts';
import { readFacts } from './snapshot.ts';

type PreviewDeps = {
  readonly engine: TableEngine;
  readonly bundles: Bundles;
  readonly findDataset: (name: string, signal: AbortSignal) => Promise<Dataset | undefined>;
};

export type AlgorithmPreview = { name: string; findings: DisclosureFinding[]; training?: TrainingBounds };

/** What the gate says to each algorithm of a project on this site's rows, under its defaults, and how far it may train. */
export async function previewProject(
  deps: PreviewDeps,
  spec: ProjectSpec,
  signal: AbortSignal,
): Promise<AlgorithmPreview[]> {
  const previews: AlgorithmPreview[] = [];
  for (const { name, bundleDigest: digest, features, training } of spec.algorithms) {
    const dataset = await deps.findDataset(features.dataset, signal);
    if (dataset === undefined) {
      throw new AppError(
        'not-found',
        `This site offers no dataset "${features.dataset}"; algorithm "${name}" cannot run.`,
      );
    }
    const manifest = await deps.bundles.manifestOf(digest, signal);
    const parameterCount = parameterCountOf(manifest, featureNames(features).length);
    const { train: facts } = await readFacts(
      deps.engine,
      { ...dataset, features, holdsPairs: holdsPairs(manifest) },
      signal,
    );
    const verdict = answerRunStatistics(RUN_STATISTICS_POLICY_DEFAULT, { ...facts, parameterCount });
    const findings = verdict.kind === 'refused' ? [...verdict.findings] : [];
    previews.push({ name, findings, ...(training === undefined ? {} : { training }) });
  }
  return previews;
}
