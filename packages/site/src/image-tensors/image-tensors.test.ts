import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ImageInput } from '@lantern/contract';
import { dataSetOf, memorySource, textElement, transferSyntaxOf, type Volume, writePart10 } from '@lantern/dicom';
import { ctSlice, storedValue } from '../../test/synthetic-ct.ts';
import { inPatientAxes } from './patient-axes.ts';
import { normalised, resampled } from './resampling.ts';
import { tensorsOf } from './tensor-making.ts';

const grid = (size: [number, number, number], spacing: [number, number, number], value = (at: number) => at * at) => ({
  size,
  spacing,
  values: Array.from({ length: size[0] * size[1] * size[2] }, (_, at) => value(at)),
});
const near = (found: ArrayLike<number>, expected: readonly number[]) => {
  assert.equal(found.length, expected.length);
  for (const [index, value] of expected.entries())
    assert.ok(Math.abs((found[index] ?? Number.NaN) - value) < 1e-9, `${index}: ${found[index]} is not ${value}`);
};

describe('resampling', () => {
  it('takes the mean of what lies in each box, cut voxels by their share', () => {
    // 3 columns into 2: [0, 1] and half of the second each.
    near(resampled(grid([1, 1, 3], [1, 1, 1]), { shape: [1, 1, 2], fit: 'stretch' }), [
      (0 + 1 * 0.5) / 1.5,
      (1 * 0.5 + 4) / 1.5,
    ]);
    near(resampled(grid([2, 2, 2], [1, 1, 1]), { shape: [1, 1, 1], fit: 'stretch' }), [
      (1 + 4 + 9 + 16 + 25 + 36 + 49) / 8,
    ]);
    near(resampled(grid([1, 1, 2], [1, 1, 1]), { shape: [1, 1, 4], fit: 'stretch' }), [0, 0, 1, 1]);
  });

  it('crops to the middle part in the proportion of the shape, in millimetres', () => {
    // 2 rows of 3 mm and 8 columns of 1 mm: the middle square is 6 mm wide, columns 1 to 6.
    near(
      resampled(
        grid([1, 2, 8], [1, 3, 1], (at) => at),
        { shape: [1, 2, 2], fit: 'crop' },
      ),
      [2, 5, 10, 13],
    );
    // A depth of 2 mm bounds a cube: the middle 2 of 4 rows and columns.
    near(
      resampled(
        grid([2, 4, 4], [1, 1, 1], (at) => at),
        { shape: [2, 2, 2], fit: 'crop' },
      ),
      [5, 6, 9, 10, 21, 22, 25, 26],
    );
  });

  it('gives numbers from 0 to 1 by the window, else by the image, and turns what is shown the other way round', () => {
    const values = Float64Array.of(-1000, -200, 400);
    near(normalised(values, { window: undefined, isInverted: false }), [0, Math.fround(800 / 1400), 1]);
    near(normalised(values, { window: { min: -200, max: 200 }, isInverted: false }), [0, 0, 1]);
    near(normalised(values, { window: { min: -1000, max: 600 }, isInverted: true }), [1, 0.5, 0.125]);
    near(normalised(Float64Array.of(3, 3), { window: undefined, isInverted: true }), [0, 0]);
  });
});

