/** Rendered images and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.4). */
import { AppError } from '@lantern/contract';
import type { WrittenPart } from '@lantern/dicom';
import type { ByteResponse } from '@lantern/service';
import type { ImageRetrieval } from '../image-retrieval/image-retrieval.ts';
import type { Rendering } from '../image-retrieval/pixel-work.ts';
import type { StoredInstance } from '../image-retrieval/stored-instance.ts';
import { notAcceptable, pictureForm } from './negotiation.ts';
import { viewportOf, windowOf } from './rendering-parameters.ts';
import { type Asked, acceptedBy, begun, frameIndicesOf, instancesOf, made, multipart, pathOf } from './wado-answer.ts';

/** A row of a list of studies. */
const THUMBNAIL_SIDE = 128;

type AskedForPicture = Asked & {
  readonly query: { readonly window?: string; readonly viewport?: string; readonly quality?: number };
};

type Picture = { readonly instance: StoredInstance; readonly frameIndex: number | 'middle' };

/** Of an image all frames that are named, else its first; of a series or study the first of each image. */
export async function pictures(retrieval: ImageRetrieval, asked: AskedForPicture): Promise<ByteResponse> {
  const { isMultipart, format } = pictureForm(acceptedBy(asked));
  const rendering = renderingOf(asked, format);
  const images = await imagesOf(retrieval, asked);
  const wanted = images.flatMap((instance): Picture[] =>
    frameIndicesOf(asked.params, instance).map((frameIndex) => ({ instance, frameIndex })),
  );
  await retrieval.record({
    actor: `user:${asked.caller.name}`,
    form: 'rendered',
    instances: images,
    details: { frameCount: wanted.length },
  });
  const [first, ...others] = wanted;
  if (first === undefined) throw new AppError('internal', 'No picture was chosen.');
  const type = `image/${format}`;
  if (others.length === 0 && !isMultipart) return onePicture(retrieval, first, rendering);
  return { status: 200, ...multipart(type, partsOf(retrieval, wanted, rendering)) };
}

/** Of a series or study the image in the middle of the first series that has images; of several frames the one in the middle. */
export async function thumbnail(retrieval: ImageRetrieval, asked: AskedForPicture): Promise<ByteResponse> {
  const { format } = pictureForm(acceptedBy(asked));
  const { viewport } = renderingOf(asked, format);
  const images = await imagesOf(retrieval, asked);
  const [{ seriesInstanceUid }] = images;
  const ofSeries = images.filter((image) => image.seriesInstanceUid === seriesInstanceUid);
  const instance = ofSeries[Math.floor(ofSeries.length / 2)] ?? images[0];
  const [index] = asked.params.frames === undefined ? [] : frameIndicesOf(asked.params, instance);
  await retrieval.record({ actor: `user:${asked.caller.name}`, form: 'thumbnail', instances: [instance] });
  const picture: Picture = { instance, frameIndex: index ?? 'middle' };
  return onePicture(retrieval, picture, {
    format,
    viewport: viewport ?? { columns: THUMBNAIL_SIDE, rows: THUMBNAIL_SIDE },
  });
}

function renderingOf({ query }: AskedForPicture, format: Rendering['format']): Rendering {
  const { window, viewport, quality } = query;
  return {
    format,
    ...(quality === undefined ? {} : { quality }),
    ...(window === undefined ? {} : { window: windowOf(window) }),
    ...(viewport === undefined ? {} : { viewport: viewportOf(viewport) }),
  };
}

/** Those that have pixels. Throws `not-found`, and `input.not-acceptable` where none has. */
async function imagesOf(retrieval: ImageRetrieval, { params }: Asked): Promise<[StoredInstance, ...StoredInstance[]]> {
  const [first, ...others] = (await instancesOf(retrieval, params)).filter(({ hasImage }) => hasImage);
  if (first === undefined) throw notAcceptable('There is no image here, so no picture of it.');
  return [first, ...others];
}

async function onePicture(
  retrieval: ImageRetrieval,
  { instance, frameIndex }: Picture,
  rendering: Rendering,
): Promise<ByteResponse> {
  const body = made(retrieval, instance, { kind: 'rendered', frameIndex, rendering });
  return { status: 200, contentType: `image/${rendering.format}`, body };
}

async function* partsOf(
  retrieval: ImageRetrieval,
  wanted: readonly Picture[],
  rendering: Rendering,
): AsyncGenerator<WrittenPart> {
  for (const { instance, frameIndex } of wanted) {
    const body = await begun(made(retrieval, instance, { kind: 'rendered', frameIndex, rendering }));
    yield { contentType: `image/${rendering.format}`, location: pathOf(instance), body };
  }
}
