import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { memorySource } from '../byte-source.ts';
import { commentPatches, patchedSource } from './compressed-comments.ts';

const segment = (marker: number, content: Buffer) => {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(marker, 0);
  head.writeUInt16BE(content.byteLength + 2, 2);
  return Buffer.concat([head, content]);
};

function cleaned(stream: Buffer): Buffer {
  const source = memorySource(Buffer.concat([Buffer.from('before'), stream]));
  const patches = commentPatches(source, [{ start: 6, length: stream.byteLength }]);
  return patchedSource(source, patches).bytes(6, stream.byteLength);
}

describe('comments in compressed frames', () => {
  test('of JPEG become zero, with application data that no decoder needs, and nothing else changes', () => {
    const name = Buffer.from('Blenkinsop^Agnes');
    const jfif = segment(0xffe0, Buffer.from('JFIF\0\x01\x02\x00\x00\x01\x00\x01\x00\x00', 'latin1'));
    const adobe = segment(0xffee, Buffer.from('Adobe\0d\x00\x00\x00\x00\x00', 'latin1'));
    const table = segment(0xffdb, Buffer.alloc(65, 3));
    const scan = Buffer.concat([
      segment(0xffda, Buffer.from('010100', 'hex')),
      Buffer.from('fffe0012'),
      name,
      Buffer.from('ffd9', 'hex'),
    ]);
    const stream = (text: Buffer) =>
      Buffer.concat([
        Buffer.from('ffd8', 'hex'),
        jfif,
        segment(0xffe1, text),
        adobe,
        segment(0xfffe, text),
        table,
        scan,
      ]);
    assert.deepEqual(cleaned(stream(name)), stream(Buffer.alloc(name.byteLength)));
  });

  test('of JPEG 2000 become zero but for what says how to read them', () => {
    const name = Buffer.from('Blenkinsop^Agnes');
    const comment = (text: Buffer) => segment(0xff64, Buffer.concat([Buffer.from('0001', 'hex'), text]));
    const stream = (text: Buffer) =>
      Buffer.concat([
        Buffer.from('ff4f', 'hex'),
        segment(0xff51, Buffer.alloc(38, 1)),
        comment(text),
        segment(0xff90, Buffer.alloc(8, 2)),
        comment(name),
      ]);
    assert.deepEqual(cleaned(stream(name)), stream(Buffer.alloc(name.byteLength)));
  });

  test('are looked for within the fragment alone', () => {
    const source = memorySource(Buffer.from('ffd8fffe7fff41', 'hex'));
    assert.deepEqual(commentPatches(source, [{ start: 0, length: 7 }]), []);
  });

  test('read through any window of the patched source are the same', () => {
    const source = memorySource(Buffer.from('0123456789'));
    const patched = patchedSource(source, [
      { start: 2, bytes: Buffer.from('ab') },
      { start: 7, bytes: Buffer.from('c') },
    ]);
    for (let start = 0; start < 10; start += 1) {
      for (let length = 0; start + length <= 10; length += 1)
        assert.equal(patched.bytes(start, length).toString(), '01ab456c89'.slice(start, start + length));
    }
  });
});
