/** DICOM objects, metadata, frames and bulk data. */
import type { WrittenPart } from '@lantern/dicom';
import type { ByteResponse } from '@lantern/service';
import type { ImageRetrieval } from '../image-retrieval/image-retrieval.ts';
import type { StoredInstance } from '../image-retrieval/stored-instance.ts';
import { bulkDataIsMultipart, frameForm, metadataForm, objectForm } from './negotiation.ts';
import { type Asked, acceptedBy, begun, frameIndicesOf, instancesOf, made, multipart, pathOf } from './wado-answer.ts';

const DICOM = 'application/dicom';
const DICOM_XML = 'application/dicom+xml';
const OCTETS = 'application/octet-stream';

type Chosen = { readonly instance: StoredInstance; readonly transferSyntax: string };

export async function objects(retrieval: ImageRetrieval, asked: Asked): Promise<ByteResponse> {
  const instances = await instancesOf(retrieval, asked.params);
  const form = objectForm(
    acceptedBy(asked),
    instances.map(({ transferSyntaxUid }) => transferSyntaxUid),
  );
  const chosen = instances.flatMap((instance, index): Chosen[] => {
    const transferSyntax = form.transferSyntaxes[index];
    return transferSyntax === undefined ? [] : [{ instance, transferSyntax }];
  });
  await recordObjects(retrieval, asked, chosen);
  const [first] = chosen;
  if (!form.isMultipart && first !== undefined) return single(retrieval, first);
  const leftOut = instances.length - chosen.length;
  return {
    status: leftOut === 0 ? 200 : 206,
    ...(leftOut === 0 ? {} : { headers: { warning: `299 lantern "${leftOut} instances cannot be transcoded"` } }),
    ...multipart(DICOM, partsOf(retrieval, chosen)),
  };
}

function recordObjects(retrieval: ImageRetrieval, { caller }: Asked, chosen: readonly Chosen[]): Promise<void> {
  const instances = chosen.map(({ instance }) => instance);
  return retrieval.record({ actor: `user:${caller.name}`, form: 'objects', instances });
}

function contentTypeOf({ transferSyntax }: Chosen): string {
  return `${DICOM}; transfer-syntax=${transferSyntax}`;
}

function fileOf(retrieval: ImageRetrieval, { instance, transferSyntax }: Chosen): AsyncIterable<Uint8Array> {
  return transferSyntax === instance.transferSyntaxUid
    ? retrieval.fileOf(instance)
    : made(retrieval, instance, { kind: 'file', transferSyntaxUid: transferSyntax });
}

async function single(retrieval: ImageRetrieval, chosen: Chosen): Promise<ByteResponse> {
  const { instance, transferSyntax } = chosen;
  const isAsItIs = transferSyntax === instance.transferSyntaxUid;
  return {
    status: 200,
    contentType: contentTypeOf(chosen),
    body: fileOf(retrieval, chosen),
    ...(isAsItIs ? { sizeBytes: instance.dataSetStart + instance.dataSetBytes } : {}),
  };
}

/** Each part is begun before its head is written, so that a first one that fails is a failure and no half answer. */
async function* partsOf(retrieval: ImageRetrieval, chosen: readonly Chosen[]): AsyncGenerator<WrittenPart> {
  for (const one of chosen) {
    yield {
      contentType: contentTypeOf(one),
      location: pathOf(one.instance),
      body: await begun(fileOf(retrieval, one)),
    };
  }
}

export async function metadata(retrieval: ImageRetrieval, asked: Asked): Promise<ByteResponse> {
  const format = metadataForm(acceptedBy(asked));
  const instances = await instancesOf(retrieval, asked.params);
  await retrieval.record({ actor: `user:${asked.caller.name}`, form: 'metadata', instances });
  if (format === 'xml') return { status: 200, ...multipart(DICOM_XML, partPerInstance()) };
  return { status: 200, contentType: 'application/dicom+json', body: listOf() };

  function metadataOf(instance: StoredInstance): Promise<AsyncIterable<Uint8Array>> {
    const bulkDataRoot = `${asked.origin}${pathOf(instance)}/bulkdata`;
    return begun(made(retrieval, instance, { kind: 'metadata', format, bulkDataRoot }));
  }

  async function* listOf(): AsyncGenerator<Uint8Array> {
    for (const [index, instance] of instances.entries()) {
      const body = await metadataOf(instance);
      yield Buffer.from(index === 0 ? '[' : ',');
      yield* body;
    }
    yield Buffer.from(']');
  }

  async function* partPerInstance(): AsyncGenerator<WrittenPart> {
    for (const instance of instances) {
      yield { contentType: DICOM_XML, location: `${pathOf(instance)}/metadata`, body: await metadataOf(instance) };
    }
  }
}

export async function frames(retrieval: ImageRetrieval, asked: Asked): Promise<ByteResponse> {
  const [instance] = await instancesOf(retrieval, asked.params);
  const indices = frameIndicesOf(asked.params, instance);
  const { isMultipart, type, transferSyntax } = frameForm(
    acceptedBy(asked),
    instance.transferSyntaxUid,
    indices.length,
  );
  await retrieval.record({
    actor: `user:${asked.caller.name}`,
    form: 'frames',
    instances: [instance],
    details: { frameCount: indices.length },
  });
  const contentType = `${type}; transfer-syntax=${transferSyntax}`;
  const all = await begun(made(retrieval, instance, { kind: 'frames', transferSyntaxUid: transferSyntax, indices }));
  if (!isMultipart) return { status: 200, contentType, body: all };
  return { status: 200, ...multipart(type, onePartEach(all, contentType)) };
}

async function* onePartEach(blocks: AsyncIterable<Uint8Array>, contentType: string): AsyncGenerator<WrittenPart> {
  for await (const block of blocks) yield { contentType, body: [block] };
}

export async function bulkData(
  retrieval: ImageRetrieval,
  asked: Asked & { readonly params: { readonly element: string } },
): Promise<ByteResponse> {
  const isMultipart = bulkDataIsMultipart(acceptedBy(asked));
  const [instance] = await instancesOf(retrieval, asked.params);
  await retrieval.record({ actor: `user:${asked.caller.name}`, form: 'bulk-data', instances: [instance] });
  const body = await begun(made(retrieval, instance, { kind: 'bulk-data', element: asked.params.element }));
  if (!isMultipart) return { status: 200, contentType: OCTETS, body };
  return { status: 200, ...multipart(OCTETS, onePart(body)) };
}

async function* onePart(body: AsyncIterable<Uint8Array>): AsyncGenerator<WrittenPart> {
  yield { contentType: OCTETS, body };
}
