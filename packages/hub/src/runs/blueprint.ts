/** What a run was planned from. None of it ever changes, so it is read once per run and kept while the run is at work. */
import {
  AppError,
  type BundleManifest,
  type Project,
  type ProjectAlgorithm,
  type RunId,
  type RunPlan,
} from '@lantern/contract';
import { manifestOf } from '../bundles/bundles.ts';
import { projectFor } from '../projects/projects.ts';
import type { HubDb } from '../tables.ts';
import type { RunRow } from './store.ts';

export type RunBlueprint = {
  readonly runId: RunId;
  readonly plan: RunPlan;
  readonly project: Pick<Project, 'projectId' | 'projectDigest' | 'spec'>;
  readonly algorithm: ProjectAlgorithm;
  readonly manifest: BundleManifest;
};

const BLUEPRINT_COUNT_MAX = 200; // twice the runs that are at work at the same time

export async function loadBlueprint(db: HubDb, row: RunRow): Promise<RunBlueprint> {
  const project = await projectFor(db, row.project_id);
  const algorithm = project.spec.algorithms.find((candidate) => candidate.name === row.plan.algorithm);
  const manifest = await manifestOf(db, row.bundle_digest);
  if (algorithm === undefined || manifest === undefined) {
    throw new AppError('internal', 'A run lost its algorithm or its bundle.');
  }
  return { runId: row.run_id, plan: row.plan, project, algorithm, manifest };
}

export type Blueprints = { readonly of: (db: HubDb, row: RunRow) => Promise<RunBlueprint> };

export function createBlueprints(): Blueprints {
  const kept = new Map<RunId, RunBlueprint>();
  return {
    async of(db, row) {
      const known = kept.get(row.run_id);
      if (known !== undefined) return known;
      const blueprint = await loadBlueprint(db, row);
      if (kept.size >= BLUEPRINT_COUNT_MAX) kept.clear();
      kept.set(row.run_id, blueprint);
      return blueprint;
    },
  };
}
