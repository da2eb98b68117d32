/**
 * Images as features of a run: of every reference in the dataset the numbers of its research copy, in one file beside the rows, and a
 * table that says which number in the file is whose. What cannot be read any more, or is no image of the shape, is in neither, so that
 * its row is left out as any other that lacks a value.
 *
 * Invariant: the numbers are those of a copy that is byte for byte the one that the dataset was built with.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  AppError,
  type DatasetSchema,
  type Digest,
  type Feature,
  type FeatureSpec,
  type ImageInput,
  imageSize,
  parse,
} from '@lantern/contract';
import { type ImageTables, quoteIdentifier } from '@lantern/omop';
import { Type } from 'typebox';
import { sqlText, type TableEngine, type TableSession } from '../datasets/table-engine.ts';
import { tensorsOf } from '../image-tensors/tensor-making.ts';

/** Rows of a statement. */
const ROWS_AT_ONCE = 5_000;
const FLOAT_BYTES = 4;
/** Digits of a digest that a float64 holds exactly. */
const MARK_DIGITS = 13;

export type RunImages = {
  /** Paths of the files of the references that may be read now and are what they were. Throws `policy.*`. */
  filesOf(references: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;
  /** Throws `policy.*` where one of the references may not be read now. */
  assertReadable(references: readonly string[]): Promise<void>;
  /** Of the site's decision: a number of an image that differs in fewer patients than this says too much of them. */
  readonly patientCountMin: number;
};

/** The numbers of one image column, by their number in the table. */
export type ImageNumbers = {
  readonly size: number;
  /** Names the content: the same for the same image, in every run. */
  readonly marks: readonly number[];
  read(number: number): Promise<Float32Array>;
};

export type OpenImages = {
  readonly tables: ImageTables;
  readonly numbers: ReadonlyMap<Feature, ImageNumbers>;
  close(): Promise<void>;
};

type Source = {
  readonly schema: DatasetSchema;
  readonly features: FeatureSpec;
  readonly images?: RunImages | undefined;
};

export function imagesIn({ features }: FeatureSpec): ImageInput[] {
  return features.filter((feature) => feature.kind === 'image');
}

/** Makes files and tables for each image among the features; the tables last as long as the session. */
export async function openImages(
  session: TableSession,
  source: Source,
  { table, dir, signal }: { table: string; dir: string; signal: AbortSignal },
): Promise<OpenImages> {
  const tables = new Map<Feature, string>();
  const numbers = new Map<Feature, ImageNumbers>();
  const handles: FileHandle[] = [];
  const close = async () => {
    for (const handle of handles) await handle.close();
  };
  try {
    for (const [place, image] of imagesIn(source.features).entries()) {
      if (source.images === undefined) break; // the plan says that they cannot be read here
      const references = await referencesIn(session, source.schema, { table, column: image.column });
      const paths = await source.images.filesOf(references);
      const name = `image_${place}`;
      const file = path.join(dir, `${name}.f32`);
      const made = await writeNumbers(file, { image, paths, signal });
      await fillTable(session, name, made);
      const handle = await open(file, 'r');
      handles.push(handle);
      tables.set(image, name);
      numbers.set(image, numbersIn(handle, { size: imageSize(image), marks: made.map(markOf) }));
    }
  } catch (caught) {
    await close();
    throw caught;
  }
  return { tables, numbers, close };
}

/** Of rows that were made before: throws `policy.*` where their images may not be read any more. */
export async function assertImagesReadable(
  engine: TableEngine,
  { contentDigest, features, images }: Pick<Source, 'features' | 'images'> & { readonly contentDigest: Digest },
  signal: AbortSignal,
): Promise<void> {
  const asked = imagesIn(features);
  if (asked.length === 0 || images === undefined) return;
  const table = quoteIdentifier(await engine.tableOf(contentDigest));
  await engine.session(signal, async (session) => {
    for (const { column } of asked) {
      // One of each collection says it for all.
      const name = quoteIdentifier(column);
      const sql = `SELECT min(${name}) AS reference FROM ${table} WHERE ${name} IS NOT NULL GROUP BY split_part(${name}, '/', 1)`;
      await images.assertReadable(parsed(await session.rows({ sql, parameters: [] })));
    }
  });
}

/** For a preview, which reads no image: every one that the dataset refers to. */
export async function referredImages(
  session: TableSession,
  { schema, features }: Source,
  table: string,
): Promise<ImageTables> {
  const tables = new Map<Feature, string>();
  for (const [place, image] of imagesIn(features).entries()) {
    const name = `image_${place}`;
    await fillTable(session, name, await referencesIn(session, schema, { table, column: image.column }));
    tables.set(image, name);
  }
  return tables;
}

const ReferencesSchema = Type.Array(Type.Object({ reference: Type.String() }));

async function referencesIn(
  session: TableSession,
  schema: DatasetSchema,
  { table, column }: { table: string; column: string },
): Promise<string[]> {
  const declared = schema.columns.find(({ name }) => name === column);
  if (declared?.kind !== 'image') return []; // refused by the plan
  const identifier = quoteIdentifier(column);
  const rows = await session.rows({
    sql: `SELECT DISTINCT ${identifier} AS reference FROM ${quoteIdentifier(table)} WHERE ${identifier} IS NOT NULL ORDER BY 1`,
    parameters: [],
  });
  return parsed(rows);
}

function parsed(rows: unknown): string[] {
  return parse(ReferencesSchema, rows, { what: 'References to images' }).map(({ reference }) => reference);
}

async function fillTable(session: TableSession, name: string, references: readonly string[]): Promise<void> {
  await session.run(`CREATE OR REPLACE TEMP TABLE ${name} (reference VARCHAR, number DOUBLE)`);
  for (let from = 0; from < references.length; from += ROWS_AT_ONCE) {
    const some = references.slice(from, from + ROWS_AT_ONCE);
    const values = some.map((reference, index) => `(${sqlText(reference)}, ${from + index})`);
    await session.run(`INSERT INTO ${name} VALUES ${values.join(', ')}`);
  }
}

type Writing = {
  readonly image: ImageInput;
  readonly paths: ReadonlyMap<string, readonly string[]>;
  readonly signal: AbortSignal;
};

/** Gives the references whose images are in the file, in its order. The file appears under its name when it is whole. */
async function writeNumbers(file: string, { image, paths, signal }: Writing): Promise<string[]> {
  const references = [...paths.keys()];
  const made: string[] = [];
  const temporary = `${file}.${randomUUID()}.new`;
  const handle = await open(temporary, 'wx', 0o600);
  try {
    let at = 0;
    for await (const values of tensorsOf(paths.values(), { image, signal })) {
      const reference = references[at];
      at += 1;
      if (values === undefined || reference === undefined) continue;
      await handle.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      made.push(reference);
    }
    await handle.close();
    await rename(temporary, file);
    return made;
  } catch (caught) {
    await handle.close().catch(() => undefined); // closed already; the first error tells more
    await rm(temporary, { force: true });
    throw caught;
  }
}

function markOf(reference: string): number {
  return Number.parseInt(reference.split('/').at(-1)?.slice(0, MARK_DIGITS) ?? '', 16);
}

function numbersIn(handle: FileHandle, { size, marks }: Pick<ImageNumbers, 'size' | 'marks'>): ImageNumbers {
  return {
    size,
    marks,
    async read(number) {
      const bytes = new Uint8Array(size * FLOAT_BYTES);
      const { bytesRead } = await handle.read(bytes, 0, bytes.byteLength, number * bytes.byteLength);
      if (bytesRead !== bytes.byteLength)
        throw new AppError('storage.corrupt', 'A file of images is shorter than it was.');
      return new Float32Array(bytes.buffer);
    },
  };
}
