/** Run B: pooled standardisation without sharing rows, then federated training of an ONNX graph. */
import { AppError, type Digest, HUB_API, type Run, type RunPlan } from '@lantern/contract';
import { followRun, roundsPlanned } from '../commands/run.ts';
import type { Story } from './demo.ts';
import { heartRows } from './heart-rows.ts';
import { networkPlan } from './plans.ts';
import type { DemoProject } from './project.ts';

const ACCURACY_MIN = 0.79; // FLamby's pooled training: 0.795
const AUC_MIN = 0.87;
const OTHER_SEED = 43;

export async function networkChapter(story: Story, project: DemoProject): Promise<Run> {
  const { narrator, federation } = story;
  narrator.chapter('Run B: federated mean and variance, then federated training of an ONNX graph');
  const plan = networkPlan(federation.sites.map((site) => site.siteId));
  const run = await runToEnd(story, project, plan);
  const prepared = new Map((run.rounds[0]?.sites ?? []).map(({ siteId, rowCount }) => [siteId, rowCount]));
  const rowCounts = federation.sites.map(
    ({ siteId, hospital }) => `${hospital.siteName} ${prepared.get(siteId) ?? 'unknown'}`,
  );
  narrator.say(
    `${roundsPlanned(run)} rounds: prepare, standardise, ${run.plan.rounds} of training, evaluate. Training rows: ${rowCounts.join(', ')}.`,
  );
  for (const { hospital } of federation.sites) {
    const { y } = (await heartRows(hospital)).train;
    if (y.includes(0) && y.includes(1)) continue;
    narrator.say(
      `${hospital.siteName} has no patient ${y.includes(0) ? 'with' : 'without'} disease among its ${y.length} training rows: alone it can learn nothing, together it can still contribute.`,
    );
  }
  const combined = run.evaluation?.combined;
  narrator.say(
    `Pooled test set of ${combined?.rowCount ?? '?'} patients, combined from four score histograms: accuracy ${combined?.accuracy?.toFixed(3) ?? '?'}, AUC ${combined?.auc?.toFixed(3) ?? '?'} (± ${combined?.aucErrorMax?.toFixed(3) ?? '?'} from the bins).`,
  );
  if ((combined?.accuracy ?? 0) < ACCURACY_MIN || (combined?.auc ?? 0) < AUC_MIN) {
    throw new AppError('internal', `Run B is below accuracy ${ACCURACY_MIN} or AUC ${AUC_MIN}.`);
  }
  narrator.fact('runB', { runId: run.runId, plan, evaluation: run.evaluation, rounds: run.rounds });
  await repeat(story, project, run);
  return run;
}

/** A seed orders the rows and nothing else, and here each step uses all of them. */
async function repeat(story: Story, project: DemoProject, first: Run): Promise<void> {
  const again = await runToEnd(story, project, { ...first.plan, seed: OTHER_SEED });
  const [digest, digestAgain] = [first, again].map(finalWeights);
  if (digest === undefined || digest !== digestAgain)
    throw new AppError('internal', 'Run B came out otherwise when it was run again.');
  story.narrator.say(
    `Is it luck? The first weights are zeros and each step uses all rows of a hospital, so nothing is drawn. The same plan, run again under another seed, gives the same weights to the last bit (${digest.slice(0, 16)}…). In another demonstration the hospitals have other ids and are added up in another order, which moves the last of some seven digits of a weight; the figures here stay.`,
  );
  story.narrator.fact('runBAgain', { runId: again.runId, seed: OTHER_SEED, weightsDigest: digestAgain });
}

function finalWeights(run: Run): Digest | undefined {
  return run.rounds.findLast(({ step }) => step === 'train')?.weightsDigest;
}

async function runToEnd({ federation, signal }: Story, project: DemoProject, plan: RunPlan): Promise<Run> {
  const created = await federation.researcher.api.call(HUB_API.createRun, {
    params: { projectId: project.projectId },
    body: plan,
  });
  const run = await followRun(federation.researcher, { runId: created.runId, signal });
  if (run.state !== 'completed') throw new AppError('internal', `Run B is ${run.state}: ${run.message ?? ''}`);
  return run;
}
