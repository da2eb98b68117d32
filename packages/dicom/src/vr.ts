/**
 * Value representations (PS3.5 6.2): how a value is written, and whether its length takes two bytes or four in explicit VR
 * (PS3.5 7.1.2).
 */

/** `text` holds characters, split at backslashes unless `single`; `charset`: in the character set of the data set. */
type VrRule =
  | { readonly kind: 'text'; readonly long: boolean; readonly charset: boolean; readonly single: boolean }
  | {
      readonly kind: 'number';
      readonly long: boolean;
      readonly bytes: WordBytes;
      readonly read: NumberReader;
      readonly write: NumberWriter;
    }
  | { readonly kind: 'binary'; readonly long: boolean; readonly bytes: 1 | WordBytes }
  | { readonly kind: 'sequence'; readonly long: true };

/** Size of what is turned round when the byte order changes [bytes]. */
export type WordBytes = 2 | 4 | 8;
type NumberReader = (view: DataView, at: number, littleEndian: boolean) => number | bigint;
type NumberWriter = (view: DataView, at: number, number: number | bigint, littleEndian: boolean) => void;

const text = (options: { long?: boolean; charset?: boolean; single?: boolean } = {}): VrRule => ({
  kind: 'text',
  long: false,
  charset: false,
  single: false,
  ...options,
});
const number = (bytes: WordBytes, read: NumberReader, write: NumberWriter, long = false): VrRule => ({
  kind: 'number',
  long,
  bytes,
  read,
  write,
});
const binary = (bytes: 1 | WordBytes, long = true): VrRule => ({ kind: 'binary', long, bytes });

const VRS = {
  AE: text(),
  AS: text(),
  AT: binary(2, false),
  CS: text(),
  DA: text(),
  DS: text(),
  DT: text(),
  FD: number(
    8,
    (view, at, little) => view.getFloat64(at, little),
    (view, at, number, little) => view.setFloat64(at, Number(number), little),
  ),
  FL: number(
    4,
    (view, at, little) => view.getFloat32(at, little),
    (view, at, number, little) => view.setFloat32(at, Number(number), little),
  ),
  IS: text(),
  LO: text({ charset: true }),
  LT: text({ charset: true, single: true }),
  OB: binary(1),
  OD: binary(8),
  OF: binary(4),
  OL: binary(4),
  OV: binary(8),
  OW: binary(2),
  PN: text({ charset: true }),
  SH: text({ charset: true }),
  SL: number(
    4,
    (view, at, little) => view.getInt32(at, little),
    (view, at, number, little) => view.setInt32(at, Number(number), little),
  ),
  SQ: { kind: 'sequence', long: true },
  SS: number(
    2,
    (view, at, little) => view.getInt16(at, little),
    (view, at, number, little) => view.setInt16(at, Number(number), little),
  ),
  ST: text({ charset: true, single: true }),
  SV: number(
    8,
    (view, at, little) => view.getBigInt64(at, little),
    (view, at, number, little) => view.setBigInt64(at, BigInt(number), little),
    true,
  ),
  TM: text(),
  UC: text({ long: true, charset: true }),
  UI: text(),
  UL: number(
    4,
    (view, at, little) => view.getUint32(at, little),
    (view, at, number, little) => view.setUint32(at, Number(number), little),
  ),
  UN: binary(1),
  UR: text({ long: true, single: true }),
  US: number(
    2,
    (view, at, little) => view.getUint16(at, little),
    (view, at, number, little) => view.setUint16(at, Number(number), little),
  ),
  UT: text({ long: true, charset: true, single: true }),
  UV: number(
    8,
    (view, at, little) => view.getBigUint64(at, little),
    (view, at, number, little) => view.setBigUint64(at, BigInt(number), little),
    true,
  ),
} as const satisfies Record<string, VrRule>;

export type Vr = keyof typeof VRS;

const NAMES: ReadonlyMap<number, Vr> = new Map(
  Object.keys(VRS)
    .filter(isVr)
    .map((vr) => [vrCode(vr.charCodeAt(0), vr.charCodeAt(1)), vr]),
);
const LETTER_FIRST = 0x41;
const LETTER_LAST = 0x5a;

function vrCode(first: number, second: number): number {
  return (first << 8) | second;
}

/** By the two bytes of its name: `unknown` for two capital letters that name none, `undefined` for what is no name of a VR. */
export function vrNamed(first: number, second: number): Vr | 'unknown' | undefined {
  const isLetter = (byte: number) => byte >= LETTER_FIRST && byte <= LETTER_LAST;
  return NAMES.get(vrCode(first, second)) ?? (isLetter(first) && isLetter(second) ? 'unknown' : undefined);
}

export function isVr(name: string): name is Vr {
  return Object.hasOwn(VRS, name);
}

export function vrRule(vr: Vr): VrRule {
  return VRS[vr];
}

/** The words of a VR that are turned round when the byte order changes; `undefined` where it has no byte order (PS3.5 7.3). */
export function wordBytes(vr: Vr): WordBytes | undefined {
  const rule = vrRule(vr);
  return (rule.kind === 'number' || rule.kind === 'binary') && rule.bytes !== 1 ? rule.bytes : undefined;
}
