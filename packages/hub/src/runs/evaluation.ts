/** How good a run's model is: at each site, and over all rows together by merging the sites' score histograms. */
import type { EvaluationMessage, Run, SiteId } from '@lantern/contract';
import { evaluationMetrics, mergeEvaluations } from '@lantern/learning';

/** `parts` in ascending order of site id. A metric that a site's gate withheld is absent there and says so. */
export function evaluationOf(
  parts: readonly { readonly siteId: SiteId; readonly evaluation: EvaluationMessage }[],
): NonNullable<Run['evaluation']> {
  return {
    combined: evaluationMetrics(mergeEvaluations(parts.map((part) => part.evaluation))),
    sites: parts.map(({ siteId, evaluation }) => ({ siteId, metrics: evaluationMetrics(evaluation) })),
  };
}
