/** The governance lead of a hospital decides; the site signs and obeys. */
import { type NewDecision, SITE_API, type SiteProject } from '@lantern/contract';
import type { DemoSite } from './federation.ts';
import type { DemoProject } from './project.ts';

export const PUBLIC_DATA_REASON =
  'This table was published in 1988 under CC BY 4.0; the limits on small groups protect nobody here and are relaxed for this project alone.';

/** What a hospital needs to relax for thirteen features on small, public tables. */
export const PUBLIC_DATA_LIMITS = {
  patientCountMin: 10,
  parameterRowRatioMax: 0.5,
  categoryPatientCountMin: 0,
} as const;

export function decide(site: DemoSite, project: DemoProject, body: NewDecision): Promise<SiteProject> {
  return site.governance.api.call(SITE_API.decide, { params: { projectId: project.projectId }, body });
}
