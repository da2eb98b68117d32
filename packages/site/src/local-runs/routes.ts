/** Training on this site's rows alone. */
import { SITE_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { DATA } from '../roles.ts';
import { type LocalRunsDeps, runLocally } from './local-run.ts';

export function localRunRoutes(deps: LocalRunsDeps): Route[] {
  return [
    defineRoute(SITE_API.runLocally)({
      access: DATA,
      handler: ({ body, signal }) => runLocally(deps, body, signal),
    }),
  ];
}
