import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { decodeTensors, encodeTensors, parseHeader, type Tensor } from '@lantern/learning';
import { askPython, peersMissing } from './python.ts';

/** Each as bits, so that the sign of zero, subnormal numbers and the payload of a NaN count. */
const TENSORS: Readonly<Record<string, Tensor>> = {
  'layer.0/weight': { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1.5, -0, 3.4028234e38, 1e-45, Infinity, 0.1) },
  'état β': { dtype: 'F32', shape: [1], data: new Float32Array(Uint32Array.of(0x7fc0_1234).buffer) },
  mean: { dtype: 'F64', shape: [3, 1], data: Float64Array.of(Math.PI, -5e-324, Number.MAX_VALUE) },
  scalar: { dtype: 'F64', shape: [], data: Float64Array.of(0.1 + 0.2) },
  steps: { dtype: 'I64', shape: [2, 2], data: BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n, -7n) },
  none: { dtype: 'I64', shape: [0, 4], data: new BigInt64Array(0) },
};
const NUMPY_NAMES = { F32: '<f4', F64: '<f8', I64: '<i8' };

type Answer = {
  tensors: Record<string, { dtype: string; shape: number[]; bytes: string }>;
  metadata: Record<string, string>;
};

function hex({ data }: Tensor): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex');
}

const described = (names: Readonly<Record<Tensor['dtype'], string>>, tensors: Iterable<[string, Tensor]>) =>
  Object.fromEntries(
    [...tensors].map(([name, tensor]) => [
      name,
      { dtype: names[tensor.dtype], shape: [...tensor.shape], bytes: hex(tensor) },
    ]),
  );

test("our files are read by Python's safetensors bit for bit, and its files by us", {
  skip: peersMissing,
}, async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-peers-'));
  try {
    const ours = path.join(folder, 'ours.safetensors');
    const theirs = path.join(folder, 'theirs.safetensors');
    await writeFile(ours, encodeTensors(TENSORS, { round: '7', 'made by': 'lantern' }));
    const tensors = described({ F32: 'F32', F64: 'F64', I64: 'I64' }, Object.entries(TENSORS));
    const seen = await askPython<Answer>('safetensors_peer.py', { read: ours, write: theirs, tensors });
    assert.deepEqual(seen.tensors, described(NUMPY_NAMES, Object.entries(TENSORS)));
    assert.deepEqual(seen.metadata, { round: '7', 'made by': 'lantern' });

    const file = await readFile(theirs);
    assert.deepEqual(described({ F32: 'F32', F64: 'F64', I64: 'I64' }, decodeTensors(file)), tensors);
    assert.deepEqual(parseHeader(file, {}, file.byteLength).metadata, { 'made by': 'python' });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
