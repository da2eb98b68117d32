/** Tags as unsigned 32-bit numbers, 0xGGGGEEEE (PS3.5 7.1). */

export type Tag = number;

/** "00100010": the spelling of DICOM JSON (PS3.18 F.2.2). */
export function tagHex(tag: Tag): string {
  return tag.toString(16).toUpperCase().padStart(8, '0');
}

/** "(0010,0010)": the spelling people read. */
export function tagText(tag: Tag): string {
  const hex = tagHex(tag);
  return `(${hex.slice(0, 4)},${hex.slice(4)})`;
}

export function isPrivate(tag: Tag): boolean {
  return ((tag >>> 16) & 1) === 1;
}

/** An element that reserves a block of private elements for its maker: (odd,0010) to (odd,00FF), PS3.5 7.8.1. */
export function isPrivateCreator(tag: Tag): boolean {
  const element = tag & 0xffff;
  return isPrivate(tag) && element >= 0x10 && element <= 0xff;
}

export const TAGS = {
  transferSyntaxUid: 0x00020010,
  specificCharacterSet: 0x00080005,
  bitsAllocated: 0x00280100,
  pixelRepresentation: 0x00280103,
  pixelData: 0x7fe00010,
  item: 0xfffee000,
  itemDelimitation: 0xfffee00d,
  sequenceDelimitation: 0xfffee0dd,
} as const;
