/**
 * Value representations (PS3.5 6.2): how a value is written, and whether its length takes two bytes or four in explicit VR
 * (PS3.5 7.1.2).
 */

/** `text` holds characters, split at backslashes unless `single`; `charset`: in the character set of the data set. */
type VrRule =
  | { readonly kind: 'text'; readonly long: boolean; readonly charset: boolean; readonly single: boolean }
  | { readonly kind: 'number'; readonly long: boolean; readonly bytes: 2 | 4 | 8; readonly read: NumberReader }
  | { readonly kind: 'binary'; readonly long: boolean }
  | { readonly kind: 'sequence'; readonly long: true };

type NumberReader = (view: DataView, at: number, littleEndian: boolean) => number | bigint;

const text = (options: { long?: boolean; charset?: boolean; single?: boolean } = {}): VrRule => ({
  kind: 'text',
  long: false,
  charset: false,
  single: false,
  ...options,
});
const number = (bytes: 2 | 4 | 8, read: NumberReader, long = false): VrRule => ({ kind: 'number', long, bytes, read });
const binary = (long: boolean): VrRule => ({ kind: 'binary', long });

const VRS = {
  AE: text(),
  AS: text(),
  AT: binary(false),
  CS: text(),
  DA: text(),
  DS: text(),
  DT: text(),
  FD: number(8, (view, at, little) => view.getFloat64(at, little)),
  FL: number(4, (view, at, little) => view.getFloat32(at, little)),
  IS: text(),
  LO: text({ charset: true }),
  LT: text({ charset: true, single: true }),
  OB: binary(true),
  OD: binary(true),
  OF: binary(true),
  OL: binary(true),
  OV: binary(true),
  OW: binary(true),
  PN: text({ charset: true }),
  SH: text({ charset: true }),
  SL: number(4, (view, at, little) => view.getInt32(at, little)),
  SQ: { kind: 'sequence', long: true },
  SS: number(2, (view, at, little) => view.getInt16(at, little)),
  ST: text({ charset: true, single: true }),
  SV: number(8, (view, at, little) => view.getBigInt64(at, little), true),
  TM: text(),
  UC: text({ long: true, charset: true }),
  UI: text(),
  UL: number(4, (view, at, little) => view.getUint32(at, little)),
  UN: binary(true),
  UR: text({ long: true, single: true }),
  US: number(2, (view, at, little) => view.getUint16(at, little)),
  UT: text({ long: true, charset: true, single: true }),
  UV: number(8, (view, at, little) => view.getBigUint64(at, little), true),
} as const satisfies Record<string, VrRule>;

export type Vr = keyof typeof VRS;

export function isVr(name: string): name is Vr {
  return Object.hasOwn(VRS, name);
}

export function vrRule(vr: Vr): VrRule {
  return VRS[vr];
}
