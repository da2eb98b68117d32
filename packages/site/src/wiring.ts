/**
 * The capabilities of a site, and what each tells another: by functions handed over here, never by reading its tables.
 *
 *   hub link ──► exchange ──► questions ──► gate (omop)
 *                    │   └──► records ────► opt-outs, CDM, gate (omop)
 *                    │   └──► training ───► gate (omop), executor (runner)
 *                    └──► governance: asked before a task is performed and before its answer leaves
 */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { AppError, type ProjectId, type RunId, type SiteTask } from '@lantern/contract';
import { type FailedJob, makePrivateFolder, type Route, type SignerKey } from '@lantern/service';
import { activityRoutes } from './activity/routes.ts';
import { createBedside } from './bedside/bedside.ts';
import { bedsideRoutes } from './bedside/routes.ts';
import type { SessionBounds } from './cdm/duckdb-session.ts';
import { createCohortDatasets } from './cohort-datasets/cohort-datasets.ts';
import { LISTS_STALE, withoutLeavers } from './cohort-datasets/remainder.ts';
import { cohortDatasetRoutes } from './cohort-datasets/routes.ts';
import type { SiteConfig } from './config.ts';
import { createDatasets, type Dataset, type Datasets } from './datasets/datasets.ts';
import { datasetRoutes } from './datasets/routes.ts';
import { createDeployments, type Deployments } from './deployments/deployments.ts';
import { deploymentRoutes } from './deployments/routes.ts';
import { createExchange } from './exchange/exchange.ts';
import type { Performer } from './exchange/performer.ts';
import { storedResources } from './fhir/stored-resources.ts';
import { createDecisionWatch } from './governance/decision-watch.ts';
import { createGovernance } from './governance/governance.ts';
import { allowsFreeText, type FreeTextPermission, isApproved, type Refusal } from './governance/policy.ts';
import { governanceRoutes } from './governance/routes.ts';
import { createAuditAnchor } from './hub-link/audit-anchor.ts';
import { hubCallsOf } from './hub-link/hub-calls.ts';
import type { HubLinkDeps } from './hub-link/hub-link.ts';
import type { JobHandlers } from './jobs.ts';
import { localRunRoutes } from './local-runs/routes.ts';
import type { Machinery } from './main.ts';
import { createOptOuts, OPT_OUTS_DEFAULT, type OptOuts } from './opt-outs/opt-outs.ts';
import { optOutRoutes } from './opt-outs/routes.ts';
import { type AnswerTimes, createAnswerTimes } from './questions/answer-times.ts';
import { createQuestions } from './questions/questions.ts';
import { createRecordCdm } from './records/record-cdm.ts';
import { createRecordPatients } from './records/record-patients.ts';
import { createRecords } from './records/records.ts';
import type { ResearchSeries } from './research-images/research-series.ts';
import { createResearchKeys } from './research-keys/research-keys.ts';
import type { SiteContext } from './site-context.ts';
import type { Sweep } from './sweeper.ts';
import { createBundles } from './training/bundles.ts';
import { previewProject } from './training/preview.ts';
import { createRunFolders } from './training/run-folder.ts';
import { createTraining } from './training/training.ts';

const EXPIRY_SWEEP_MS = 30_000; // the policy refuses from the instant of expiry; the sweep only shows it
const OPEN_TASK_SWEEP_MS = 60_000; // finds what was left open without a job; everything else comes sooner
const RUN_SWEEP_MS = 3600_000; // runs are kept for a month
const RETIREMENT_SWEEP_MS = 600_000; // a retired version is warned of at the bedside before the ward round is over

export type WiringDeps = SiteContext &
  Machinery & {
    readonly settings: SiteConfig;
    readonly hubKey: SignerKey;
    /** Of the imaging plane, which is opened later; `undefined` where the site has none. */
    readonly series: () => ResearchSeries | undefined;
  };

export type Wired = {
  readonly routes: Route[];
  readonly jobs: JobHandlers;
  /** For the queue: what will not be tried again. */
  readonly jobFailed: (job: FailedJob) => Promise<void>;
  readonly sweeps: readonly Sweep[];
  readonly hubLink: Pick<HubLinkDeps, 'receive' | 'onConnected' | 'onContact'>;
  readonly deployments: Deployments;
  /** Whether this site's approval of a project stands now. */
  readonly projectStands: (projectId: ProjectId) => Promise<boolean>;
  /** Whether a project may have notes now. */
  readonly freeTextOf: (projectId: ProjectId) => Promise<FreeTextPermission | Refusal>;
  /** Makes ready what questions about records need. Throws `config.invalid`. */
  readonly openRecords: () => Promise<void>;
  /** Stops the work on tasks. */
  readonly close: () => Promise<void>;
};

