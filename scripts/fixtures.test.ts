import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const FOLDER = path.resolve(import.meta.dirname, '../fixtures/heart-disease');
const README = readFileSync(path.join(FOLDER, 'README.md'), 'utf8');
const HOSPITALS = ['cleveland', 'hungarian', 'switzerland', 'va'] as const;

function linesOf(file: string): string[] {
  return readFileSync(path.join(FOLDER, file), 'utf8').trim().split('\n');
}

describe('the heart-disease files', () => {
  it('have the sums that the README names, and the README names each', () => {
    const named = new Map([...README.matchAll(/^\| ([\w.-]+) \| ([0-9a-f]{32}) \|$/gm)].map((row) => [row[1], row[2]]));
    const files = readdirSync(FOLDER).filter((file) => file !== 'README.md');
    assert.deepEqual([...named.keys()].toSorted(), files.toSorted());
    for (const file of files) {
      const sum = createHash('md5')
        .update(readFileSync(path.join(FOLDER, file)))
        .digest('hex');
      assert.equal(sum, named.get(file), file);
    }
  });

  it('have as many rows, kept rows, training and test rows as the README says', () => {
    const split = linesOf('flamby-split.csv').map((line) => line.split(','));
    for (const hospital of HOSPITALS) {
      const rows = linesOf(`processed.${hospital}.data`);
      const kept = split.filter(([center]) => center === hospital);
      const count = (set: string) => kept.filter((cells) => cells[4] === set).length;
      const expected = `| processed.${hospital}.data | ${rows.length} | ${kept.length} | ${count('train')} / ${count('test')} |`;
      assert.ok(README.includes(expected), expected);
    }
  });

  it('label each row of the split as the diagnosis of that line says', () => {
    for (const hospital of HOSPITALS) {
      const rows = linesOf(`processed.${hospital}.data`).map((line) => line.split(','));
      for (const cells of linesOf('flamby-split.csv').map((line) => line.split(','))) {
        if (cells[0] !== hospital) continue;
        assert.equal(Number(Number(rows[Number(cells[2])]?.[13]) > 0), Number(cells[5]), cells.join());
      }
    }
  });
});
