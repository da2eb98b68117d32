/**
 * A de-identified object as a file. Nothing of the original file but its elements comes along: no preamble, no bytes after the end,
 * none of its meta information, which names machines and programs.
 *
 * A deflated data set is written as explicit VR little endian, which every reader knows.
 */
import { writePart10 } from '../part10-writer.ts';
import { EXPLICIT_LITTLE_ENDIAN, transferSyntaxOf } from '../transfer-syntax.ts';
import type { DeidentifiedObject } from './deidentify.ts';

/** The file in pieces, in order; what lies in the source is read as it is needed. Throws `malformed` without its SOP UIDs. */
export function outputFile({ dataSet, source, transferSyntaxUid }: DeidentifiedObject): Iterable<Buffer> {
  const syntax = transferSyntaxOf(transferSyntaxUid);
  const transferSyntax = syntax.deflated ? transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN) : syntax;
  return writePart10({ dataSet, source, transferSyntax });
}
