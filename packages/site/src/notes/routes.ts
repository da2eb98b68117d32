/** Notes for a project, over HTTP: to whoever prepares its data, a page of patients at a time. */
import { NOTES_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { RESEARCH_NOTES } from '../roles.ts';
import type { Notes } from './notes.ts';

export function noteRoutes(notes: Notes): Route[] {
  return [
    defineRoute(NOTES_API.readResearchNotes)({
      access: RESEARCH_NOTES,
      handler: ({ params, query, caller, signal }) =>
        notes.page({ projectId: params.projectId, ...query, by: caller.name, signal }),
    }),
  ];
}
