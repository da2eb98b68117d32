/** What the retrievals of WADO-RS have in common: who asks for what, and answers in parts. */
import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { AppError } from '@lantern/contract';
import { DicomError, type WrittenPart, writeMultipart } from '@lantern/dicom';
import type { ByteResponse } from '@lantern/service';
import type { ImageRetrieval } from '../image-retrieval/image-retrieval.ts';
import type { PixelTask } from '../image-retrieval/pixel-work.ts';
import type { StoredInstance } from '../image-retrieval/stored-instance.ts';
import { acceptable, notAcceptable } from './negotiation.ts';

const BOUNDARY_BYTES = 18;
const ROOT = '/dicom-web';

export type Asked = {
  readonly params: {
    readonly study: string;
    readonly series?: string;
    readonly instance?: string;
    readonly frames?: string;
  };
  readonly query: { readonly accept?: string };
  readonly headers: IncomingHttpHeaders;
  readonly origin: string;
  readonly caller: { readonly name: string };
};

export function acceptedBy({ query, headers }: Asked) {
  return acceptable(query.accept, headers.accept);
}

/** At least one. Throws `not-found`. */
export async function instancesOf(
  retrieval: Pick<ImageRetrieval, 'find'>,
  { study, series, instance }: Asked['params'],
): Promise<readonly [StoredInstance, ...StoredInstance[]]> {
  const [first, ...others] = await retrieval.find({
    studyInstanceUids: [study],
    ...(series === undefined ? {} : { seriesInstanceUids: [series] }),
    ...(instance === undefined ? {} : { sopInstanceUids: [instance] }),
  });
  if (first === undefined) throw new AppError('not-found', 'There is no such study, series or instance.');
  return [first, ...others];
}

/** Indices of frames from 0, as the path numbers them. Throws `not-found` for one that the image does not have. */
export function frameIndicesOf({ frames = '1' }: Asked['params'], { frameCount }: StoredInstance): number[] {
  return frames.split(',').map((number) => {
    const index = Number(number) - 1;
    if (index >= frameCount) throw new AppError('not-found', `The image has ${frameCount} frames.`);
    return index;
  });
}

export function pathOf({ studyInstanceUid, seriesInstanceUid, sopInstanceUid }: StoredInstance): string {
  return `${ROOT}/studies/${studyInstanceUid}/series/${seriesInstanceUid}/instances/${sopInstanceUid}`;
}

export function multipart(type: string, parts: AsyncIterable<WrittenPart>): Omit<ByteResponse, 'status'> {
  const boundary = randomBytes(BOUNDARY_BYTES).toString('hex');
  return {
    contentType: `multipart/related; type="${type}"; boundary=${boundary}`,
    body: writeMultipart(parts, boundary),
  };
}

/** What is made of an instance; what cannot be made of it is not acceptable, since asking otherwise may help. */
export async function* made(
  retrieval: Pick<ImageRetrieval, 'made'>,
  instance: StoredInstance,
  task: PixelTask,
): AsyncGenerator<Uint8Array> {
  try {
    yield* retrieval.made(instance, task);
  } catch (caught) {
    if (!(caught instanceof DicomError)) throw caught;
    if (caught.code === 'value') throw new AppError('not-found', caught.message, { cause: caught });
    throw notAcceptable(`The instance cannot be given in this form: ${caught.message}`);
  }
}

/** The same, begun: what is wrong from the start is thrown here, while the answer can still say so. */
export async function begun(body: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = body[Symbol.asyncIterator]();
  const first = await iterator.next();
  return (async function* () {
    try {
      for (let piece = first; piece.done !== true; piece = await iterator.next()) yield piece.value;
    } finally {
      await iterator.return?.();
    }
  })();
}
