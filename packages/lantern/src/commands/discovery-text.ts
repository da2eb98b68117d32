/** Answers of many sites about their records, for a person: what was withheld is said wherever a number stands. */
import {
  type ApiClient,
  HUB_API,
  type Question,
  type ReleasedCount,
  type ReleasedSum,
  type SiteId,
} from '@lantern/contract';
import { table } from '../cli/output.ts';

export async function siteNamesOf(api: ApiClient): Promise<ReadonlyMap<SiteId, string>> {
  const { sites } = await api.call(HUB_API.listSites, {});
  return new Map(sites.map(({ siteId, name }) => [siteId, name]));
}

export function countText(count: ReleasedCount | undefined): string {
  return count?.kind === 'released' ? `~${count.value}` : 'withheld';
}

/** Never a number that pretends to be complete. */
export function sumText(sum: ReleasedSum | undefined): string {
  if (sum === undefined || sum.releasedSites === 0) return 'withheld';
  return sum.withheldSites === 0 ? `~${sum.value}` : `~${sum.value} and ${sum.withheldSites} withheld`;
}

/** Sites without an answer, and why. */
export function unansweredText({ answers }: Question, names: ReadonlyMap<SiteId, string>): string {
  const rows = answers.flatMap(({ siteId, state, body }) => {
    if (body?.kind === 'cohort' || body?.kind === 'concepts') return [];
    const why = body?.kind === 'refused' || body?.kind === 'failed' ? `${body.kind}: ${body.message}` : state;
    return [[names.get(siteId) ?? siteId, why]];
  });
  return rows.length === 0 ? '' : table([['site', 'no answer'], ...rows]);
}
