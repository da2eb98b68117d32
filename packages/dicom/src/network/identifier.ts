/** Identifiers, and the information of actions and events: the data sets that a message carries besides its command. */
import assert from 'node:assert/strict';
import type { DataSet } from '../data-set.ts';
import { encodeDataSet } from '../data-set-writer.ts';
import { type ElementBuilder, withElements } from '../element-values.ts';
import { transferSyntaxOf } from '../transfer-syntax.ts';

/** In the default repertoire as far as its texts allow, since many an archive knows no other; else in UTF-8. */
export function identifierOf(elements: readonly ElementBuilder[]): DataSet {
  return withElements({ elements: new Map(), littleEndian: true, characterSets: [] }, elements);
}

/** Throws `malformed` where the encoding cannot hold the data set. */
export function encodeIdentifier(dataSet: DataSet, transferSyntax: string): Buffer {
  const pieces = encodeDataSet(dataSet, transferSyntaxOf(transferSyntax));
  return Buffer.concat(
    pieces.map((piece) => {
      assert.ok(Buffer.isBuffer(piece), 'What goes into a message is held whole.');
      return piece;
    }),
  );
}
