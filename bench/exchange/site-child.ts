/**
 * One site of the exchange bench, in a process of its own: it enrols, then answers every training task by sending back what it
 * got with one number changed, through the site's own transfer code (resumable, signed, digest-checked, durable on both sides).
 * No training, so that only the exchange is measured.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { BlobRef } from '@lantern/contract';
import { type BlobStore, openBlobStore } from '@lantern/service';
import { preparedBody, updateBody } from '../../packages/hub/test/learning-site.ts';
import { personAt } from '../../packages/hub/test/running-hub.ts';
import { joinSite } from '../../packages/hub/test/scripted-site.ts';
import { schemaOf } from '../../packages/hub/test/study.ts';
import { createOutbound } from '../../packages/site/src/hub-link/outbound.ts';
import { downloadBlob, uploadBlob } from '../../packages/site/src/hub-link/transfer.ts';

const [url = '', token = '', name = ''] = process.argv.slice(2);
const dir = await mkdtemp(path.join(os.tmpdir(), 'lantern-exchange-'));
const store = await openBlobStore({ dir });
const site = await joinSite({ url, admin: personAt(url, token) }, name);
const outbound = createOutbound(site.http);
const signal = new AbortController().signal;
await site.offer(schemaOf());

/** The last byte of the file is part of the last float's exponent or sign; flipping its lowest bit keeps it finite and small. */
async function changed(ref: BlobRef, into: BlobStore): Promise<BlobRef> {
  const writer = await into.createWriter();
  const salt = name.charCodeAt(name.length - 1) & 0x7f;
  let position = 0;
  for await (const part of into.read(ref.digest)) {
    const bytes = Buffer.from(part);
    position += bytes.length;
    if (position === ref.sizeBytes) bytes[bytes.length - 4] = salt;
    await writer.write(bytes);
  }
  return writer.finish();
}

const stop = site.serve(async (task) => {
  const { step } = task;
  if (step.kind === 'prepare') return preparedBody(100);
  if (step.kind !== 'train') return undefined;
  await downloadBlob(outbound, store, { ...step.weights, signal });
  const delta = await changed(step.weights, store);
  await uploadBlob(outbound, store, { ...delta, signal });
  await store.remove(step.weights.digest);
  await store.remove(delta.digest);
  return updateBody({ rowCount: 100, delta });
});

process.send?.({ siteId: site.siteId });
process.on('message', (message) => {
  if (typeof message === 'object' && message !== null && 'project' in message) {
    void site
      .decide(message.project as Parameters<typeof site.decide>[0], 'approved', 1)
      .then(() => process.send?.({ decided: true }));
  }
});
process.once('disconnect', () => {
  void stop()
    .then(() => rm(dir, { recursive: true, force: true }))
    .then(() => process.exit(0));
});
