/** The demo's federation for benches: a hub and four hospitals as processes, one project with the given bundles, approved. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  HUB_API,
  isFinal,
  type ProjectId,
  RUN_STATES,
  type Run,
  type RunId,
  type RunPlan,
  SITE_API,
  STRATEGY_KINDS,
  type TrainingBounds,
} from '@lantern/contract';
import {
  DATASET,
  type DemoSite,
  FEATURES,
  type Federation,
  hospitalCsv,
  pushBundle,
  startFederation,
  uploadFile,
} from '@lantern/lantern';
import type { BuiltBundle } from '@lantern/runner';

export type HeartFederation = Federation & { readonly projectId: ProjectId };

/** `bundles`: algorithm name in the project to bundle. Everything is removed again when `use` ends. */
export async function withHeartFederation<T>(
  bundles: ReadonlyMap<string, BuiltBundle>,
  use: (federation: HeartFederation) => Promise<T>,
): Promise<T> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'lantern-bench-'));
  await chmod(root, 0o711);
  let federation: Federation | undefined;
  try {
    federation = await startFederation({ env: process.env, root });
    await Promise.all(federation.sites.map(register));
    return await use({ ...federation, projectId: await approvedProject(federation, bundles) });
  } finally {
    await federation?.stop();
    await rm(root, { recursive: true, force: true });
  }
}

/** Of FLamby's plans, the shorter ones, and the demonstration's. */
const TRAINING: TrainingBounds = {
  strategies: [...STRATEGY_KINDS],
  learningRateMax: 0.3,
  stepsMax: 100,
  epochsMax: 2,
  proximalMax: 0.01,
};

async function register(site: DemoSite): Promise<void> {
  const file = path.join(path.dirname(site.process.dataDir), `${site.hospital.key}.csv`);
  await writeFile(file, await hospitalCsv(site.hospital));
  const digest = await uploadFile(
    site.dataEngineer,
    { offset: SITE_API.importOffset, append: SITE_API.appendImport },
    file,
  );
  await site.dataEngineer.api.call(SITE_API.registerDataset, {
    body: { schema: DATASET, source: { digest, format: 'csv' }, feasibility: 'any-project' },
  });
}

async function approvedProject(federation: Federation, bundles: ReadonlyMap<string, BuiltBundle>): Promise<ProjectId> {
  const algorithms = [];
  for (const [name, bundle] of bundles) {
    algorithms.push({
      name,
      bundleDigest: await pushBundle(federation.researcher, bundle),
      features: FEATURES,
      roundsMax: 1000,
      ...(bundle.manifest.kind === 'graph' ? { training: TRAINING } : {}),
    });
  }
  const { projectId } = await federation.researcher.api.call(HUB_API.createProject, {
    body: {
      title: 'Bench',
      purpose: 'Measuring.',
      sites: federation.sites.map((site) => site.siteId),
      datasets: [DATASET.name],
      algorithms,
      egress: ['cohort-size', 'moments', 'newton-statistics', 'weight-update', 'evaluation'],
      privacy: {},
      expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
    },
  });
  await federation.researcher.api.call(HUB_API.submitProject, { params: { projectId } });
  for (const site of federation.sites) {
    await site.governance.api.call(SITE_API.decide, {
      params: { projectId },
      body: {
        verdict: 'approved',
        reason: 'Public data of 1988, CC BY 4.0; a measurement.',
        runStatistics: { patientCountMin: 10, parameterRowRatioMax: 0.5, categoryPatientCountMin: 0 },
        runCountMax: 1000,
      },
    });
  }
  return projectId;
}

/** Runs a plan over all four sites to its end. */
export async function runToEnd(
  federation: HeartFederation,
  plan: Omit<RunPlan, 'sites' | 'quorum' | 'stragglerWaitMs' | 'weightSitesBy'>,
): Promise<Run> {
  const body: RunPlan = {
    ...plan,
    sites: federation.sites.map((site) => site.siteId),
    quorum: 4,
    stragglerWaitMs: 5000,
    weightSitesBy: 'rows',
  };
  const { runId } = await federation.researcher.api.call(HUB_API.createRun, {
    params: { projectId: federation.projectId },
    body,
  });
  const run = await endOf(federation, runId);
  if (run.state !== 'completed') throw new Error(`the run is ${run.state}: ${run.message ?? ''}`);
  return run;
}

/** Waits for the end alone: whoever looks at every round makes the hub describe the whole run every time. */
async function endOf(federation: HeartFederation, runId: RunId): Promise<Run> {
  for (;;) {
    const run = await federation.researcher.api.call(HUB_API.readRun, { params: { runId }, query: { waitMs: 20_000 } });
    if (isFinal(RUN_STATES, run.state)) return run;
  }
}
