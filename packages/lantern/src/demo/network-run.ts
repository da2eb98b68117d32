/** Run B: pooled standardisation without sharing rows, then federated training of an ONNX graph. */
import { AppError, HUB_API, type Run } from '@lantern/contract';
import { followRun, roundsPlanned } from '../commands/run.ts';
import type { Story } from './demo.ts';
import { siteNames } from './exact-run.ts';
import { networkPlan } from './plans.ts';
import type { DemoProject } from './project.ts';

const ACCURACY_MIN = 0.79;
const AUC_MIN = 0.87;

export async function networkChapter(story: Story, project: DemoProject): Promise<Run> {
  const { narrator, federation, signal } = story;
  narrator.chapter('Run B: federated mean and variance, then federated training of an ONNX graph');
  const created = await federation.researcher.api.call(HUB_API.createRun, {
    params: { projectId: project.projectId },
    body: networkPlan(federation.sites.map((site) => site.siteId)),
  });
  const run = await followRun(federation.researcher, { runId: created.runId, signal });
  if (run.state !== 'completed') throw new AppError('internal', `Run B is ${run.state}: ${run.message ?? ''}`);
  const names = siteNames(story);
  const prepared = run.rounds[0]?.sites ?? [];
  narrator.say(
    `${roundsPlanned(run)} rounds: prepare, standardise, ${run.plan.rounds} of training, evaluate. Training rows: ${prepared.map((site) => `${names.get(site.siteId) ?? site.siteId} ${site.rowCount ?? '?'}`).join(', ')}.`,
  );
  narrator.say(
    'Zurich/Basel has no patient without disease among its 30 training rows: alone it could learn nothing, together it can still contribute.',
  );
  const combined = run.evaluation?.combined;
  narrator.say(
    `Pooled test set of ${combined?.rowCount ?? '?'} patients, combined from four score histograms: accuracy ${combined?.accuracy?.toFixed(3) ?? '?'}, AUC ${combined?.auc?.toFixed(3) ?? '?'} (± ${combined?.aucErrorMax?.toFixed(3) ?? '?'} from the bins).`,
  );
  if ((combined?.accuracy ?? 0) < ACCURACY_MIN || (combined?.auc ?? 0) < AUC_MIN) {
    throw new AppError('internal', `Run B is below accuracy ${ACCURACY_MIN} or AUC ${AUC_MIN}.`);
  }
  narrator.fact('runB', { runId: run.runId, evaluation: run.evaluation, rounds: run.rounds.length });
  return run;
}
