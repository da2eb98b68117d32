/**
 * One site of the exchange bench, in a process of its own: it enrols, then answers every training task through the site's own
 * transfer code (resumable, signed, digest-checked, durable on both sides).
 *
 * No training, so that only the exchange is measured: the updates of all rounds are written before the first one begins, in
 * answer to `prepare`, and each differs from the others in its first number, so that no upload is spared because the hub
 * has the bytes already.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { BlobRef, GraphManifest, RoundTask } from '@lantern/contract';
import { openBlobStore } from '@lantern/service';
import { parameterFile, preparedBody, updateBody } from '../../packages/hub/test/learning-site.ts';
import { personAt } from '../../packages/hub/test/running-hub.ts';
import { joinSite } from '../../packages/hub/test/scripted-site.ts';
import { schemaOf } from '../../packages/hub/test/study.ts';
import { createOutbound } from '../../packages/site/src/hub-link/outbound.ts';
import { downloadBlob, uploadBlob } from '../../packages/site/src/hub-link/transfer.ts';

const [url = '', token = '', name = '', roundsText = '0'] = process.argv.slice(2);
const dir = await mkdtemp(path.join(os.tmpdir(), 'lantern-exchange-'));
const store = await openBlobStore({ dir });
const site = await joinSite({ url, admin: personAt(url, token) }, name);
const outbound = createOutbound(site.http);
const signal = new AbortController().signal;
await site.offer(schemaOf());

const updates: BlobRef[] = [];

async function writeUpdates(manifest: GraphManifest): Promise<void> {
  const salt = name.charCodeAt(name.length - 1);
  const bytes = parameterFile(manifest, (_, index) => ((index * salt) % 1009) / 1e6 - 5e-4);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let round = 0; round < Number(roundsText); round += 1) {
    view.setFloat32(bytes.byteLength - 4, (salt + round) / 1e6, true); // the last number of the last tensor
    updates.push(await store.put(bytes));
  }
}

async function perform(task: RoundTask) {
  const { step, manifest } = task;
  if (step.kind === 'prepare' && manifest.kind === 'graph') {
    await writeUpdates(manifest);
    return preparedBody(100);
  }
  if (step.kind !== 'train') return undefined;
  await downloadBlob(outbound, store, { ...step.weights, signal });
  await store.remove(step.weights.digest);
  const delta = updates.shift();
  if (delta === undefined) throw new Error('more rounds than updates were written for');
  await uploadBlob(outbound, store, { ...delta, signal });
  await store.remove(delta.digest);
  return updateBody({ rowCount: 100, delta });
}

const stop = site.serve(perform);

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
