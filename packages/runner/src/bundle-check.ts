/**
 * Whether a bundle is what its manifest says, asked by the hub on the way in and by each site before it runs anything:
 * every file by size and digest, the graphs by the rules that make a stranger's graph safe to run, and the tensors by the
 * declared layout.
 */
import {
  AppError,
  BUNDLE_FILE_PATHS,
  type BundleManifest,
  type Digest,
  type GraphManifest,
  type TensorShape,
  toAppError,
} from '@lantern/contract';
import { buildTrainingGraph, checkGraph, type DeclaredEnds, parseHeader, type TensorLayout } from '@lantern/learning';
import { sha256 } from './bundle.ts';
import { labelColumns } from './executor/labelled-rows.ts';

export type BundleFile = { readonly path: string; readonly digest: Digest; readonly sizeBytes: number };

/**
 * Checks a bundle of either kind. `readFile` gives the bytes of a file of the manifest.
 * Throws `bundle.invalid` naming file and rule.
 */
export async function checkBundle(
  manifest: BundleManifest,
  readFile: (file: BundleFile) => Promise<Uint8Array>,
): Promise<void> {
  if (manifest.kind === 'analysis') return;
  checkFileList(manifest);
  checkDeclaredTensors(manifest);
  for (const file of manifest.files) {
    const bytes = await readFile(file);
    if (bytes.byteLength !== file.sizeBytes)
      throw refused(file.path, `has ${bytes.byteLength} bytes, not ${file.sizeBytes}`);
    if (sha256(bytes) !== file.digest) throw refused(file.path, 'does not have the digest of the manifest');
    checkContent(manifest, file.path, bytes);
  }
}

function refused(path: string, rule: string, cause?: unknown): AppError {
  return new AppError('bundle.invalid', `File ${path} ${rule}.`, { field: path, cause });
}

function checkFileList({ files }: GraphManifest): void {
  const known = new Set<string>(Object.values(BUNDLE_FILE_PATHS));
  const seen = new Set<string>();
  for (const { path } of files) {
    if (!known.has(path)) throw refused(path, 'is not a file of a graph bundle');
    if (seen.has(path)) throw refused(path, 'is named twice');
    seen.add(path);
  }
  for (const path of known) if (!seen.has(path)) throw refused(path, 'is missing from the manifest');
}

/** Parameters and optimiser state follow from the model; a manifest that says otherwise describes another graph. */
function checkDeclaredTensors(manifest: GraphManifest): void {
  const { parameters, optimiserState } = buildTrainingGraph(manifest.model);
  if (!sameTensors(manifest.parameters, parameters))
    throw refused('manifest', 'has parameters that do not follow from its model');
  if (!sameTensors(manifest.optimiserState, optimiserState)) {
    throw refused('manifest', 'has an optimiser state that does not follow from its model');
  }
}

function sameTensors(left: readonly TensorShape[], right: readonly TensorShape[]): boolean {
  const spelt = (tensors: readonly TensorShape[]) =>
    tensors.map(({ name, shape }) => `${name} ${shape.join('x')}`).sort();
  return spelt(left).join('\n') === spelt(right).join('\n');
}

function checkContent(manifest: GraphManifest, path: string, bytes: Uint8Array): void {
  if (path === BUNDLE_FILE_PATHS.initialWeights) checkInitialWeights(manifest, bytes);
  if (path === BUNDLE_FILE_PATHS.train) checkGraphFile(path, bytes, trainEnds(manifest));
  if (path === BUNDLE_FILE_PATHS.predict) checkGraphFile(path, bytes, predictEnds(manifest));
}

function checkGraphFile(path: string, bytes: Uint8Array, declared: DeclaredEnds): void {
  try {
    checkGraph(bytes, { declared });
  } catch (cause) {
    throw refused(path, `breaks a rule of graphs: ${toAppError(cause).message}`, cause);
  }
}

/** The inputs and outputs the executor feeds and reads; see learning's training graph. */
function trainEnds({ model, parameters, optimiserState }: GraphManifest): DeclaredEnds {
  const { batchSize, featureCount, proximal, control, optimiser } = model;
  const prefixed = (prefix: string) => parameters.map(({ name, shape }) => ({ name: prefix + name, shape }));
  const scalar = (name: string): TensorShape => ({ name, shape: [] });
  const kept = [...parameters, ...optimiserState];
  return {
    inputs: [
      { name: 'x', shape: [batchSize, featureCount] },
      { name: 'y', shape: [batchSize, labelColumns(model)] },
      { name: 'row_weight', shape: [batchSize] },
      scalar('learning_rate'),
      ...(optimiser.kind === 'adam' ? [scalar('step')] : []),
      ...kept,
      ...(proximal ? [scalar('mu'), ...prefixed('global.')] : []),
      ...(control ? prefixed('correction.') : []),
    ],
    outputs: [scalar('loss'), ...kept.map(({ name, shape }) => ({ name: `next.${name}`, shape }))],
  };
}

function predictEnds({ model, parameters }: GraphManifest): DeclaredEnds {
  return {
    inputs: [{ name: 'x', shape: [-1, model.featureCount] }, ...parameters],
    outputs: [{ name: 'probability', shape: [-1, labelColumns(model)] }],
  };
}

function checkInitialWeights(manifest: GraphManifest, bytes: Uint8Array): void {
  const path = BUNDLE_FILE_PATHS.initialWeights;
  const layout = readLayout(path, bytes);
  const notFloat = layout.tensors.find(({ dtype }) => dtype !== 'F32');
  if (notFloat !== undefined) throw refused(path, `holds tensor ${notFloat.name}, which is not F32`);
  const held = layout.tensors.map(({ name, shape }) => ({ name, shape: [...shape] }));
  if (!sameTensors(held, manifest.parameters))
    throw refused(path, 'does not hold exactly the parameters of the manifest');
  const data = new Uint8Array(bytes.subarray(layout.dataOffset)); // a copy, aligned; Buffer's own slice would share memory
  const values = new Float32Array(data.buffer, 0, data.byteLength / 4);
  if (!values.every(Number.isFinite)) throw refused(path, 'holds a number that is not finite');
}

function readLayout(path: string, bytes: Uint8Array): TensorLayout {
  try {
    return parseHeader(bytes, {}, bytes.byteLength);
  } catch (cause) {
    throw refused(path, 'is not a valid safetensors file', cause);
  }
}
