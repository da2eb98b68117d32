/**
 * The imaging plane of a site, wired: what receives, keeps, finds and hands on images. It stands on a database, a folder and its
 * settings alone, so that it serves a whole site and `lantern dicom serve` alike.
 *
 *   dimse, dicomweb ──► archive ──► study assembly ──► followers (research copies, workflows)
 */
import path from 'node:path';
import type { ActionRequest } from '@lantern/dicom';
import {
  type Clock,
  type Database,
  type FailedJob,
  FREE_BYTES_MIN,
  type KeyPair,
  type Logger,
  makePrivateFolder,
  type QueueTask,
  type Route,
} from '@lantern/service';
import { type Archive, createArchive } from './archive/archive.ts';
import { qidoRoutes } from './dicomweb/qido-routes.ts';
import { stowRoutes } from './dicomweb/stow-routes.ts';
import { wadoRoutes } from './dicomweb/wado-routes.ts';
import { createAdmittedPeers } from './dimse/admission.ts';
import { assertDicomSettings, type DicomSettings, firstAe } from './dimse/dicom-settings.ts';
import { startDicomStation } from './dimse/dicom-station.ts';
import { createFindScp } from './dimse/find-scp.ts';
import { createPeerCalls } from './dimse/peer-calls.ts';
import { createRetrieveScp } from './dimse/retrieve-scp.ts';
import { createStoreScp } from './dimse/store-scp.ts';
import { createImageFindings } from './image-findings/image-findings.ts';
import { imageFindingRoutes } from './image-findings/routes.ts';
import { createImageQueries } from './image-query/image-queries.ts';
import { createImageRetrieval } from './image-retrieval/image-retrieval.ts';
import { OPT_OUTS_DEFAULT } from './opt-outs/opt-outs.ts';
import { createResearchImages, type ResearchImagesDeps } from './research-images/research-images.ts';
import type { ResearchSeries } from './research-images/research-series.ts';
import { createStorageCommitment } from './storage-commitment/storage-commitment.ts';
import { createStudyAssembly, type OnStudyComplete } from './study-assembly/study-assembly.ts';
import { studyPullRoutes } from './study-pull/routes.ts';
import { createStudyPulls, type StudyPulls } from './study-pull/study-pull.ts';
import type { Sweep } from './sweeper.ts';

const ASSEMBLY_SWEEP_MS = 500; // adds to the quiet time
const CHECK_SWEEP_MS = 3_600_000; // what a crash left; nothing waits for it

export type ImagingDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the site: signs what governance decides on images. */
  readonly keyPair: KeyPair;
  /** Folder of the files. */
  readonly dir: string;
  readonly settings: DicomSettings;
  readonly freeBytesMin?: number;
  readonly followers?: readonly OnStudyComplete[];
  readonly research?: Partial<Pick<ResearchImagesDeps, 'optOuts' | 'readText' | 'projectStands'>>;
};

/** Beside the folder of the files, which alone the archive checks. */
const RESEARCH_DIR = 'research-images';

export type Imaging = {
  readonly archive: Archive;
  readonly pulls: StudyPulls;
  readonly sweeps: readonly Sweep[];
  /** DICOMweb, pulls, findings and research copies, for the HTTP server of the process. */
  readonly routes: readonly Route[];
  /** Images and their research copies, for datasets out of records. */
  readonly series: ResearchSeries;
  /** Durable jobs by name, for the queue. */
  readonly jobs: Readonly<Record<string, QueueTask>>;
  /** For the queue: says where people look what will not be tried again. */
  jobFailed(job: FailedJob): Promise<void>;
  /** Opens the DICOM port, which it gives. */
  listen(): Promise<number>;
  /** Takes no more, and waits for what is on its way. */
  close(): Promise<void>;
};

export async function createImaging(deps: ImagingDeps): Promise<Imaging> {
  const { settings, log } = deps;
  assertDicomSettings(settings);
  await makePrivateFolder(deps.dir);
  const researchDir = path.join(path.dirname(deps.dir), RESEARCH_DIR);
  await makePrivateFolder(researchDir);
  const archive = createArchive(deps);
  const peers = createAdmittedPeers(settings);
  const research = await createResearchImages({
    ...deps,
    ...deps.research,
    dir: researchDir,
    freeBytesMin: deps.freeBytesMin ?? FREE_BYTES_MIN,
    archiveFiles: archive.files,
    optOuts: deps.research?.optOuts ?? OPT_OUTS_DEFAULT,
  });
  const assembly = createStudyAssembly({
    ...deps,
    aeTitles: settings.aeTitles,
    followers: [research.follow, ...(deps.followers ?? [])],
  });
  const calls = createPeerCalls(settings);
  const commitment = createStorageCommitment({ ...deps, files: archive.files, admitted: peers, calls });
  const queries = createImageQueries(deps);
  const findings = createImageFindings({ ...deps, files: archive.files });
  const pulls = createStudyPulls({ ...deps, archive, admitted: peers, calls });
  const retrieval = createImageRetrieval({ ...deps, files: archive.files });
  const handlers = {
    onStore: createStoreScp(archive, peers),
    onFind: createFindScp({ queries, peers }),
    ...createRetrieveScp({ retrieval, peers, calls }),
    onAction: (request: ActionRequest) => commitment.onAction(request),
  };
  let station: Awaited<ReturnType<typeof startDicomStation>> | undefined;
  return {
    archive,
    pulls,
    routes: [
      ...qidoRoutes({ queries, retrieveAe: settings.aeTitles[0]?.aeTitle }),
      ...wadoRoutes(retrieval),
      ...stowRoutes({ ...deps, archive, ownAe: firstAe(settings) }),
      ...studyPullRoutes(pulls),
      ...imageFindingRoutes(findings),
      ...research.routes,
    ],
    series: research.series,
    jobs: { ...commitment.jobs, ...pulls.jobs, ...research.tasks },
    jobFailed: (job) => research.jobFailed(job),
    sweeps: [
      ...research.sweeps,
      ...findings.sweeps,
      { name: 'complete studies', everyMs: ASSEMBLY_SWEEP_MS, run: () => assembly.sweep() },
      {
        name: 'unknown image files',
        everyMs: CHECK_SWEEP_MS,
        run: async (signal) => void (await archive.check(signal)),
      },
      ...commitment.sweeps,
    ],
    async listen() {
      station = await startDicomStation({ settings, peers, handlers, log });
      return station.port;
    },
    async close() {
      await station?.close();
      await retrieval.close();
      await archive.close();
    },
  };
}
