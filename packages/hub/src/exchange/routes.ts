/** What enrolled sites call: tasks, answers, blobs. Every request is signed. */
import { AppError, HUB_API, type SiteId, UPLOAD_CHUNK_BYTES_MAX } from '@lantern/contract';
import { type BlobStore, defineRoute, type Route } from '@lantern/service';
import { personOf } from '../hub-context.ts';
import { EVERYBODY } from '../roles.ts';
import { SITE, siteOf } from '../site-caller.ts';
import { type AnswersDeps, receiveAnswer } from './answers.ts';
import { blobResponse } from './blob-response.ts';
import { personMayRead, siteMayRead } from './store.ts';
import { createTaskPolls } from './tasks.ts';
import { createUploads } from './uploads.ts';

const ANSWER_BYTES_MAX = 6 * 1024 * 1024; // an envelope's payload has at most 4 MiB of base64, and a little around it

export type ExchangeDeps = AnswersDeps & {
  readonly blobs: BlobStore;
  readonly heard: (siteId: SiteId) => Promise<void>;
};

export function exchangeRoutes(deps: ExchangeDeps): Route[] {
  const uploads = createUploads(deps);
  const polls = createTaskPolls(deps);
  return [
    defineRoute(HUB_API.pollTasks)({
      access: SITE,
      handler: async ({ query, caller, signal }) => {
        const siteId = siteOf(caller);
        await deps.heard(siteId);
        return { tasks: await polls.poll({ siteId, waitMs: query.waitMs, signal }) };
      },
    }),
    defineRoute(HUB_API.answerTask)({
      access: SITE,
      bodyLimitBytes: ANSWER_BYTES_MAX,
      handler: ({ params, body, caller }) =>
        receiveAnswer(deps, { taskId: params.taskId, keyId: caller.keyId, envelope: body }),
    }),
    defineRoute(HUB_API.siteReadBlob)({
      access: SITE,
      handler: async ({ params, caller, headers }) => {
        if (!(await siteMayRead(deps.db, siteOf(caller), params.digest))) {
          throw new AppError('not-found', 'No task of this site and no model version names this blob.');
        }
        return blobResponse(deps.blobs, params.digest, headers.range);
      },
    }),
    defineRoute(HUB_API.siteUploadOffset)({
      access: SITE,
      handler: ({ params }) => uploads.offsetOf(params.digest),
    }),
    defineRoute(HUB_API.siteAppendUpload)({
      access: SITE,
      stream: true,
      bodyLimitBytes: UPLOAD_CHUNK_BYTES_MAX,
      handler: ({ params, query, caller, bodyStream }) =>
        uploads.append(siteOf(caller), { digest: params.digest, ...query, body: bodyStream }),
    }),
    defineRoute(HUB_API.readBlob)({
      access: EVERYBODY,
      handler: async ({ params, headers, caller }) => {
        if (!(await personMayRead(deps.db, params.digest, personOf(caller)))) {
          throw new AppError('not-found', 'There is no such blob.');
        }
        return blobResponse(deps.blobs, params.digest, headers.range);
      },
    }),
  ];
}
