/** For tests that plant random texts in a patient's data and search what left for them. */

/** Each way in which a text could stand in what leaves: UTF-8, UTF-16, hexadecimal, and these in base64 wherever they begin. */
export function encodings(token: string): Buffer[] {
  const forms = [token, token.toLowerCase()].flatMap((text) => {
    const utf8 = Buffer.from(text, 'utf8');
    const utf16 = Buffer.from(text, 'utf16le');
    return [utf8, utf16, Buffer.from(utf16).swap16(), Buffer.from(utf8.toString('hex'))];
  });
  // Signed documents travel as base64, which depends on where a text starts in them: drop what its neighbours change.
  const base64 = forms.flatMap((form) =>
    [0, 1, 2].map((shift) => {
      const encoded = Buffer.concat([Buffer.alloc(shift), form])
        .toString('base64')
        .replace(/=+$/, '');
      return Buffer.from(encoded.slice(shift === 0 ? 0 : 4, -2));
    }),
  );
  return [...forms, ...base64];
}
