/** A thread that performs pixel work: keeps the works that are under way, and takes a step of one when it is asked to. */
import assert from 'node:assert/strict';
import { parentPort } from 'node:worker_threads';
import { DicomError } from '@lantern/dicom';
import { performed } from './pixel-work.ts';
import type { FromWorker, ToWorker } from './pixel-workers.ts';

assert.ok(parentPort !== null, 'This is the program of a worker thread.');
const port = parentPort;
const works = new Map<number, Generator<Uint8Array>>();

port.on('message', (message: ToWorker) => {
  const { id } = message;
  if (message.kind === 'begin') works.set(id, performed(message.job));
  else if (message.kind === 'end') {
    works.get(id)?.return(undefined);
    works.delete(id);
  } else step(id);
});

function step(id: number): void {
  try {
    const { done, value } = works.get(id)?.next() ?? { done: true, value: undefined };
    if (done !== true && value !== undefined) {
      const bytes = new Uint8Array(value); // of its own, so that it can be handed over without another copy
      send({ id, kind: 'block', bytes }, [bytes.buffer]);
      return;
    }
    send({ id, kind: 'done' });
  } catch (caught) {
    const code = caught instanceof DicomError ? caught.code : undefined;
    const message = caught instanceof Error ? caught.message : 'Pixel work failed.';
    send({ id, kind: 'failed', code, message });
  }
  works.delete(id);
}

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
