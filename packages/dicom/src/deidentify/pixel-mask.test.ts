import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PixelGeometry } from './pixel-geometry.ts';
import { blackOut, type Mask, maskedPixels, withoutUnusedBits } from './pixel-mask.ts';

const GEOMETRY: PixelGeometry = {
  columns: 7,
  rows: 5,
  frameCount: 3,
  samplesPerPixel: 1,
  bitsAllocated: 16,
  bitsStored: 12,
  highBit: 11,
  isSigned: false,
  isPlanar: false,
  photometricInterpretation: 'MONOCHROME2',
};
const MASKS: readonly Mask[] = [
  { regions: [{ x: 1, y: 2, width: 3, height: 2 }], where: 'inside' },
  { regions: [{ x: 6, y: 4, width: 9, height: 9 }], where: 'inside' },
];

/** Written apart from the code under test: column and row within a rectangle. */
function isMasked(x: number, y: number): boolean {
  return (x >= 1 && x <= 3 && y >= 2 && y <= 3) || (x === 6 && y === 4);
}

function noise(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, index) => (index * 89 + 31) & 0xff));
}

function eachPixel(geometry: PixelGeometry, check: (pixel: { frame: number; x: number; y: number }) => void): void {
  for (let frame = 0; frame < geometry.frameCount; frame += 1) {
    for (let y = 0; y < geometry.rows; y += 1) for (let x = 0; x < geometry.columns; x += 1) check({ frame, x, y });
  }
}

describe('blacking out', () => {
  for (const littleEndian of [true, false]) {
    for (const [photometricInterpretation, isSigned] of [
      ['MONOCHROME2', false],
      ['MONOCHROME2', true],
      ['MONOCHROME1', false],
      ['MONOCHROME1', true],
    ] as const) {
      test(`sets exactly the pixels of the regions in every frame, ${photometricInterpretation}, ${isSigned ? 'signed' : 'unsigned'}, ${littleEndian ? 'little' : 'big'} endian`, () => {
        const geometry = { ...GEOMETRY, photometricInterpretation, isSigned };
        const before = noise(2 * 7 * 5 * 3 + 2);
        const after = blackOut(before, geometry, { masked: maskedPixels(geometry, MASKS), littleEndian });
        assert.equal(after.length, before.length);
        // Twelve bits stored of sixteen, without the two bytes after the last frame.
        const stored = (bits: number) => (isSigned && (bits & 0x800) !== 0 ? (bits & 0xfff) - 0x1000 : bits & 0xfff);
        const all = Array.from({ length: 105 }, (_, index) =>
          stored(littleEndian ? before.readUInt16LE(2 * index) : before.readUInt16BE(2 * index)),
        );
        const black = photometricInterpretation === 'MONOCHROME1' ? Math.max(...all) : Math.min(...all);
        eachPixel(geometry, ({ frame, x, y }) => {
          const at = 2 * (frame * 35 + y * 7 + x);
          const value = littleEndian ? after.readUInt16LE(at) : after.readUInt16BE(at);
          if (isMasked(x, y)) assert.equal(stored(value), black);
          else assert.equal(after.toString('hex', at, at + 2), before.toString('hex', at, at + 2));
        });
        assert.equal(after.toString('hex', 210), before.toString('hex', 210));
      });
    }
  }

  for (const isPlanar of [true, false]) {
    for (const [photometricInterpretation, black] of [
      ['RGB', [0, 0, 0]],
      ['YBR_FULL', [0, 128, 128]],
    ] as const) {
      test(`takes all samples of a pixel, ${photometricInterpretation}, ${isPlanar ? 'by plane' : 'by pixel'}`, () => {
        const geometry = {
          ...GEOMETRY,
          photometricInterpretation,
          isPlanar,
          samplesPerPixel: 3,
          bitsAllocated: 8,
          bitsStored: 8,
        };
        const before = noise(3 * 35 * 3);
        const after = blackOut(before, geometry, { masked: maskedPixels(geometry, MASKS), littleEndian: true });
        eachPixel(geometry, ({ frame, x, y }) => {
          const places = [0, 1, 2].map(
            (sample) => frame * 105 + (isPlanar ? sample * 35 + y * 7 + x : (y * 7 + x) * 3 + sample),
          );
          const expected = isMasked(x, y) ? [...black] : places.map((at) => before[at]);
          assert.deepEqual(
            places.map((at) => after[at]),
            expected,
          );
        });
      });
    }
  }

  test('takes the luminance of masked pixels alone where two share their colour', () => {
    const geometry = {
      ...GEOMETRY,
      columns: 4,
      rows: 1,
      frameCount: 1,
      photometricInterpretation: 'YBR_FULL_422',
      samplesPerPixel: 3,
      bitsAllocated: 8,
      bitsStored: 8,
    };
    const masked = maskedPixels(geometry, [{ regions: [{ x: 1, y: 0, width: 1, height: 1 }], where: 'inside' }]);
    const after = blackOut(Buffer.from([10, 20, 30, 40, 50, 60, 70, 80]), geometry, { masked, littleEndian: true });
    assert.deepEqual([...after], [10, 0, 128, 128, 50, 60, 70, 80]);
  });

  test('takes single bits, the first pixel in the lowest bit, frames without padding between', () => {
    const geometry = { ...GEOMETRY, columns: 3, rows: 1, frameCount: 2, bitsAllocated: 1, bitsStored: 1 };
    const masked = maskedPixels(geometry, [{ regions: [{ x: 1, y: 0, width: 1, height: 1 }], where: 'inside' }]);
    assert.deepEqual(
      [...blackOut(Buffer.from([0xff, 0xff]), geometry, { masked, littleEndian: true })],
      [0b11101101, 0xff],
    );
  });

  test('keeps only what lies in a region where regions are what may stay', () => {
    const masked = maskedPixels(GEOMETRY, [
      {
        regions: [
          { x: 1, y: 2, width: 3, height: 2 },
          { x: 6, y: 4, width: 1, height: 1 },
        ],
        where: 'outside',
      },
    ]);
    eachPixel({ ...GEOMETRY, frameCount: 1 }, ({ x, y }) => assert.equal(masked[y * 7 + x], isMasked(x, y) ? 0 : 1));
  });

  test('clears bits beside the stored ones, where old overlays hide', () => {
    const bytes = Buffer.from('ffffabcd', 'hex');
    assert.equal(withoutUnusedBits(bytes, GEOMETRY, true).toString('hex'), 'ff0fab0d');
    assert.equal(withoutUnusedBits(bytes, GEOMETRY, false).toString('hex'), '0fff0bcd');
  });
});
