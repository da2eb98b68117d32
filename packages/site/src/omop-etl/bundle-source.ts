/**
 * FHIR files of a folder as a source of the ETL: bundles (.json) and one resource a line (.ndjson), also compressed (.gz). What
 * is no JSON, or no resource with a type and an id, is an error that names file and line, never content.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import readline from 'node:readline';
import { promisify } from 'node:util';
import { createGunzip, gunzip } from 'node:zlib';
import { AppError } from '@lantern/contract';
import type { SourceResource } from './etl.ts';
import { isJson, type Json, member, members, textOf } from './fhir-json.ts';

/** A bundle is parsed whole, so its size is bounded; larger collections come as lines. */
const BUNDLE_BYTES_MAX = 256 * 1024 * 1024;
const URN = /^urn:uuid:/;

/** Files below `root` (or `root` itself), in order of their names. */
export async function fhirFilesBelow(root: string): Promise<string[]> {
  const found = await stat(root).catch(() => undefined);
  if (found === undefined) throw new AppError('input.invalid', `There is no file or folder ${root}.`);
  if (found.isFile()) return [root];
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  const readable = files.filter((file) => /\.(json|ndjson)(\.gz)?$/.test(file)).sort();
  if (readable.length === 0) throw new AppError('input.invalid', `There is no .json or .ndjson file below ${root}.`);
  return readable;
}

/** `onFile` is called when a file was read to its end. */
export async function* fhirFileSource(
  files: readonly string[],
  onFile: () => void = () => undefined,
): AsyncGenerator<SourceResource> {
  for (const file of files) {
    if (/\.ndjson(\.gz)?$/.test(file)) yield* linesOf(file);
    else yield* bundleOf(file);
    onFile();
  }
}

async function* linesOf(file: string): AsyncGenerator<SourceResource> {
  const bytes = createReadStream(file);
  const input = file.endsWith('.gz') ? bytes.pipe(createGunzip()) : bytes;
  let line = 0;
  for await (const text of readline.createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    line += 1;
    if (text.trim() !== '') yield sourceResource(parse(text, `${file}, line ${line}`), `${file}, line ${line}`);
  }
}

async function* bundleOf(file: string): AsyncGenerator<SourceResource> {
  const bytes = await readFile(file);
  const plain = file.endsWith('.gz') ? await promisify(gunzip)(bytes, { maxOutputLength: BUNDLE_BYTES_MAX }) : bytes;
  if (plain.length > BUNDLE_BYTES_MAX)
    throw new AppError('input.too-large', `${file} has more than ${BUNDLE_BYTES_MAX} bytes.`);
  const resource = parse(plain.toString('utf8'), file);
  if (textOf(resource, 'resourceType') !== 'Bundle') {
    yield sourceResource(resource, file);
    return;
  }
  const keys = keysByUrl(resource);
  for (const [index, entry] of members(resource, 'entry').entries()) {
    const content = member(entry, 'resource');
    if (content === undefined) continue;
    yield sourceResource(withKeys(content, keys), `${file}, entry ${index + 1}`);
  }
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError('input.invalid', `${where}: this is not JSON.`, { cause });
  }
}

function sourceResource(content: unknown, where: string): SourceResource {
  const resourceType = textOf(content, 'resourceType');
  const id = textOf(content, 'id');
  if (!isJson(content) || resourceType === undefined || id === undefined) {
    throw new AppError('input.invalid', `${where}: a resource needs resourceType and id.`);
  }
  const contentHash = createHash('sha256').update(JSON.stringify(content)).digest('base64');
  return { resourceType, id, contentHash, content };
}

/** "Patient/17" by the urn with which the bundle's entries point at each other. */
function keysByUrl(bundle: unknown): ReadonlyMap<string, string> {
  const keys = new Map<string, string>();
  for (const entry of members(bundle, 'entry')) {
    const url = textOf(entry, 'fullUrl');
    const resource = member(entry, 'resource');
    const id = textOf(resource, 'id');
    if (url !== undefined && id !== undefined && URN.test(url))
      keys.set(url, `${textOf(resource, 'resourceType')}/${id}`);
  }
  return keys;
}

/** The same resource with references to entries of the bundle turned into "Type/id". */
function withKeys(value: unknown, keys: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((item) => withKeys(item, keys));
  if (!isJson(value)) return value;
  const copy: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value satisfies Json)) {
    copy[name] = name === 'reference' && typeof item === 'string' ? (keys.get(item) ?? item) : withKeys(item, keys);
  }
  return copy;
}
