/** What left each hospital, a withdrawal that takes effect at once, and the audit chains. */
import { AppError, EGRESS_TABLE, HUB_API, SITE_API } from '@lantern/contract';
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
  narrator.chapter('What left each hospital: every message to the hub, counted by its own node');
  const bySite = await Promise.all(
    federation.sites.map(async (site) => ({
      site,
      ...(await site.dataEngineer.api.call(SITE_API.listSentMessages, {})),
    })),
  );
  const counted = EGRESS_TABLE.map(({ message }) => ({
    message,
    counts: bySite.map(({ messages }) => messages.find((one) => one.message === message)?.count ?? 0),
  }));
  const sent = counted.filter(({ counts }) => counts.some((count) => count > 0));
  const rows = sent.map(({ message, counts }) => [message, ...counts.map(String)]);
  narrator.table(table([['message', ...federation.sites.map((site) => site.hospital.siteName)], ...rows]));
  const never = counted.filter(({ counts }) => counts.every((count) => count === 0)).map(({ message }) => message);
  narrator.say(
    `Counted since each node started; enrolment was sent once before, by "site join". Of the ${EGRESS_TABLE.length} messages that a node can send, not sent here: ${never.join(', ')}. What each holds: docs/ARCHITECTURE.md.`,
  );
  narrator.fact(
    'sentMessages',
    bySite.map(({ site, since, messages }) => ({ hospital: site.hospital.siteName, since, messages })),
  );
}

async function withdraw(story: Story, project: DemoProject): Promise<void> {
  const { narrator, federation, signal } = story;
  narrator.chapter('A hospital changes its mind');
  const [site] = federation.sites;
  if (site === undefined) throw new AppError('internal', 'There is no site.');
  const reason = 'The steering group withdrew its support.';
  await decide(story, { site, project }, { verdict: 'withdrawn', reason });
  const run = await federation.researcher.api.call(HUB_API.createRun, {
    params: { projectId: project.projectId },
    body: exactPlan(federation.sites.map((one) => one.siteId)),
  });
  const ended = await followRun(federation.researcher, { runId: run.runId, signal });
  if (ended.state !== 'failed') throw new AppError('internal', 'A run went on at a site that had withdrawn.');
  narrator.say(
    `${site.hospital.siteName} withdraws; the next run needs all four and has ${ended.state}: ${ended.message ?? ''}`,
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