export function wire(deps: WiringDeps): Wired {
  const hub = hubCallsOf(deps.outbound, deps.blobs);
  const research = wireResearch(deps, hub);
  const { datasets, governance, training, exchange } = research;
  const deployments = createDeployments({
    ...deps,
    source: hub,
    policy: { aucMin: deps.settings.aucMin, siteCountMin: deps.settings.siteCountMin },
  });
  return {
    deployments,
    projectStands: async (projectId) => isApproved(await research.governance.standingOf(projectId), deps.clock.now()),
    freeTextOf: async (projectId) => allowsFreeText(await research.governance.standingOf(projectId), deps.clock.now()),
    openRecords: () => openRecords(deps.settings, datasets),
    close: () => exchange.close(),
    routes: [
      ...research.routes,
      ...deploymentRoutes(deployments),
      ...bedsideRoutes(createBedside({ ...deps, deployments })),
    ],
    jobs: {
      performTask: (taskId, job) => exchange.work(taskId, job),
      deliverDecision: (projectId, sequence, signal) => governance.deliver(projectId, sequence, signal),
      offerDatasets: (signal) => datasets.offer(signal),
      buildDataset: (buildId, signal) => research.builds.build(buildId, signal),
    },
    jobFailed: (job) => research.builds.jobFailed(job),
    sweeps: [
      { name: 'expired approvals', everyMs: EXPIRY_SWEEP_MS, run: () => governance.sweep() },
      { name: 'open tasks', everyMs: OPEN_TASK_SWEEP_MS, run: () => exchange.resume() },
      { name: 'idle runs', everyMs: RUN_SWEEP_MS, run: () => training.sweep() },
      {
        name: 'retired versions',
        everyMs: RETIREMENT_SWEEP_MS,
        run: (signal) => deployments.noticeRetirements(signal),
      },
    ],
    hubLink: {
      receive: (envelopes) => exchange.receive(envelopes),
      onConnected: () => exchange.resume(),
      onContact: createAuditAnchor({ ...deps, db: deps.database, send: hub.anchorAudit }),
    },
  };
}

/** Data, decisions, questions, runs: everything that may end in a message to the hub. */
function wireResearch(deps: WiringDeps, hub: ReturnType<typeof hubCallsOf>) {
  const { dataDir } = deps.settings;
  const datasets = createDatasets({
    ...deps,
    recordsName: deps.settings.records?.dataset,
    sendOffers: hub.sendOffers,
  });
  const findDataset = (name: string) => datasets.find(name);
  const optOuts = createOptOutLists(deps);
  const recordSource = createRecordSource(deps, optOuts);
  const remaining = (dataset: Dataset, signal: AbortSignal) => withoutLeavers({ ...deps, optOuts }, dataset, signal);
  /** For people of this site, who hear why. */
  const findUsable = async (name: string, signal: AbortSignal) => {
    const found = await datasets.find(name);
    const usable = found === undefined ? undefined : await remaining(found, signal);
    if (usable === 'lists-stale') throw new AppError('policy.refused', LISTS_STALE);
    return usable;
  };
  const builds = createCohortDatasets({
    ...deps,
    datasets,
    keys: createResearchKeys(deps),
    resources: (type, signal) => storedResources(deps.database, type, signal),
    scratchDir: deps.engine.scratchDir,
    records: recordSource,
  });
  const bundles = createBundles(deps);
  const folders = createRunFolders(dataDir);
  const governance = createGovernance({
    ...deps,
    ...hub,
    watch: createDecisionWatch(),
    manifestOf: (digest, signal) => bundles.manifestOf(digest, signal),
    versionsOf: (names, db) => datasets.versionsOf(names, db),
    preview: (spec, signal) => previewProject({ ...deps, bundles, findDataset: findUsable }, spec, signal),
  });
  const { standingOrAsk: standingOf, questionsGranted } = governance;
  const found = { findDataset, withoutLeavers: remaining, standingOf };
  const findVersion: Datasets['findVersion'] = (name, version) => datasets.findVersion(name, version);
  const training = createTraining({ ...deps, ...found, bundles, folders, findVersion });
  const questions = createQuestions({ ...deps, ...found, questionsGranted });
  const records = createRecords({ ...deps, standingOf, questionsGranted, records: recordSource });
  const exchange = createExchange({
    ...deps,
    performer: performerOf({ questions, records, training, times: answerTimes(deps) }),
    concurrency: deps.settings.taskConcurrency,
    filesOf: (runId: RunId) => folders.filesOf(runId),
    watch: governance.watch,
  });
  const readProject = async (projectId: ProjectId, signal: AbortSignal) =>
    (await governance.read(projectId, signal)).spec;
  const routes: Route[] = [
    ...datasetRoutes(datasets),
    ...governanceRoutes(governance),
    ...activityRoutes(exchange),
    ...localRunRoutes({ ...deps, dataDir, bundles, findDataset: findUsable, readProject }),
    ...cohortDatasetRoutes(builds),
    // Loaded by the routes of the imaging plane where there is one; both read the same lists.
    ...(deps.settings.dicom === undefined ? optOutRoutes(optOuts) : []),
  ];
  return { datasets, builds, governance, training, exchange, routes };
}

