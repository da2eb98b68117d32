/**
 * Local-only, federated and pooled training side by side, each judged on the same held-back patients. Local training runs
 * inside each hospital and nothing of it leaves. Pooled training needs all rows in one place: possible here only because
 * these data are public, and done by this narrator, not by the federation.
 */
import { AppError, type EvaluationMetrics, type Run, SITE_API, toAppError } from '@lantern/contract';
import { table } from '../cli/output.ts';
import type { Story } from './demo.ts';
import type { DemoSite } from './federation.ts';
import { networkPlan } from './plans.ts';
import { trainPooled } from './pooled.ts';
import type { DemoProject } from './project.ts';
import { FLAMBY_POOLED_TEST_ACCURACY } from './published.ts';

type LocalResult = { metrics?: EvaluationMetrics; refusal?: string };

export async function compareChapter(
  story: Story,
  { project, run }: { project: DemoProject; run: Run },
): Promise<void> {
  const { narrator, federation } = story;
  narrator.chapter('Was it worth it? Local-only, federated and pooled training on the same held-back patients');
  const local = new Map(
    await Promise.all(federation.sites.map(async (site) => [site.siteId, await trainLocally(site, project)] as const)),
  );
  const pooled = await trainPooled(project.network, networkPlan([]));
  const federated = new Map((run.evaluation?.sites ?? []).map(({ siteId, metrics }) => [siteId, metrics]));
  const rows = federation.sites.map(({ siteId, hospital }) => [
    hospital.siteName,
    show(local.get(siteId)?.metrics),
    show(federated.get(siteId)),
    show(pooled.byHospital.get(hospital.key)),
  ]);
  rows.push(['all four', '-', show(run.evaluation?.combined), show(pooled.combined)]);
  narrator.table(table([['test patients of', 'local only (acc / AUC)', 'federated', 'pooled training'], ...rows]));
  for (const site of federation.sites) {
    const refusal = local.get(site.siteId)?.refusal;
    if (refusal !== undefined) narrator.say(`Local-only training at ${site.hospital.siteName} is refused: ${refusal}`);
  }
  narrator.say(chanceText(run.evaluation?.combined, pooled.combined));
  narrator.say(
    `Published by FLamby for these splits (accuracy, all four, mean over five seeds, its own training plans): pooled training ${FLAMBY_POOLED_TEST_ACCURACY.pooledTraining}, FedAdam ${FLAMBY_POOLED_TEST_ACCURACY.fedAdam}, FedAvg ${FLAMBY_POOLED_TEST_ACCURACY.fedAvg}.`,
  );
  narrator.fact('comparison', {
    local: federation.sites.map(({ siteId, hospital }) => ({ hospital: hospital.siteName, ...local.get(siteId) })),
    federated: run.evaluation,
    pooled: { combined: pooled.combined, sites: Object.fromEntries(pooled.byHospital) },
    published: FLAMBY_POOLED_TEST_ACCURACY,
  });
}

/** How far apart two columns must be before it means something; and how far the two lines of all four are. */
function chanceText(federated: EvaluationMetrics | undefined, pooled: EvaluationMetrics): string {
  const { accuracy = Number.NaN, rowCount = 0 } = federated ?? {};
  const right = Math.round(accuracy * rowCount);
  const rightPooled = Math.round((pooled.accuracy ?? Number.NaN) * pooled.rowCount);
  const error = Math.sqrt((accuracy * (1 - accuracy)) / rowCount); // of a binomial proportion
  return `Federated is right for ${right} of the ${rowCount} patients, pooled for ${rightPooled}. One standard error of such an accuracy is ${error.toFixed(3)}: differences of that size, and larger ones within one hospital, are within chance.`;
}

async function trainLocally(site: DemoSite, project: DemoProject): Promise<LocalResult> {
  try {
    const { metrics } = await site.dataEngineer.api.call(SITE_API.runLocally, {
      body: { projectId: project.projectId, plan: networkPlan([site.siteId]) },
    });
    return { metrics };
  } catch (caught) {
    const error = toAppError(caught);
    if (error.code === 'training.refused') return { refusal: error.message };
    throw new AppError(error.code, `Local training at ${site.hospital.siteName}: ${error.message}`, { cause: caught });
  }
}

function show(metrics: EvaluationMetrics | undefined): string {
  if (metrics === undefined) return 'refused';
  const auc = metrics.auc === undefined ? 'withheld' : metrics.auc.toFixed(3);
  return `${metrics.accuracy?.toFixed(3) ?? 'withheld'} / ${auc}`;
}
