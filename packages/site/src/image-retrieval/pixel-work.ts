/**
 * What is done with a stored file before it is given: transcoded, cut into frames, rendered, or told as JSON. Decoding and
 * compressing hold up whatever runs beside them, so this runs in threads of its own (pixel-workers.ts).
 */
import {
  bulkDataAt,
  DicomError,
  fitted,
  framesIn,
  jpegOf,
  metadataJson,
  metadataXml,
  openFileSource,
  openPixels,
  pngOf,
  type RenderedImage,
  readPart10,
  render,
  transcoded,
  type Window,
  writeDataSet,
  writePart10,
} from '@lantern/dicom';

export const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const PIXEL_DATA = '7FE00010';
/** Handed over at once: a message costs as much as copying some ten kilobytes. */
const BLOCK_BYTES = 512 * 1024;
/** PS3.18 8.3.5.1.2 leaves it to the server. */
const JPEG_QUALITY_DEFAULT = 90;

export type Rendering = {
  readonly format: 'png' | 'jpeg';
  /** 1 to 100, of JPEG alone. */
  readonly quality?: number;
  readonly window?: Window;
  readonly viewport?: {
    readonly columns: number;
    readonly rows: number;
    /** What is absent is that of the whole image. */
    readonly region?: {
      readonly x?: number;
      readonly y?: number;
      readonly columns?: number;
      readonly rows?: number;
    };
  };
};

export type PixelTask =
  | { readonly kind: 'file' | 'data-set'; readonly transferSyntaxUid: string }
  /** One block for each. */
  | { readonly kind: 'frames'; readonly transferSyntaxUid: string; readonly indices: readonly number[] }
  | { readonly kind: 'bulk-data'; readonly element: string }
  | { readonly kind: 'metadata'; readonly format: 'json' | 'xml'; readonly bulkDataRoot: string }
  | { readonly kind: 'rendered'; readonly frameIndex: number | 'middle'; readonly rendering: Rendering };

/** `path` is a file of PS3.10. */
export type PixelJob = { readonly path: string; readonly task: PixelTask };

/**
 * The result in blocks. Throws as the parts of the DICOM package; `value` for what is not in the object.
 */
export function* performed({ path, task }: PixelJob): Generator<Uint8Array> {
  const file = openFileSource(path);
  try {
    const object = readPart10(file);
    switch (task.kind) {
      case 'file':
        return yield* gathered(writePart10({ ...transcoded(object, task.transferSyntaxUid), meta: object.meta }));
      case 'data-set':
        return yield* gathered(writeDataSet(transcoded(object, task.transferSyntaxUid)));
      case 'frames': {
        const { frame, frameCount } = framesIn(object, task.transferSyntaxUid);
        for (const index of task.indices) {
          if (index >= frameCount) throw new DicomError('value', 'The image has fewer frames.');
          yield frame(index);
        }
        return;
      }
      case 'bulk-data': {
        const isPixels = task.element.toUpperCase() === PIXEL_DATA && object.transferSyntax.pixels === 'encapsulated';
        const value = bulkDataAt(isPixels ? transcoded(object, EXPLICIT_LITTLE_ENDIAN) : object, task.element);
        if (value === undefined) throw new DicomError('value', 'The object has no such element.');
        return yield* gathered(value);
      }
      case 'metadata': {
        const uriOf = (element: string) => `${task.bulkDataRoot}/${element}`;
        const { dataSet } = object;
        const isJson = task.format === 'json';
        yield Buffer.from(isJson ? JSON.stringify(metadataJson(dataSet, uriOf)) : metadataXml(dataSet, uriOf));
        return;
      }
      case 'rendered':
        yield rendered(object, task);
    }
  } finally {
    file.close();
  }
}

function rendered(
  object: ReturnType<typeof readPart10>,
  { frameIndex, rendering }: Extract<PixelTask, { kind: 'rendered' }>,
): Buffer {
  const pixels = openPixels(object);
  const { frameCount } = pixels.description;
  const index = frameIndex === 'middle' ? Math.floor(frameCount / 2) : frameIndex;
  if (index >= frameCount) throw new DicomError('value', 'The image has fewer frames.');
  const { window, format, quality = JPEG_QUALITY_DEFAULT } = rendering;
  const image = render(pixels, { ...object, frameIndex: index, ...(window === undefined ? {} : { window }) });
  const shown = inViewport(image, rendering);
  return format === 'png' ? pngOf(shown) : jpegOf(shown, quality);
}

function inViewport(image: RenderedImage, { viewport }: Rendering): RenderedImage {
  if (viewport === undefined) return image;
  const { columns, rows, region } = viewport;
  if (region === undefined) return fitted(image, { columns, rows });
  const { x = 0, y = 0 } = region;
  return fitted(image, {
    columns,
    rows,
    region: { x, y, columns: region.columns ?? image.columns - x, rows: region.rows ?? image.rows - y },
  });
}

/** The same bytes in larger blocks. */
function* gathered(blocks: Iterable<Buffer>): Generator<Buffer> {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  for (const block of blocks) {
    waiting.push(block);
    waitingBytes += block.byteLength;
    if (waitingBytes < BLOCK_BYTES) continue;
    yield waiting.length === 1 ? block : Buffer.concat(waiting);
    waiting = [];
    waitingBytes = 0;
  }
  if (waitingBytes > 0) yield Buffer.concat(waiting);
}
