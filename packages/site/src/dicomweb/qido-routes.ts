/**
 * QIDO-RS (PS3.18 10.6). No match is an empty list and success, as the standard has it since 2025 (CP-2473); before, an answer
 * without content was allowed as well.
 */
import { DICOMWEB_SEARCH_API } from '@lantern/contract';
import { defineRoute, type HttpRequest, type Route } from '@lantern/service';
import type { ImageQueries } from '../image-query/image-queries.ts';
import type { QueryLevel } from '../image-query/query-attributes.ts';
import { IMAGE_READERS } from '../roles.ts';
import { type QidoResource, qidoQuery } from './qido-query.ts';

const ROOT = '/dicom-web';
const EVERY_LEVEL: readonly QueryLevel[] = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'];

type QidoDeps = {
  readonly queries: Pick<ImageQueries, 'page'>;
  /** Title under which the images are retrieved by DIMSE. */
  readonly retrieveAe: string | undefined;
};

type Asked = Pick<HttpRequest, 'searchParams' | 'answerHeaders' | 'origin'> & {
  readonly caller: { readonly name: string };
};

export function qidoRoutes({ queries, retrieveAe }: QidoDeps): Route[] {
  const search = async (asked: Asked, resource: QidoResource) => {
    const { query, limit, offset, warnings } = qidoQuery(asked.searchParams, resource);
    const webUrl = `${asked.origin}${ROOT}`;
    const actor = `user:${asked.caller.name}`;
    const { matches, remaining } = await queries.page(query, { limit, offset, actor, retrieveAe, webUrl });
    for (const warning of warnings) warn(asked, warning);
    if (remaining.count > 0) {
      const atLeast = remaining.isAtLeast ? 'at least ' : '';
      warn(asked, `There are ${atLeast}${remaining.count} additional results that can be requested`);
    }
    return [...matches];
  };
  const access = IMAGE_READERS;
  return [
    defineRoute(DICOMWEB_SEARCH_API.searchStudies)({
      access,
      handler: (asked) => search(asked, { level: 'STUDY', shownLevels: ['PATIENT', 'STUDY'], path: {} }),
    }),
    defineRoute(DICOMWEB_SEARCH_API.searchSeries)({
      access,
      handler: (asked) => search(asked, { level: 'SERIES', shownLevels: ['PATIENT', 'STUDY', 'SERIES'], path: {} }),
    }),
    defineRoute(DICOMWEB_SEARCH_API.searchInstances)({
      access,
      handler: (asked) => search(asked, { level: 'IMAGE', shownLevels: EVERY_LEVEL, path: {} }),
    }),
    defineRoute(DICOMWEB_SEARCH_API.searchSeriesOfStudy)({
      access,
      handler: (asked) =>
        search(asked, { level: 'SERIES', shownLevels: ['SERIES'], path: { StudyInstanceUID: asked.params.study } }),
    }),
    defineRoute(DICOMWEB_SEARCH_API.searchInstancesOfStudy)({
      access,
      handler: (asked) =>
        search(asked, {
          level: 'IMAGE',
          shownLevels: ['SERIES', 'IMAGE'],
          path: { StudyInstanceUID: asked.params.study },
        }),
    }),
    defineRoute(DICOMWEB_SEARCH_API.searchInstancesOfSeries)({
      access,
      handler: (asked) =>
        search(asked, {
          level: 'IMAGE',
          shownLevels: ['IMAGE'],
          path: { StudyInstanceUID: asked.params.study, SeriesInstanceUID: asked.params.series },
        }),
    }),
  ];
}

/** RFC 7234 5.5 in the form that PS3.18 8.3.4 gives it. */
function warn({ answerHeaders, origin }: Asked, text: string): void {
  answerHeaders.append('warning', `299 ${origin}${ROOT}: ${text}`);
}
