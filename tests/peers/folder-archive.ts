/** The smallest archive there can be: a folder of files behind our server, which answers queries on the level of studies. */
import { createWriteStream } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  type DataSet,
  type Destination,
  type DicomServer,
  type DicomServerOptions,
  dicomJson,
  instanceOfFile,
  type Match,
  openFileSource,
  type QueryRequest,
  readPart10,
  STATUS,
  type StoreRequest,
  startDicomServer,
} from '@lantern/dicom';

const STUDY_INSTANCE_UID = '0020000D';
const PATIENT_ID = '00100020';

export type StoredFile = { readonly file: string; readonly sopInstance: string; readonly studyInstance: string };

export type FolderArchive = {
  readonly server: DicomServer;
  readonly stored: readonly StoredFile[];
  readonly problems: readonly unknown[];
};

export async function startFolderArchive(
  folder: string,
  options: Partial<DicomServerOptions> & { destinations?: Readonly<Record<string, Destination>> } = {},
): Promise<FolderArchive> {
  const stored: StoredFile[] = [];
  const problems: unknown[] = [];
  const matching = ({ identifier }: QueryRequest) => {
    const wanted = textIn(identifier, STUDY_INSTANCE_UID);
    return stored.filter(({ studyInstance }) => wanted === '' || studyInstance === wanted);
  };
  const found = (request: QueryRequest) => ({
    kind: 'found' as const,
    instances: matching(request).map(({ file }) => instanceOfFile(file)),
  });
  const server = await startDicomServer({
    port: 0,
    host: '127.0.0.1',
    onProblem: (error) => problems.push(error),
    ...options,
    handlers: {
      async onStore(request) {
        const file = path.join(folder, `${stored.length}.dcm`);
        await pipeline(Readable.from(partsOf(request)), createWriteStream(file));
        stored.push({
          file,
          sopInstance: request.sopInstance,
          studyInstance: textIn(readFile(file), STUDY_INSTANCE_UID),
        });
        return { status: STATUS.success };
      },
      async *onFind(request): AsyncGenerator<Match> {
        for (const study of new Set(matching(request).map(({ studyInstance }) => studyInstance))) {
          yield { identifier: encodeIdentifier({ [STUDY_INSTANCE_UID]: study }, request.transferSyntax) };
        }
      },
      onGet: async (request) => found(request),
      async onMove(request) {
        const destination = options.destinations?.[request.destination];
        if (destination === undefined) return { kind: 'refused', status: STATUS.moveDestinationUnknown };
        return { ...found(request), destination };
      },
      ...options.handlers,
    },
  });
  return { server, stored, problems };
}

function readFile(file: string): DataSet {
  const source = openFileSource(file);
  try {
    return readPart10(source, Number.POSITIVE_INFINITY).dataSet;
  } finally {
    source.close();
  }
}

/** The first value of an element as text, '' for none. */
export function textIn(dataSet: DataSet, tag: string): string {
  const [first] = dicomJson(dataSet)[tag]?.Value ?? [];
  return typeof first === 'string' ? first : '';
}

const VRS: Readonly<Record<string, string>> = {
  '00080052': 'CS',
  [PATIENT_ID]: 'LO',
  [STUDY_INSTANCE_UID]: 'UI',
};
const EXPLICIT = '1.2.840.10008.1.2.1';

/** An identifier of short text elements, in the order of their tags. */
function encodeIdentifier(values: Readonly<Record<string, string>>, transferSyntax: string): Buffer {
  const elements = Object.entries(values)
    .toSorted(([left], [right]) => left.localeCompare(right))
    .map(([tag, text]) => {
      const vr = VRS[tag] ?? 'UI';
      return element(tag, transferSyntax === EXPLICIT ? vr : undefined, padded(text, vr));
    });
  return Buffer.concat(elements);
}

function padded(text: string, vr: string): Buffer {
  return Buffer.from(text.length % 2 === 0 ? text : text + (vr === 'UI' ? '\0' : ' '), 'latin1');
}

function element(tag: string, vr: string | undefined, value: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0);
  header.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2);
  if (vr === undefined) header.writeUInt32LE(value.byteLength, 4);
  else {
    header.write(vr, 4, 'latin1');
    header.writeUInt16LE(value.byteLength, 6);
  }
  return Buffer.concat([header, value]);
}

/** A file of PS3.10: preamble, the meta information that says what follows, and that as it came. */
async function* partsOf({ sopClass, sopInstance, transferSyntax, dataSet }: StoreRequest): AsyncGenerator<Buffer> {
  const meta = Buffer.concat([
    element('00020002', 'UI', padded(sopClass, 'UI')),
    element('00020003', 'UI', padded(sopInstance, 'UI')),
    element('00020010', 'UI', padded(transferSyntax, 'UI')),
    element('00020012', 'UI', padded('1.2.3', 'UI')),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.byteLength);
  yield Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element('00020000', 'UL', length), meta]);
  yield* dataSet;
}
