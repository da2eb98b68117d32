/** Loading lists of opted-out patients, and how old they are; nobody reads who is on them. */
import { RESEARCH_IMAGES_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { PROJECT_READERS, RESEARCH_DATA } from '../roles.ts';
import type { OptOuts } from './opt-outs.ts';

/** Half a million numbers as JSON. */
const LIST_BYTES_MAX = 16 * 1024 * 1024;

export function optOutRoutes(optOuts: OptOuts): Route[] {
  return [
    defineRoute(RESEARCH_IMAGES_API.loadOptOuts)({
      access: RESEARCH_DATA,
      bodyLimitBytes: LIST_BYTES_MAX,
      handler: ({ params, body, caller }) => optOuts.load(params.list, body, caller.name),
    }),
    defineRoute(RESEARCH_IMAGES_API.readOptOuts)({ access: PROJECT_READERS, handler: () => optOuts.status() }),
  ];
}
