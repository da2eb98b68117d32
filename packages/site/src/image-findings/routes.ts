/** What a person has to look at in the archive: for those who keep it. */
import { IMAGE_FINDINGS_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { DATA } from '../roles.ts';
import type { ImageFindings } from './image-findings.ts';

export function imageFindingRoutes(findings: ImageFindings): Route[] {
  return [
    defineRoute(IMAGE_FINDINGS_API.listImageConflicts)({
      access: DATA,
      handler: ({ query, caller }) => findings.conflicts(query.after, caller.name),
    }),
    defineRoute(IMAGE_FINDINGS_API.decideImageConflict)({
      access: DATA,
      handler: async ({ params: { conflictId }, body: { decision }, caller }) => {
        await findings.decide(conflictId, decision, caller.name);
        return { conflictId, decision };
      },
    }),
    defineRoute(IMAGE_FINDINGS_API.listPatientDisagreements)({
      access: DATA,
      handler: ({ query, caller }) => findings.disagreements(query.after, caller.name),
    }),
  ];
}
