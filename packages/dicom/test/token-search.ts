/** Looks for a token in bytes as anybody might: in each usual encoding, in any case, in the object's own character set. */
import type { Planted } from './planted-objects.ts';

/** Ways in which the token is found; empty for none. */
export function waysFound(bytes: Buffer, { text, bytes: native }: Planted): string[] {
  const folded = bytes.toString('latin1').toLowerCase();
  const exact = bytes.toString('latin1');
  const inAnyCase: readonly (readonly [string, Buffer])[] = [
    ['own character set', native],
    ['UTF-8', Buffer.from(text, 'utf8')],
    ['UTF-16 LE', Buffer.from(text, 'utf16le')],
    ['UTF-16 BE', swapped(Buffer.from(text, 'utf16le'))],
    ['hex', Buffer.from(native.toString('hex'))],
    ['reversed', Buffer.from(native).reverse()],
  ];
  const found = inAnyCase
    .filter(([, form]) => folded.includes(form.toString('latin1').toLowerCase()))
    .map(([name]) => name);
  return base64Forms(native).some((form) => exact.includes(form)) ? [...found, 'base64'] : found;
}

function swapped(bytes: Buffer): Buffer {
  return Buffer.from(bytes).swap16();
}

/** The part that does not depend on what stands before and after, for each of three beginnings. */
function base64Forms(bytes: Buffer): string[] {
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const start = Math.ceil((before * 8) / 6);
    return encoded.slice(start, Math.floor(((before + bytes.length) * 8) / 6));
  });
}
