/** Asking the sites of a project for counts and summaries. */
import { HUB_API } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { type HubContext, personOf } from '../hub-context.ts';
import { EVERYBODY, RESEARCH } from '../roles.ts';
import { askQuestion, readQuestion } from './questions.ts';

export function questionRoutes(context: HubContext): Route[] {
  return [
    defineRoute(HUB_API.askQuestion)({
      access: RESEARCH,
      handler: ({ params, body, caller }) =>
        askQuestion(context, { projectId: params.projectId, question: body, person: personOf(caller) }),
    }),
    defineRoute(HUB_API.readQuestion)({
      access: EVERYBODY,
      handler: ({ params, query, signal }) =>
        readQuestion(context, { questionId: params.questionId, waitMs: query.waitMs ?? 0, signal }),
    }),
  ];
}