const RECORDS_DIR = 'records';

function createOptOutLists(deps: WiringDeps) {
  return createOptOuts({
    ...deps,
    keys: createResearchKeys(deps),
    settings: deps.settings.optOuts ?? OPT_OUTS_DEFAULT,
    onLoaded: async () => undefined, // whoever asks next looks
  });
}

/** `undefined`: this site has no records, and neither counts nor builds from them. */
function createRecordSource(deps: WiringDeps, optOuts: OptOuts) {
  const { dataDir, records: settings } = deps.settings;
  if (settings === undefined) return undefined;
  const bounds = recordBounds(deps.settings);
  return {
    settings,
    cdm: createRecordCdm({ clock: deps.clock, where: settings.cdm, schema: settings.schema, bounds }),
    patients: createRecordPatients(path.join(dataDir, RECORDS_DIR, 'patients.duckdb'), optOuts),
    optOuts,
  };
}

/** Of whatever reads the CDM. */
export function recordBounds({ dataDir, duckdbMemoryMiB, duckdbThreads }: SiteConfig): SessionBounds {
  return { memoryMiB: duckdbMemoryMiB, threads: duckdbThreads, scratchDir: path.join(dataDir, RECORDS_DIR) };
}

async function openRecords(
  { dataDir, records }: SiteConfig,
  datasets: Pick<ReturnType<typeof createDatasets>, 'isKnown'>,
): Promise<void> {
  if (records === undefined) return;
  await makePrivateFolder(path.join(dataDir, RECORDS_DIR));
  const found = await stat(records.cdm).catch(() => undefined); // a database, or a file that is yet to come
  if (found?.isDirectory() === true) {
    // Its files have no one time at which they were true, and every question would read them anew.
    const rule = 'records.cdm: is a folder; load it into a DuckDB file first (lantern omop load).';
    throw new AppError('config.invalid', rule, { field: 'records' });
  }
  if (records.etl !== undefined && /^postgres(ql)?:/.test(records.cdm)) {
    const rule = 'records.etl: makes the CDM in a file, and records.cdm names a database.';
    throw new AppError('config.invalid', rule, { field: 'records' });
  }
  if (!(await datasets.isKnown(records.dataset))) return;
  const message = `records.dataset: a table of this site has or had the name "${records.dataset}"; choose another.`;
  throw new AppError('config.invalid', message, { field: 'records' });
}

type Questions = ReturnType<typeof createQuestions>;
type Records = ReturnType<typeof createRecords>;
type Training = ReturnType<typeof createTraining>;

function answerTimes({ noiseSecret, settings }: WiringDeps): AnswerTimes {
  return createAnswerTimes({ noiseSecret, firstMs: settings.questionMsMin });
}

function performerOf(by: {
  questions: Questions;
  records: Records;
  training: Training;
  times: AnswerTimes;
}): Performer {
  return {
    perform(task: SiteTask, signal) {
      switch (task.kind) {
        case 'round':
          return by.training.perform(task, signal);
        case 'cohort':
        case 'concepts':
          return by.times.hold(() => by.records.answer(task, signal), signal);
        default:
          return by.times.hold(() => by.questions.answer(task, signal), signal);
      }
    },
    recheck(task: SiteTask) {
      switch (task.kind) {
        case 'round':
          return by.training.recheck(task);
        case 'cohort':
        case 'concepts':
          return by.records.recheck(task);
        default:
          return by.questions.recheck(task);
      }
    },
  };
}
