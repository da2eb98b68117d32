/** What tests of derived objects are derived from: a real slice; with a clock and UIDs that stand still. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { memorySource } from '../src/byte-source.ts';
import type { DataSet } from '../src/data-set.ts';
import type { Derivation } from '../src/objects/derived-object.ts';
import { type Part10File, readPart10 } from '../src/part10.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');

export function fixture(name: string): Part10File {
  return readPart10(memorySource(readFileSync(path.join(FIXTURES, name))));
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
