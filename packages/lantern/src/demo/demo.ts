/**
 * The main job, told as it happens: four hospitals' data, federated counts, signed decisions, two federated runs, a signed
 * model version, and its answer at a bedside. Everything goes through the interfaces any user has.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Writable } from 'node:stream';
import type { Environment } from '../cli/sessions.ts';
import { bedsideChapter } from './bedside.ts';
import { compareChapter } from './comparison.ts';
import { countChapter } from './counts.ts';
import { datasetChapter } from './datasets.ts';
import { exactChapter } from './exact-run.ts';
import { type Federation, startFederation } from './federation.ts';
import { createNarrator, type Narrator } from './narrator.ts';
import { networkChapter } from './network-run.ts';
import { projectChapter } from './project.ts';
import { recordsChapter } from './records.ts';
import { releaseChapter } from './release.ts';
import { openReportFile, type ReportFile } from './report-file.ts';
import { syntheticRecordsChapter } from './synthetic-records.ts';

export type DemoOptions = {
  readonly env: Environment;
  readonly stdout: Writable;
  readonly signal: AbortSignal;
  readonly jsonFile?: string;
  readonly keep: boolean;
};

/** What the chapters hand on. */
export type Story = { readonly narrator: Narrator; readonly federation: Federation; readonly signal: AbortSignal };

export async function runDemo(options: DemoOptions): Promise<void> {
  const report = options.jsonFile === undefined ? undefined : await openReportFile(options.jsonFile);
  try {
    await narrate(options, report);
  } finally {
    await report?.close();
  }
}

async function narrate(options: DemoOptions, report: ReportFile | undefined): Promise<void> {
  const narrator = createNarrator(options.stdout, { nowMs: () => performance.now() });
  const root = await mkdtemp(path.join(os.tmpdir(), 'lantern-demo-'));
  await chmod(root, 0o711);
  let federation: Federation | undefined;
  try {
    narrator.chapter('A hub and four hospitals start, each a process with its own database and its own key');
    narrator.say('Five databases are made first; this is the longest wait of the demonstration.');
    const { env, signal } = options;
    federation = await startFederation({ env, root, signal }, (text) => narrator.say(text));
    introduce(narrator, federation);
    await tell({ narrator, federation, signal: options.signal });
    await report?.write(narrator.facts);
    if (options.keep) await keepRunning(narrator, federation, options.signal);
    else narrator.say('Now everything is stopped and removed; with --keep it stays and can be asked.');
  } finally {
    await federation?.stop();
    await rm(root, { recursive: true, force: true });
  }
}

function introduce(narrator: Narrator, federation: Federation): void {
  narrator.say(
    'Each site made its own key and enrolled with a one-time code. Each of the five describes its API at /openapi.json of its address; a site also answers its record system there, under /cds-services. There are no web pages.',
  );
  narrator.fact('hub', { url: federation.hub.url });
  narrator.fact(
    'sites',
    federation.sites.map(({ hospital, siteId, process }) => ({ name: hospital.siteName, siteId, url: process.url })),
  );
}

async function tell(story: Story): Promise<void> {
  await datasetChapter(story);
  const project = await projectChapter(story);
  await countChapter(story, project);
  await syntheticRecordsChapter(story);
  await exactChapter(story, project);
  const network = await networkChapter(story, project);
  await compareChapter(story, { project, run: network });
  const released = await releaseChapter(story, network);
  await bedsideChapter(story, released);
  await recordsChapter(story, project);
}

async function keepRunning(narrator: Narrator, federation: Federation, signal: AbortSignal): Promise<void> {
  const { hub, sites } = federation;
  narrator.chapter('Everything keeps running; stop it with Ctrl-C');
  narrator.say(`API of the hub: ${hub.url}/openapi.json. Try: npm run lantern -- hub sites --data ${hub.dataDir}`);
  for (const { hospital, process } of sites)
    narrator.say(`API of ${hospital.siteName}: ${process.url}/openapi.json. Its data folder: ${process.dataDir}`);
  narrator.say('In each data folder lies admin.token, by which --data acts as the administrator.');
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
