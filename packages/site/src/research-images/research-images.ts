/**
 * De-identified copies of images for research, wired: collections that governance approves, the copies made of them, what is held
 * back, and who opted out. It stands on the archive and its folder alone.
 *
 *   complete study ──► collections that take it ──► opt-outs ──► de-identification ──► copies
 *                                                                       └──► quarantine ──person──► copies, or never
 */
import type { ProjectId } from '@lantern/contract';
import type { TextReader } from '@lantern/dicom';
import type { Clock, Database, KeyPair, Logger, Route } from '@lantern/service';
import { createCollections } from '../image-selection/collections.ts';
import { createStoredStudies } from '../image-selection/stored-study.ts';
import { createOptOuts, type OptOutSettings } from '../opt-outs/opt-outs.ts';
import { optOutRoutes } from '../opt-outs/routes.ts';
import { createResearchKeys } from '../research-keys/research-keys.ts';
import { createCopies } from './copies.ts';
import { type CopyFailures, createCopyFailures } from './copy-failures.ts';
import { openCopyFiles } from './copy-files.ts';
import { askToApplyOptOuts, askToFill, askToRemove } from './copy-jobs.ts';
import { type CopyWork, createCopyWork } from './copy-work.ts';
import { previewStudy } from './preview.ts';
import { createQuarantine } from './quarantine.ts';
import { createResearchSeries, type ResearchSeries } from './research-series.ts';
import { researchImageRoutes } from './routes.ts';
import { createSignedReleases } from './signed-release.ts';

export type ResearchImages = CopyWork &
  Pick<CopyFailures, 'jobFailed'> & { readonly routes: readonly Route[]; readonly series: ResearchSeries };

export type ResearchImagesDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** Signs what governance decides. */
  readonly keyPair: KeyPair;
  /** Folder of the copies. */
  readonly dir: string;
  readonly freeBytesMin: number;
  /** Of the archive. */
  readonly archiveFiles: { pathOf(file: string): string };
  readonly optOuts: OptOutSettings;
  /** Reads text in pixels; without it suspect images are held back. */
  readonly readText?: TextReader | undefined;
  /** Whether this site's decision on a project stands; absent where the node has no hub. */
  readonly projectStands?: ((projectId: ProjectId) => Promise<boolean>) | undefined;
};

export async function createResearchImages(deps: ResearchImagesDeps): Promise<ResearchImages> {
  const files = await openCopyFiles(deps);
  const keys = createResearchKeys(deps);
  const stored = createStoredStudies({ ...deps, files: deps.archiveFiles });
  const collections = createCollections({ ...deps, onApproved: askToFill, onWithdrawn: askToRemove });
  const optOuts = createOptOuts({ ...deps, keys, settings: deps.optOuts, onLoaded: (tx) => askToApplyOptOuts(tx) });
  const releases = createSignedReleases(deps);
  const parts = { ...deps, files, keys, stored, collections, optOuts, releases };
  const { jobFailed, retry } = createCopyFailures(parts);
  return {
    ...createCopyWork(parts),
    jobFailed,
    series: createResearchSeries(parts),
    routes: [
      ...researchImageRoutes({
        collections,
        copies: createCopies(parts),
        quarantine: createQuarantine(parts),
        retry,
        preview: (wanted, by) => previewStudy(parts, wanted, by),
      }),
      ...optOutRoutes(optOuts),
    ],
  };
}
