/** The governance lead of a hospital decides; the site signs and obeys. */
import {
  type DisclosureFinding,
  type NewDecision,
  RUN_STATISTICS_POLICY_DEFAULT,
  SITE_API,
  type SiteProject,
} from '@lantern/contract';
import type { Story } from './demo.ts';
import type { DemoSite } from './federation.ts';
import type { Hospital } from './fixtures.ts';
import { heartRows } from './heart-rows.ts';
import { FEATURE_COUNT } from './plans.ts';
import type { DemoProject } from './project.ts';

const PUBLIC_DATA_REASON =
  'This table was published in 1988 under CC BY 4.0; the limits on small groups protect nobody here and are relaxed for this project alone.';

export const PARAMETER_COUNT = FEATURE_COUNT + 1; // and the intercept

/** Decides, and keeps the signed word for the account of the whole story. */
export async function decide(
  { narrator }: Pick<Story, 'narrator'>,
  at: { site: DemoSite; project: DemoProject },
  body: NewDecision,
): Promise<SiteProject> {
  const params = { projectId: at.project.projectId };
  const decided = await at.site.governance.api.call(SITE_API.decide, { params, body });
  const { state, decision, envelope } = decided;
  narrator.addFact('decisions', { hospital: at.site.hospital.siteName, state, decision, envelope });
  return decided;
}

/**
 * An approval that relaxes only the rules that refused this site under the defaults.
 *
 * The ratio is raised to what its training rows need, a number that leaves anyway (`prepared`). The rule for small groups is
 * lifted whole: the decision goes to the hub, and a limit set just below the smallest group would tell the size of that group.
 */
export async function relaxedApproval(
  hospital: Hospital,
  findings: readonly DisclosureFinding[],
): Promise<NewDecision> {
  const refusedBy = (rule: DisclosureFinding['rule']): boolean => findings.some((finding) => finding.rule === rule);
  const small = refusedBy('category-patient-count') || refusedBy('label-stratum');
  const ratio = refusedBy('parameter-row-ratio');
  const parametersPerRow = PARAMETER_COUNT / (await trainRowCount(hospital));
  return {
    verdict: 'approved',
    reason: PUBLIC_DATA_REASON,
    runStatistics: {
      ...(small ? { categoryPatientCountMin: 0 } : {}),
      ...(ratio ? { parameterRowRatioMax: Math.ceil(100 * parametersPerRow) / 100 } : {}),
    },
  };
}

export async function trainRowCount(hospital: Hospital): Promise<number> {
  return (await heartRows(hospital)).train.y.length;
}

/** What a decision sets otherwise than the defaults, in words. */
export function relaxedText({ decision }: SiteProject): string {
  const limits = decision?.conditions?.runStatistics;
  if (limits === undefined) return 'nothing';
  const { parameterRowRatioMax, categoryPatientCountMin, patientCountMin } = limits;
  const defaults = RUN_STATISTICS_POLICY_DEFAULT;
  const changed = [
    { what: 'patients per category', from: defaults.categoryPatientCountMin, to: categoryPatientCountMin },
    { what: 'parameters per row', from: defaults.parameterRowRatioMax, to: parameterRowRatioMax },
    { what: 'patients', from: defaults.patientCountMin, to: patientCountMin },
  ].filter(({ from, to }) => from !== to);
  return changed.map(({ what, from, to }) => `${what} ${from} → ${to}`).join('; ') || 'nothing';
}
