/**
 * Messages in a file, as exports and test sets have them: one after another, with or without MLLP's framing, with or without the
 * headers of a batch (FHS, BHS, BTS, FTS; 2.10.3), lines ended by CR, LF or both. Each comes out with CR, as it goes on the wire.
 */
import { linesOf } from './message.ts';

const BATCH = /^(?:FHS|BHS|BTS|FTS)/;
const HEADER = /(?:^|[\r\n])MSH(.)/;
/** As Latin-1 has it. */
const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf';

/** The messages of a file; lines before the first that belong to no batch are counted as strays, blank ones not. */
export function splitMessages(content: Uint8Array): { messages: readonly Buffer[]; strayCount: number } {
  // Latin-1 has a sign for every byte, so that bytes come out as they went in.
  const all = Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('latin1');
  const unmarked = all.startsWith(BYTE_ORDER_MARK) ? all.slice(BYTE_ORDER_MARK.length) : all;
  const text = unmarked.replaceAll('\u000b', '\r').replaceAll('\u001c', '\r');
  const separator = HEADER.exec(text)?.[1];
  if (separator === undefined) return { messages: [], strayCount: text.trim() === '' ? 0 : 1 };
  const messages: string[][] = [];
  let strayCount = 0;
  for (const line of linesOf(text, separator)) {
    if (line.trim() === '' || BATCH.test(line)) continue;
    if (line.startsWith('MSH')) messages.push([line]);
    else if (messages.length === 0) strayCount += 1;
    else messages.at(-1)?.push(line);
  }
  return { messages: messages.map((lines) => Buffer.from(`${lines.join('\r')}\r`, 'latin1')), strayCount };
}
