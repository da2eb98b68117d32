/** What left each hospital, a withdrawal that takes effect at once, and the audit chains. */
import { AppError, HUB_API, SITE_API } from '@lantern/contract';
import { table } from '../cli/output.ts';
import { verifyChain } from '../commands/audit.ts';
import { followRun } from '../commands/run.ts';
import { decide } from './decisions.ts';
import type { Story } from './demo.ts';
import { exactPlan } from './plans.ts';
import type { DemoProject } from './project.ts';

export async function recordsChapter(story: Story, project: DemoProject): Promise<void> {
  await whatLeft(story);
  await withdraw(story, project);
  await audit(story);
}

async function whatLeft({ narrator, federation }: Story): Promise<void> {
  narrator.chapter('What left each hospital');
  const kinds = new Set<string>();
  const bySite = await Promise.all(
    federation.sites.map(async (site) => {
      const { tasks } = await site.dataEngineer.api.call(SITE_API.listActivity, {});
      const counts = new Map<string, number>();
      for (const { answer } of tasks) {
        if (answer === undefined) continue;
        kinds.add(answer);
        counts.set(answer, (counts.get(answer) ?? 0) + 1);
      }
      return { site, counts };
    }),
  );
  const header = ['hospital', ...kinds];
  const rows = bySite.map(({ site, counts }) => [
    site.hospital.siteName,
    ...[...kinds].map((kind) => String(counts.get(kind) ?? 0)),
  ]);
  narrator.table(table([header, ...rows]));
  narrator.fact('answers', { header, rows });
}

async function withdraw({ narrator, federation, signal }: Story, project: DemoProject): Promise<void> {
  narrator.chapter('A hospital changes its mind');
  const [site] = federation.sites;
  if (site === undefined) throw new AppError('internal', 'There is no site.');
  await decide(site, project, { verdict: 'withdrawn', reason: 'The steering group withdrew its support.' });
  const run = await federation.researcher.api.call(HUB_API.createRun, {
    params: { projectId: project.projectId },
    body: exactPlan(federation.sites.map((one) => one.siteId)),
  });
  const ended = await followRun(federation.researcher, { runId: run.runId, signal });
  if (ended.state !== 'failed') throw new AppError('internal', 'A run went on at a site that had withdrawn.');
  narrator.say(
    `${site.hospital.siteName} withdraws; the next run needs all four and is ${ended.state}: ${ended.message ?? ''}`,
  );
  narrator.fact('withdrawal', { site: site.hospital.siteName, run: ended.state, message: ended.message });
}

async function audit({ narrator, federation }: Story): Promise<void> {
  narrator.chapter('Every step is in a hash-chained audit log');
  const chains = [
    { name: 'the hub', connection: federation.hubAdmin },
    ...federation.sites.map((site) => ({ name: site.hospital.siteName, connection: site.admin })),
  ];
  const verdicts = await Promise.all(
    chains.map(async ({ name, connection }) => ({ name, count: await verifyChain(connection) })),
  );
  narrator.say(verdicts.map(({ name, count }) => `${name}: ${count} records, unbroken`).join('; '));
  narrator.fact('audit', verdicts);
}
