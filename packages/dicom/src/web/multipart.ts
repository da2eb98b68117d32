/**
 * Multipart bodies (RFC 2046 5.1, RFC 2387), read and written part by part: what DICOMweb stores and retrieves (PS3.18 8.6.1.2).
 *
 *   preamble ──delimiter──► head ──empty line──► body ──delimiter──► head ... ──closing delimiter──► epilogue
 *
 * Preamble and epilogue are dropped. Lines end with CRLF, or with LF alone where the first delimiter does. A part whose head breaks a
 * rule is told of and passed over, so that it does not spoil those behind it. Memory holds one chunk of the source and a delimiter.
 */
import { DicomError } from '../dicom-error.ts';

/** A head names a type, a location, an id: a few hundred bytes. */
const HEAD_BYTES_MAX = 16 * 1024;
/** A study of that many instances is sent in several requests. */
const PART_COUNT_MAX = 100_000;
/** Spaces that a gateway may leave between a delimiter and the end of its line. */
const PADDING_BYTES_MAX = 256;
/** RFC 2046 5.1.1. */
const BOUNDARY = /^[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]$/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*?)[ \t]*$/;

const [LF, CR] = [0x0a, 0x0d];

export type Part = {
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** Why the part cannot be taken. */
  readonly fault: DicomError | undefined;
  /** Views of memory that is not used again. To be read before the next part is asked for; what is left is dropped. */
  readonly body: AsyncIterable<Buffer>;
};

/**
 * The parts of `source`, whose chunks may be overwritten after they were taken.
 *
 * Throws `malformed` for a boundary that is none and a body without it, `limit` for too many parts, and what the source throws. A
 * source that ends early is `truncated`, thrown by the body of the part in which it ends, or here where it ends in a head.
 */
export async function* readMultipart(source: AsyncIterable<Uint8Array>, boundary: string): AsyncGenerator<Part> {
  if (!BOUNDARY.test(boundary)) throw new DicomError('malformed', 'The boundary of a multipart body is none.');
  const reader = new MultipartReader(source, boundary);
  try {
    yield* reader.parts();
  } finally {
    await reader.close();
  }
}

type Delimiter = { readonly end: number; readonly isLast: boolean; readonly endsWithCr: boolean };

class MultipartReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  /** Behind a line end. */
  readonly #dashBoundary: Buffer;
  readonly #needle: Buffer;
  /** What was read and not yet handed on. The body begins as if at the beginning of a line. */
  #held: Buffer = Buffer.from('\n');
  #isInBody = true;
  #part = 0;
  #isClosed = false;
  /** Of the delimiters. */
  #hasCr: boolean | undefined;

  constructor(source: AsyncIterable<Uint8Array>, boundary: string) {
    this.#chunks = source[Symbol.asyncIterator]();
    this.#dashBoundary = Buffer.from(`--${boundary}`, 'latin1');
    this.#needle = Buffer.from(`\n--${boundary}`, 'latin1');
  }

  async *parts(): AsyncGenerator<Part> {
    await this.#skipPreamble();
    while (!this.#isClosed) {
      this.#part += 1;
      if (this.#part > PART_COUNT_MAX) throw new DicomError('limit', `There are more than ${PART_COUNT_MAX} parts.`);
      this.#isInBody = true;
      const head = await this.#head();
      yield { ...head, body: this.#body(this.#part) };
      await this.#dropBody();
    }
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #skipPreamble(): Promise<void> {
    try {
      await this.#dropBody();
    } catch (caught) {
      if (!(caught instanceof DicomError) || caught.code !== 'truncated') throw caught;
      throw new DicomError('malformed', 'The boundary of the content type is nowhere in the body.');
    }
  }

  async #dropBody(): Promise<void> {
    if (!this.#isInBody) return;
    for await (const _ of this.#body(this.#part)) {
      // what nobody took
    }
  }

  /** Up to the next delimiter, which is taken as well. */
  async *#body(part: number): AsyncGenerator<Buffer> {
    let from = 0;
    while (this.#isInBody && part === this.#part) {
      const at = this.#held.indexOf(this.#needle, from);
      if (at < 0) {
        const keptBytes = this.#needle.byteLength; // a delimiter may have begun, and the CR before it
        const piece = this.#held.subarray(0, Math.max(0, this.#held.byteLength - keptBytes));
        this.#held = this.#held.subarray(piece.byteLength);
        from = 0;
        if (piece.byteLength > 0) yield piece;
        await this.#readMore();
        continue;
      }
      const delimiter = await this.#delimiterAt(at + this.#needle.byteLength);
      if (delimiter === undefined) {
        from = at + 1; // a line of the content that begins like it
        continue;
      }
      this.#hasCr ??= delimiter.endsWithCr;
      const end = this.#hasCr && this.#held[at - 1] === CR ? at - 1 : at;
      const piece = this.#held.subarray(0, end);
      this.#take(delimiter);
      if (piece.byteLength > 0) yield piece;
    }
  }

  /** What stands behind a boundary: the end of the line, or the two hyphens of the last; `undefined` where it is no delimiter. */
  async #delimiterAt(start: number): Promise<Delimiter | undefined> {
    for (let at = start; at - start <= PADDING_BYTES_MAX; at += 1) {
      while (at >= this.#held.byteLength) await this.#readMore();
      const byte = this.#held[at];
      if (byte === LF) return { end: at + 1, isLast: false, endsWithCr: this.#held[at - 1] === CR };
      if (byte === 0x2d && at === start) {
        while (at + 1 >= this.#held.byteLength) await this.#readMore();
        // No line end need follow.
        return this.#held[at + 1] === 0x2d ? { end: at + 2, isLast: true, endsWithCr: true } : undefined;
      }
      if (byte !== CR && byte !== 0x20 && byte !== 0x09) return undefined;
    }
    return undefined;
  }

  async #head(): Promise<Pick<Part, 'headers' | 'fault'>> {
    const lines: string[] = [];
    for (let bytes = 0; ; ) {
      const delimiter = await this.#delimiterHere();
      if (delimiter !== undefined) {
        this.#take(delimiter); // a part without a body: the end of the last line belongs to the delimiter
        return headOf(lines);
      }
      const line = await this.#line(HEAD_BYTES_MAX - bytes);
      if (line === undefined) {
        return {
          headers: new Map(),
          fault: new DicomError('limit', `The head of a part exceeds ${HEAD_BYTES_MAX} bytes.`),
        };
      }
      bytes += line.byteLength + 1;
      const text = line.toString('latin1').replace(/\r$/, '');
      if (text !== '') lines.push(text);
      else if ((await this.#delimiterHere()) === undefined) return headOf(lines);
    }
  }

  /** At the beginning of a line. */
  async #delimiterHere(): Promise<Delimiter | undefined> {
    const { byteLength } = this.#dashBoundary;
    while (this.#held.byteLength < byteLength) {
      if (!this.#held.equals(this.#dashBoundary.subarray(0, this.#held.byteLength))) return undefined;
      await this.#readMore();
    }
    if (!this.#held.subarray(0, byteLength).equals(this.#dashBoundary)) return undefined;
    return this.#delimiterAt(byteLength);
  }

  #take({ end, isLast }: Delimiter): void {
    this.#held = this.#held.subarray(end);
    this.#isInBody = false;
    this.#isClosed = isLast;
  }

  /** Without its LF; `undefined` where it is longer, and then nothing is taken. */
  async #line(bytesMax: number): Promise<Buffer | undefined> {
    for (let searched = 0; ; ) {
      const at = this.#held.indexOf(LF, searched);
      if (at > bytesMax || (at < 0 && this.#held.byteLength > bytesMax)) return undefined;
      if (at >= 0) {
        const line = this.#held.subarray(0, at);
        this.#held = this.#held.subarray(at + 1);
        return line;
      }
      searched = this.#held.byteLength;
      await this.#readMore();
    }
  }

  async #readMore(): Promise<void> {
    const { done, value } = await this.#chunks.next();
    if (done === true) throw new DicomError('truncated', 'The multipart body ends before its closing delimiter.');
    this.#held = Buffer.concat([this.#held, value]); // a copy: the source may use its memory again
  }
}

function headOf(lines: readonly string[]): Pick<Part, 'headers' | 'fault'> {
  const headers = new Map<string, string>();
  let last = '';
  for (const line of lines) {
    const [, name, value = ''] = HEADER_LINE.exec(line) ?? [];
    if (name !== undefined) {
      last = name.toLowerCase();
      headers.set(last, value);
    } else if (/^[ \t]/.test(line) && last !== '') {
      headers.set(last, `${headers.get(last)} ${line.trim()}`); // a line that is folded (RFC 5322 2.2.3)
    } else {
      return { headers, fault: new DicomError('malformed', 'The head of a part has a line that is no header.') };
    }
  }
  return { headers, fault: undefined };
}

export type WrittenPart = {
  readonly contentType: string;
  readonly location?: string;
  readonly body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
};

/** A multipart body; `boundary` must be of chance, so that it is in no part. */
export async function* writeMultipart(
  parts: AsyncIterable<WrittenPart> | Iterable<WrittenPart>,
  boundary: string,
): AsyncGenerator<Uint8Array> {
  let isFirst = true;
  for await (const { contentType, location, body } of parts) {
    const headers = [
      `Content-Type: ${contentType}`,
      ...(location === undefined ? [] : [`Content-Location: ${location}`]),
    ];
    yield Buffer.from(`${isFirst ? '' : '\r\n'}--${boundary}\r\n${headers.join('\r\n')}\r\n\r\n`, 'latin1');
    isFirst = false;
    yield* body;
  }
  yield Buffer.from(`${isFirst ? '' : '\r\n'}--${boundary}--\r\n`, 'latin1');
}
