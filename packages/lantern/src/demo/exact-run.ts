/** Run A: NVFLARE's hello-lr problem, exact. First refused by the hospitals' gates, then relaxed in the open, then equal to the last digit. */
import { AppError, type DisclosureFinding, HUB_API, type Run, SITE_API } from '@lantern/contract';
import { table } from '../cli/output.ts';
import { followRun } from '../commands/run.ts';
import { decide, PARAMETER_COUNT, relaxedApproval, relaxedText, trainRowCount } from './decisions.ts';
import type { Story } from './demo.ts';
import type { DemoSite } from './federation.ts';
import { exactPlan } from './plans.ts';
import type { DemoProject } from './project.ts';
import { HELLO_LR } from './published.ts';

export async function exactChapter(story: Story, project: DemoProject): Promise<void> {
  await submitAndApprove(story, project);
  await relax(story, project, await showRefusal(story, project));
  await runExactly(story, project);
}

async function submitAndApprove(story: Story, project: DemoProject): Promise<void> {
  const { narrator, federation } = story;
  narrator.chapter('The project is submitted; each hospital decides for itself and signs');
  await federation.researcher.api.call(HUB_API.submitProject, { params: { projectId: project.projectId } });
  for (const site of federation.sites) {
    const body = { verdict: 'approved', reason: 'Approved with the usual limits.' } as const;
    const decided = await decide(story, { site, project }, body);
    narrator.say(
      `${site.hospital.siteName}: ${decided.state}, signed by key ${decided.envelope?.signatures[0]?.keyid.slice(0, 16) ?? '?'}…, until ${decided.decision?.expiresAt?.slice(0, 10) ?? 'the project ends'}`,
    );
  }
}

type Refusals = ReadonlyMap<DemoSite, readonly DisclosureFinding[]>;

async function showRefusal(story: Story, project: DemoProject): Promise<Refusals> {
  const { narrator, federation } = story;
  narrator.chapter("Run A, first try: the hospitals' own gates refuse, under their defaults");
  const run = await start(story, project);
  if (run.state !== 'failed') throw new AppError('internal', 'The gate let run A pass with its default limits.');
  const answers = run.rounds.flatMap(({ sites }) => sites);
  const refusals = new Map<DemoSite, readonly DisclosureFinding[]>();
  for (const site of federation.sites) {
    const findings = answers.find(({ siteId }) => siteId === site.siteId)?.findings ?? [];
    refusals.set(site, findings);
    narrator.say(`${site.hospital.siteName} refuses (${findings.length}):`);
    for (const { message } of findings) narrator.say(`  · ${message}`);
  }
  const [why] = (run.message ?? '').split(/(?<=\.) /);
  narrator.say(`So the run has failed: ${why}`);
  narrator.fact('runARefusal', { state: run.state, message: run.message, sites: run.rounds[0]?.sites });
  await showPreview(story, project, refusals);
  return refusals;
}

async function showPreview({ narrator, federation }: Story, project: DemoProject, refusals: Refusals): Promise<void> {
  for (const site of federation.sites) {
    const params = { projectId: project.projectId };
    const { algorithms } = await site.governance.api.call(SITE_API.previewProject, { params });
    const foreseen = algorithms[0]?.findings.length ?? 0;
    if (foreseen !== refusals.get(site)?.length)
      throw new AppError('internal', `The preview at ${site.hospital.siteName} differs from what its gate then said.`);
  }
  narrator.say('Every governance lead could read the same list before deciding: lantern site preview.');
}

async function relax(story: Story, project: DemoProject, refusals: Refusals): Promise<void> {
  const { narrator } = story;
  narrator.chapter(
    'The data set is public, so each hospital relaxes, signed and in the open, the rules that refused it',
  );
  for (const [site, findings] of refusals) {
    const { hospital } = site;
    const decided = await decide(story, { site, project }, await relaxedApproval(hospital, findings));
    const rules = new Map<string, number>();
    for (const { rule } of findings) rules.set(rule, (rules.get(rule) ?? 0) + 1);
    const refused = [...rules].map(([rule, count]) => `${rule} (${count})`).join(', ');
    narrator.say(`${hospital.siteName}, decision ${decided.decision?.sequence ?? '?'}:`);
    narrator.say(`  · refused by default: ${refused}`);
    narrator.say(`  · relaxed for this project: ${relaxedText(decided)}`);
    if (rules.has('parameter-row-ratio')) {
      const rowCount = await trainRowCount(hospital);
      const ratio = (PARAMETER_COUNT / rowCount).toFixed(3);
      narrator.say(`  · because ${PARAMETER_COUNT} parameters on ${rowCount} training rows are ${ratio} per row`);
    }
  }
  narrator.say(
    'The rule for small groups is lifted whole, not to just below the smallest group: the hub gets a copy of the decision, and such a limit would tell the size of that group.',
  );
}

async function runExactly(story: Story, project: DemoProject): Promise<void> {
  const { narrator, federation } = story;
  narrator.chapter("Run A: logistic regression by federated Newton-Raphson, equal to NVFLARE's published figures");
  const run = await start(story, project);
  if (run.state !== 'completed') throw new AppError('internal', `Run A is ${run.state}: ${run.message ?? ''}`);
  const bySite = new Map((run.evaluation?.sites ?? []).map(({ siteId, metrics }) => [siteId, metrics]));
  const rows = federation.sites.map(({ siteId, hospital }) => {
    const metrics = bySite.get(siteId);
    const published = HELLO_LR[hospital.key];
    const equal = metrics?.accuracy === published.accuracy && metrics.precision === published.precision;
    if (!equal) throw new AppError('internal', `Run A at ${hospital.siteName} differs from the published figures.`);
    return [hospital.siteName, String(metrics?.accuracy), String(metrics?.precision), 'yes, every digit'];
  });
  narrator.table(table([['hospital', 'accuracy', 'precision', 'as published'], ...rows]));
  narrator.fact('runA', { runId: run.runId, evaluation: run.evaluation, published: HELLO_LR });
}

async function start({ federation, signal }: Story, project: DemoProject): Promise<Run> {
  const run = await federation.researcher.api.call(HUB_API.createRun, {
    params: { projectId: project.projectId },
    body: exactPlan(federation.sites.map((site) => site.siteId)),
  });
  return followRun(federation.researcher, { runId: run.runId, signal });
}