describe('a volume in the axes of the patient', () => {
  /** 2 columns, 3 rows, 4 slices, whose value says where it lies in RAS millimetres: 100 x + 10 y + z. */
  function volume(
    axes: readonly [[number, number, number], [number, number, number], [number, number, number]],
  ): Volume {
    const [columns, rows, slices] = [2, 3, 4];
    const [alongColumn, alongRow, alongSlice] = axes; // one step of column, row and slice
    const values = new Float32Array(columns * rows * slices);
    for (let at = 0; at < values.length; at += 1) {
      const steps = [at % columns, Math.floor(at / columns) % rows, Math.floor(at / (columns * rows))];
      const [x = 0, y = 0, z = 0] = [0, 1, 2].map((ras) =>
        axes.reduce((sum, axis, index) => sum + (axis[ras] ?? 0) * (steps[index] ?? 0), 0),
      );
      values[at] = 100 * x + 10 * y + z;
    }
    const row = (ras: 0 | 1 | 2) => [alongColumn[ras], alongRow[ras], alongSlice[ras], 0] as const;
    const spacing = axes.map((axis) => Math.hypot(...axis)) as [number, number, number]; // three axes
    return {
      columns,
      rows,
      slices,
      spacing,
      affine: [row(0), row(1), row(2), [0, 0, 0, 1]],
      origins: [],
      problems: [],
      values,
    };
  }

  it('runs from the feet to the head, the front to the back, the right to the left, however it was scanned', () => {
    const scans = [
      volume([
        [-1, 0, 0],
        [0, -1, 0],
        [0, 0, 2],
      ]), // axial, head last
      volume([
        [1, 0, 0],
        [0, -1, 0],
        [0, 0, -2],
      ]), // axial from the left, head first
      volume([
        [0, -1, 0],
        [0, 0, -1],
        [3, 0, 0],
      ]), // sagittal
      volume([
        [-1, 0.1, 0],
        [0, 0, -1],
        [0.1, 1, 0],
      ]), // coronal, a little turned
    ];
    for (const scan of scans) {
      const { size, spacing, values } = inPatientAxes(scan);
      const at = (slice: number, row: number, column: number) =>
        values[(slice * size[1] + row) * size[2] + column] ?? Number.NaN;
      assert.ok(at(1, 0, 0) > at(0, 0, 0), 'to the head');
      assert.ok(at(0, 1, 0) < at(0, 0, 0), 'to the back');
      assert.ok(at(0, 0, 1) < at(0, 0, 0), 'to the left');
      assert.deepEqual([...size].sort(), [2, 3, 4]);
      assert.deepEqual(
        [...(values as Float32Array)].sort((a, b) => a - b),
        [...scan.values].sort((a, b) => a - b),
      );
      assert.deepEqual([...spacing].sort(), [...scan.spacing].sort());
    }
    assert.deepEqual(inPatientAxes(scans[2] ?? assert.fail()).size, [3, 2, 4]);
  });
});

describe('files of a series', () => {
  let folder: string;
  const files: string[] = [];
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lantern-tensors-'));
    for (const slice of [1, 2]) files.push(await written(`${slice}.dcm`, ctSlice({ study: 1, slice })));
    files.push(
      await written('dark.dcm', ctSlice({ study: 2, slice: 1, texts: { PhotometricInterpretation: 'MONOCHROME1' } })),
    );
    files.push(path.join(folder, 'broken.dcm'));
    await writeFile(files.at(-1) ?? '', 'no image');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function written(
    name: string,
    { sopClassUid, sopInstanceUid, builders }: ReturnType<typeof ctSlice>,
  ): Promise<string> {
    const dataSet = dataSetOf([
      textElement('SOPClassUID', sopClassUid),
      textElement('SOPInstanceUID', sopInstanceUid),
      ...builders,
    ]);
    const file = path.join(folder, name);
    await writeFile(
      file,
      Buffer.concat([
        ...writePart10({
          dataSet,
          transferSyntax: transferSyntaxOf('1.2.840.10008.1.2.1'),
          source: memorySource(Buffer.alloc(0)),
        }),
      ]),
    );
    return file;
  }

  async function made(series: readonly (readonly string[])[], image: Partial<ImageInput>) {
    const found: (number[] | undefined)[] = [];
    const asked: ImageInput = { kind: 'image', column: 'scan', shape: [1, 1, 1], fit: 'stretch', ...image };
    for await (const values of tensorsOf(series, { image: asked, signal: new AbortController().signal }))
      found.push(values === undefined ? undefined : [...values]);
    return found;
  }

  it('become numbers in Hounsfield units by the window; what is no image of the shape becomes nothing', async () => {
    const [one = '', two = '', dark = '', broken = ''] = files;
    const window = { min: -1000, max: 1000 };
    const meanOf = (slice: number) => storedValue(slice, 5.5) - 1000; // of 4 x 3 pixels
    assert.deepEqual(await made([[one], [dark], [one, two], [broken], []], { window }), [
      [Math.fround((meanOf(1) + 1000) / 2000)],
      [1 - Math.fround((meanOf(1) + 1000) / 2000)].map(Math.fround),
      undefined,
      undefined,
      undefined,
    ]);
    assert.deepEqual(
      await made(
        [
          [two, one],
          [broken, one],
        ],
        { window, shape: [2, 1, 1] },
      ),
      [[meanOf(1), meanOf(2)].map((mean) => Math.fround((mean + 1000) / 2000)), undefined],
    );
  });

  it('are given up when it is told', async () => {
    const stopping = new AbortController();
    const image: ImageInput = { kind: 'image', column: 'scan', shape: [1, 1, 1], fit: 'crop' };
    const reading = tensorsOf([files.slice(0, 1), files.slice(0, 1)], { image, signal: stopping.signal });
    await reading.next();
    stopping.abort();
    await assert.rejects(reading.next());
  });
});
