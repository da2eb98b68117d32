/** What tests of derived objects are derived from: a real slice, and a stack of slices made of it; with a clock and UIDs that stand still. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { memorySource } from '../src/byte-source.ts';
import type { DataSet } from '../src/data-set.ts';
import { numberElement, textElement, withElements } from '../src/element-values.ts';
import type { Derivation } from '../src/objects/derived-object.ts';
import { type Part10File, readPart10 } from '../src/part10.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');

export function fixture(name: string): Part10File {
  return readPart10(memorySource(readFileSync(path.join(FIXTURES, name))));
}

/** `count` slices like MR_small.dcm with UIDs of their own and oblong pixels, 2.5 mm apart, in the order of their places. */
export function stack(count: number): DataSet[] {
  const { dataSet } = fixture('MR_small.dcm');
  return Array.from({ length: count }, (_, index) =>
    withElements(dataSet, [
      textElement('SOPInstanceUID', `2.25.10${index}`),
      numberElement('InstanceNumber', index + 1),
      numberElement('ImagePositionPatient', [-83.9063, -91.2, 6.6406 + 2.5 * index]),
      numberElement('ImageOrientationPatient', [1, 0, 0, 0, 1, 0]),
      numberElement('PixelSpacing', [0.5, 0.25]), // of rows, of columns
    ]),
  );
}

export function derivationOf(source: DataSet, changes: Partial<Derivation> = {}): Derivation {
  let uidCount = 0;
  return {
    source,
    equipment: { manufacturer: 'Maker', modelName: 'nodule-finder', serialNumber: 'L-7', softwareVersions: ['1.4.2'] },
    series: { number: 901 },
    instanceNumber: 3,
    now: new Date('2026-03-04T23:30:05.078Z'),
    newUid: () => {
      uidCount += 1;
      return `2.25.900${uidCount}`;
    },
    ...changes,
  };
}
