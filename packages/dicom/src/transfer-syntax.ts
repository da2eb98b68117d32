/** Transfer syntaxes as far as they say how a data set is encoded (PS3.5 annex A); how pixels are coded is the codecs' concern. */
import { DicomError } from './dicom-error.ts';
import { UID_LINES } from './generated/uids.ts';

export type TransferSyntax = {
  readonly uid: string;
  readonly name: string;
  readonly explicit: boolean;
  readonly littleEndian: boolean;
  readonly deflated: boolean;
  /** How PixelData is written: as one value, or in fragments (PS3.5 A.4); `undefined` for syntaxes of a maker's own. */
  readonly pixels: 'native' | 'encapsulated' | undefined;
};

export const IMPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2';
export const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const DEFLATED = new Set(['1.2.840.10008.1.2.1.99', '1.2.840.10008.1.2.4.95', '1.2.840.10008.1.2.4.205']);
export const EXPLICIT_BIG_ENDIAN = '1.2.840.10008.1.2.2';

/** JPEG and its relatives, MPEG and RLE; not the JPIP ones, whose pixels are elsewhere. */
const ENCAPSULATED = /^1\.2\.840\.10008\.1\.2\.(1\.98|4\.(?!9[45]$|20[45]$)[\d.]+|5)$/;

let names: ReadonlyMap<string, string> | undefined;

function nameOf(uid: string): string | undefined {
  names ??= new Map(
    UID_LINES.split('\n')
      .map((line) => line.split('|'))
      .filter(([, kind]) => kind === 'Transfer Syntax')
      .map(([value = '', , , name = '']) => [value, name]),
  );
  return names.get(uid);
}

/** An unknown one, as makers have of their own, is explicit little endian: every encapsulated syntax is (PS3.5 A.4). */
export function transferSyntaxOf(uid: string): TransferSyntax {
  if (!/^[0-9.]{1,64}$/.test(uid)) throw new DicomError('malformed', 'TransferSyntaxUID is not a UID.');
  return {
    uid,
    name: nameOf(uid) ?? 'unknown',
    explicit: uid !== IMPLICIT_LITTLE_ENDIAN,
    littleEndian: uid !== EXPLICIT_BIG_ENDIAN,
    deflated: DEFLATED.has(uid),
    pixels: pixelsOf(uid),
  };
}

function pixelsOf(uid: string): TransferSyntax['pixels'] {
  if (ENCAPSULATED.test(uid)) return 'encapsulated';
  const isNative = [IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN].includes(uid);
  return isNative || DEFLATED.has(uid) ? 'native' : undefined;
}
