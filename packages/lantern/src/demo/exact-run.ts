/** Run A: NVFLARE's hello-lr problem, exact. First refused by the hospitals' gates, then relaxed in the open, then equal to the last digit. */
import { AppError, HUB_API, type Run, SITE_API } from '@lantern/contract';
import { table } from '../cli/output.ts';
import { followRun } from '../commands/run.ts';
import { decide, PUBLIC_DATA_LIMITS, PUBLIC_DATA_REASON } from './decisions.ts';
import type { Story } from './demo.ts';
import { exactPlan } from './plans.ts';
import type { DemoProject } from './project.ts';
import { HELLO_LR } from './published.ts';

export async function exactChapter(story: Story, project: DemoProject): Promise<void> {
  await submitAndApprove(story, project);
  await showRefusal(story, project);
  await relax(story, project);
  await runExactly(story, project);
}

async function submitAndApprove({ narrator, federation }: Story, project: DemoProject): Promise<void> {
  narrator.chapter('The project is submitted; each hospital decides for itself and signs');
  await federation.researcher.api.call(HUB_API.submitProject, { params: { projectId: project.projectId } });
  for (const site of federation.sites) {
    const decided = await decide(site, project, { verdict: 'approved', reason: 'Approved with the usual limits.' });
    narrator.say(
      `${site.hospital.siteName}: ${decided.state}, signed by key ${decided.envelope?.signatures[0]?.keyid.slice(0, 16) ?? '?'}…, until ${decided.decision?.expiresAt?.slice(0, 10) ?? 'the project ends'}`,
    );
  }
}

async function showRefusal(story: Story, project: DemoProject): Promise<void> {
  const { narrator, federation } = story;
  narrator.chapter("Run A, first try: the hospitals' own gates refuse");
  const run = await start(story, project);
  const names = siteNames(story);
  for (const round of run.rounds) {
    for (const site of round.sites) {
      const findings = site.findings ?? [];
      if (findings.length === 0) continue;
      narrator.say(`${names.get(site.siteId) ?? site.siteId} refuses:`);
      for (const finding of findings.slice(0, 4)) narrator.say(`  · ${finding.message}`);
      if (findings.length > 4) narrator.say(`  · and ${findings.length - 4} more`);
    }
  }
  narrator.say(`The run is ${run.state}: ${run.message ?? ''}`);
  if (run.state !== 'failed') throw new AppError('internal', 'The gate let run A pass with its default limits.');
  narrator.fact('runARefusal', { state: run.state, message: run.message, sites: run.rounds[0]?.sites });
  const preview = await Promise.all(
    federation.sites.map((site) =>
      site.governance.api.call(SITE_API.previewProject, { params: { projectId: project.projectId } }),
    ),
  );
  narrator.say(
    `Each governance lead could see this beforehand: the preview inside the hospital lists ${preview.map(({ algorithms }) => algorithms[0]?.findings.length ?? 0).join(', ')} findings.`,
  );
}

async function relax({ narrator, federation }: Story, project: DemoProject): Promise<void> {
  narrator.chapter('The hospitals relax their limits for this public data set, in a signed decision, in the open');
  for (const site of federation.sites) {
    const decided = await decide(site, project, {
      verdict: 'approved',
      reason: PUBLIC_DATA_REASON,
      runStatistics: PUBLIC_DATA_LIMITS,
    });
    const limits = decided.decision?.conditions?.runStatistics;
    narrator.say(
      `${site.hospital.siteName}: decision ${decided.decision?.sequence ?? '?'}: ${limits?.parameterRowRatioMax ?? '?'} parameters per row, ${limits?.categoryPatientCountMin ?? '?'} patients per category`,
    );
  }
  narrator.say(
    'All four need it: near-empty categories exist in every one of these tables, and Zurich/Basel has 14 parameters on 30 rows (0.47 per row, the limit is 0.33).',
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

export function siteNames({ federation }: Story): Map<string, string> {
  return new Map(federation.sites.map((site) => [site.siteId, site.hospital.siteName]));
}
