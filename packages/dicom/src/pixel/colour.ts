/** Luminance and chrominance as red, green and blue, in eight bits (PS3.3 C.7.6.3.1.2). */

function clamped(value: number): number {
  return Math.min(Math.max(Math.round(value), 0), 255);
}

/** C.7.6.3.1.2, YBR_FULL, solved for RGB. `bytes`: [pixels, 3]. */
export function rgbOfYbr(bytes: Buffer): Buffer {
  const rgb = Buffer.alloc(bytes.byteLength);
  for (let at = 0; at + 2 < bytes.byteLength; at += 3) {
    const [y, b, r] = [bytes[at] ?? 0, (bytes[at + 1] ?? 0) - 128, (bytes[at + 2] ?? 0) - 128];
    rgb[at] = clamped(y + 1.402 * r);
    rgb[at + 1] = clamped(y - 0.344136 * b - 0.714136 * r);
    rgb[at + 2] = clamped(y + 1.772 * b);
  }
  return rgb;
}

/** The same with black at 16, white at 235, and chrominance from 16 to 240. */
export function rgbOfPartialYbr(bytes: Buffer): Buffer {
  const full = Buffer.alloc(bytes.byteLength);
  for (let at = 0; at + 2 < bytes.byteLength; at += 3) {
    full[at] = clamped((((bytes[at] ?? 0) - 16) * 255) / 219);
    for (const sample of [1, 2]) full[at + sample] = clamped((((bytes[at + sample] ?? 0) - 128) * 255) / 224 + 128);
  }
  return rgbOfYbr(full);
}
