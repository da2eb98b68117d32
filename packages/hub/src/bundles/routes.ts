/** Uploading and registering bundles, and reading their manifests. */
import { AppError, BUNDLE_SIZE_BYTES_MAX, HUB_API, UPLOAD_CHUNK_BYTES_MAX } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import { appendChunk, offsetOf } from '../exchange/uploads.ts';
import { personOf } from '../hub-context.ts';
import { EVERYBODY, RESEARCH } from '../roles.ts';
import { SITE, siteOf } from '../site-caller.ts';
import { type BundlesDeps, listBundles, manifestForSite, registerBundle } from './bundles.ts';

const MANIFEST_BYTES_MAX = 4 * 1024 * 1024; // 30,000 named tensors, the most the schema allows

export function bundleRoutes(deps: BundlesDeps): Route[] {
  return [
    defineRoute(HUB_API.uploadOffset)({
      access: RESEARCH,
      handler: ({ params }) => offsetOf(deps.blobs, params.digest),
    }),
    defineRoute(HUB_API.appendUpload)({
      access: RESEARCH,
      stream: true,
      bodyLimitBytes: UPLOAD_CHUNK_BYTES_MAX,
      handler: async ({ params, query, bodyStream }) => {
        if (query.sizeBytes > BUNDLE_SIZE_BYTES_MAX) {
          throw new AppError('input.too-large', `A file of a bundle has at most ${BUNDLE_SIZE_BYTES_MAX} bytes.`, {
            field: 'sizeBytes',
          });
        }
        return appendChunk(deps.blobs, { digest: params.digest, ...query, body: bodyStream });
      },
    }),
    defineRoute(HUB_API.createBundle)({
      access: RESEARCH,
      bodyLimitBytes: MANIFEST_BYTES_MAX,
      handler: ({ body, caller }) => registerBundle(deps, body, personOf(caller)),
    }),
    defineRoute(HUB_API.listBundles)({
      access: EVERYBODY,
      handler: async () => ({ bundles: await listBundles(deps.db) }),
    }),
    defineRoute(HUB_API.siteReadBundle)({
      access: SITE,
      handler: ({ params, caller }) => manifestForSite(deps.db, siteOf(caller), params.digest),
    }),
  ];
}
