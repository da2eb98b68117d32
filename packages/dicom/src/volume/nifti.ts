/** Volumes as NIfTI-1 files (https://nifti.nimh.nih.gov/nifti-1, nifti1.h): one file, little endian, no patient data. */
import assert from 'node:assert/strict';
import { endianness } from 'node:os';
import { gzipSync } from 'node:zlib';
import type { Affine, Volume } from './volume.ts';

const HEADER_BYTES = 348;
const DATA_START = 352;
const INT16 = 4;
const FLOAT32 = 16;
const SCANNER_COORDINATES = 1;
const MILLIMETRES = 2;
/** Sizes stand in 16 bits, with sign. */
const SIZE_MAX = 32_767;
const SHEAR_TOLERANCE = 1e-3;

/** The header, then the voxels, which are a view of `volume.values`. */
export function niftiOf(volume: Volume): readonly [Buffer, Buffer] {
  assert.equal(endianness(), 'LE', 'Voxels are written as they lie in memory.');
  const { values, columns, rows, slices } = volume;
  assert.ok(Math.max(columns, rows, slices) <= SIZE_MAX, 'NIfTI-1 has no room for the size.');
  return [headerOf(volume), Buffer.from(values.buffer, values.byteOffset, values.byteLength)];
}

/** As .nii.gz. */
export function niftiGzOf(volume: Volume): Buffer {
  return gzipSync(Buffer.concat(niftiOf(volume)));
}

function headerOf({ values, columns, rows, slices, spacing, affine }: Volume): Buffer {
  const header = Buffer.alloc(DATA_START);
  header.writeInt32LE(HEADER_BYTES, 0);
  for (const [index, size] of [3, columns, rows, slices, 1, 1, 1, 1].entries())
    header.writeInt16LE(size, 40 + index * 2);
  const isInteger = values instanceof Int16Array;
  header.writeInt16LE(isInteger ? INT16 : FLOAT32, 70);
  header.writeInt16LE(isInteger ? 16 : 32, 72);
  const rotation = rotationOf(affine, spacing);
  const pixdim = [rotation?.handedness ?? 1, ...spacing, 0, 0, 0, 0];
  for (const [index, size] of pixdim.entries()) header.writeFloatLE(size, 76 + index * 4);
  header.writeFloatLE(DATA_START, 108);
  header.writeFloatLE(1, 112); // slope; values are rescaled already
  header[123] = MILLIMETRES;
  header.write('Lantern', 148, 'latin1');
  header.writeInt16LE(rotation === undefined ? 0 : SCANNER_COORDINATES, 252);
  header.writeInt16LE(SCANNER_COORDINATES, 254);
  const offset = [affine[0][3], affine[1][3], affine[2][3]];
  for (const [index, value] of [...(rotation?.quaternion ?? [0, 0, 0]), ...offset].entries())
    header.writeFloatLE(value, 256 + index * 4);
  for (const [index, value] of affine.slice(0, 3).flat().entries()) header.writeFloatLE(value, 280 + index * 4);
  header.write('n+1\0', 344, 'latin1');
  return header;
}

/** `undefined` where the matrix is more than a rotation and steps: then the affine alone says it. */
function rotationOf(
  affine: Affine,
  spacing: readonly number[],
): { quaternion: readonly [number, number, number]; handedness: 1 | -1 } | undefined {
  const column = (index: 0 | 1 | 2) => [0, 1, 2].map((row) => (affine[row]?.[index] ?? 0) / (spacing[index] ?? 1));
  const [x, y, z] = [column(0), column(1), column(2)];
  const dot = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
  if ([dot(x, y), dot(x, z), dot(y, z)].some((off) => Math.abs(off) > SHEAR_TOLERANCE)) return undefined;
  const [xx = 0, xy = 0, xz = 0] = x;
  const [yx = 0, yy = 0, yz = 0] = y;
  const handedness = dot([xy * yz - xz * yy, xz * yx - xx * yz, xx * yy - xy * yx], z) < 0 ? -1 : 1;
  const [zx = 0, zy = 0, zz = 0] = z.map((value) => value * handedness);
  return { quaternion: quaternionOf([xx, yx, zx, xy, yy, zy, xz, yz, zz]), handedness };
}

/** (b, c, d) of the unit quaternion with a >= 0, of a rotation row by row; nifti1.h, METHOD 2, as nifti_mat44_to_quatern has it. */
function quaternionOf(rotation: readonly number[]): readonly [number, number, number] {
  const [r11 = 1, r12 = 0, r13 = 0, r21 = 0, r22 = 1, r23 = 0, r31 = 0, r32 = 0, r33 = 1] = rotation;
  const trace = r11 + r22 + r33 + 1;
  if (trace > 0.5) {
    const a = 0.5 * Math.sqrt(trace);
    return [(0.25 * (r32 - r23)) / a, (0.25 * (r13 - r31)) / a, (0.25 * (r21 - r12)) / a];
  }
  const [dx, dy, dz] = [1 + r11 - r22 - r33, 1 + r22 - r11 - r33, 1 + r33 - r11 - r22];
  let quaternion: readonly [number, number, number, number];
  if (dx > 1) {
    const b = 0.5 * Math.sqrt(dx);
    quaternion = [(0.25 * (r32 - r23)) / b, b, (0.25 * (r12 + r21)) / b, (0.25 * (r13 + r31)) / b];
  } else if (dy > 1) {
    const c = 0.5 * Math.sqrt(dy);
    quaternion = [(0.25 * (r13 - r31)) / c, (0.25 * (r12 + r21)) / c, c, (0.25 * (r23 + r32)) / c];
  } else {
    const d = 0.5 * Math.sqrt(dz);
    quaternion = [(0.25 * (r21 - r12)) / d, (0.25 * (r13 + r31)) / d, (0.25 * (r23 + r32)) / d, d];
  }
  const sign = quaternion[0] < 0 ? -1 : 1;
  return [sign * quaternion[1], sign * quaternion[2], sign * quaternion[3]];
}
