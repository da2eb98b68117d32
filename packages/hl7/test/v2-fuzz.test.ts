/** What a broken or hostile sender may send: framing, parsing and mapping neither crash nor stall, and a frame comes out as it went in. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Hl7Error } from '../src/hl7-error.ts';
import { encodeAcknowledgement, salvageHeader } from '../src/v2/acknowledgement.ts';
import { readHeader } from '../src/v2/header.ts';
import { mapMessage } from '../src/v2/mapping/message-mapping.ts';
import { parseMessage } from '../src/v2/message.ts';
import { splitMessages } from '../src/v2/message-file.ts';
import { encodeFrame, FrameDecoder, type FrameEvent } from '../src/v2/mllp-frames.ts';
import { type Chance, fuzz, mutated } from './fuzzing.ts';

const FOLDER = path.resolve(import.meta.dirname, '../../../fixtures/hl7v2');
const SAMPLES = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.hl7'))
  .flatMap((file) => splitMessages(readFileSync(path.join(FOLDER, file))).messages);
const OPTIONS = { timeZone: 'Z', identifierSystem: 'urn:fuzz' };
const BYTES_MAX = 20_000;

function sample(chance: Chance): Buffer {
  return SAMPLES[chance(SAMPLES.length)] ?? Buffer.alloc(0);
}

function decoded(bytes: Buffer, chance: Chance): FrameEvent[] {
  const decoder = new FrameDecoder(BYTES_MAX);
  const events: FrameEvent[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const size = 1 + chance(chance(3) === 0 ? 5 : 4000);
    events.push(...decoder.push(bytes.subarray(at, at + size)));
    at += size;
  }
  return [...events, ...decoder.end()];
}

describe('what a broken sender sends', () => {
  it('comes out of any cutting of a stream as the frames that went in, and never a part of one', async (t) => {
    await fuzz(t, (chance) => {
      const contents = Array.from({ length: 1 + chance(4) }, () => sample(chance).subarray(0, chance(3000)));
      const stream = Buffer.concat(contents.map(encodeFrame));
      const whole = decoded(stream, chance);
      assert.deepEqual(
        whole.map(({ kind, content }) => [kind, content.toString('hex')]),
        contents.map((one) => ['frame', one.toString('hex')]),
      );
      for (const event of decoded(mutated(stream, chance), chance)) {
        assert.ok(event.content.byteLength <= BYTES_MAX);
        if (event.kind === 'frame') assert.ok(!event.content.includes(0x1c) && !event.content.includes(0x0b));
      }
    });
  });

  it('is read, refused by a code, and answered if it says whose it is', async (t) => {
    await fuzz(t, (chance) => {
      const bytes = mutated(sample(chance), chance);
      const header = salvageHeader(bytes);
      if (header !== undefined) {
        const options = { at: new Date(0), controlId: '1' };
        const answer = encodeAcknowledgement(header, { verdict: { kind: 'accepted' }, code: 'AA' }, options);
        assert.equal(readHeader(parseMessage(answer)).messageCode, 'ACK');
      }
      parseOr(bytes);
    });
  });

  it('is mapped to a bundle whose references all lead somewhere, or refused by a code', async (t) => {
    await fuzz(t, (chance) => {
      const message = parseOr(mutated(sample(chance), chance));
      if (message === undefined) return;
      const mapped = mapOr(message);
      const entries = mapped?.bundle?.entry ?? [];
      const urls = new Set(entries.map(({ fullUrl }) => fullUrl));
      assert.equal(urls.size, entries.length);
      for (const [, url = ''] of JSON.stringify(entries).matchAll(/"reference":"([^"]*)"/g))
        assert.ok(urls.has(url), url);
    });
  });
});

function parseOr(bytes: Buffer) {
  return refusable(() => parseMessage(bytes));
}

function mapOr(message: ReturnType<typeof parseMessage>) {
  return refusable(() => mapMessage(message, OPTIONS));
}

function refusable<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (caught) {
    if (caught instanceof Hl7Error) return undefined;
    throw caught;
  }
}
