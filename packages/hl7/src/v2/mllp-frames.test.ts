import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeFrame, FrameDecoder, type FrameEvent } from './mllp-frames.ts';

const BYTES_MAX = 100;

function said(events: readonly FrameEvent[]): string[] {
  return events.map((event) => `${event.kind === 'frame' ? 'frame' : event.rule}: ${event.content.toString()}`);
}

/** What comes out, however the stream is cut into pieces. */
function decoded(stream: string): string[] {
  const bytes = Buffer.from(stream, 'latin1');
  const results = [1, 2, 3, 7, bytes.byteLength].map((size) => {
    const decoder = new FrameDecoder(BYTES_MAX);
    const events: FrameEvent[] = [];
    for (let at = 0; at < bytes.byteLength; at += size) events.push(...decoder.push(bytes.subarray(at, at + size)));
    events.push(...decoder.end());
    return said(events);
  });
  for (const result of results) assert.deepEqual(result, results[0]);
  return results[0] ?? [];
}

describe('frames of MLLP', () => {
  it('come whole out of a stream that is cut anywhere, also joined', () => {
    assert.deepEqual(decoded('\x0bone\x1c\r\x0btwo\rmore\x1c\r'), ['frame: one', 'frame: two\rmore']);
  });

  it('are found between what belongs to none', () => {
    const decoder = new FrameDecoder(BYTES_MAX);
    const events = decoder.push(Buffer.from('GET /\r\n\x0bone\x1c\r\r\n junk\x0btwo\x1c\r'));
    assert.deepEqual(said(events), ['frame: one', 'frame: two']);
    assert.equal(decoder.strayCount, 8);
  });

  it('are broken where another begins inside, and the other is whole', () => {
    assert.deepEqual(decoded('\x0bMSH|cut\x0bwhole\x1c\r'), ['end block missing: MSH|cut', 'frame: whole']);
  });

  it('are never handed on cut: what follows an end block other than its carriage return breaks them', () => {
    assert.deepEqual(decoded('\x0bfirst\x1chalf\x1c\r\x0bnext\x1c\r'), ['end block inside: first', 'frame: next']);
  });

  it('may lack the carriage return before the next, or at the end', () => {
    assert.deepEqual(decoded('\x0bone\x1c\x0btwo\x1c'), ['frame: one', 'frame: two']);
  });

  it('of which the end never comes are told as broken when the stream ends', () => {
    assert.deepEqual(decoded('\x0bhalf a mess'), ['end block missing: half a mess']);
  });

  it('of which the length passes the limit are given up at once, and the next is found', () => {
    const decoder = new FrameDecoder(10);
    const events = decoder.push(Buffer.from('\x0b01234567890'));
    assert.deepEqual(said(events), ['too long: 01234567890']);
    assert.deepEqual(said(decoder.push(Buffer.from('123\x1c\r\x0b0123456789\x1c\r'))), ['frame: 0123456789']);
  });

  it('are decoded as they were encoded', () => {
    const decoder = new FrameDecoder(BYTES_MAX);
    assert.deepEqual(said(decoder.push(encodeFrame(Buffer.from('MSH|x\r')))), ['frame: MSH|x\r']);
  });
});
