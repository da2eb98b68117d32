/** Puts random blobs into the store in the folder given as first argument, and prints each digest when it is acknowledged. */
import { randomBytes } from 'node:crypto';
import { openBlobStore } from './blob-store.ts';

const store = await openBlobStore({ dir: process.argv[2] ?? '' });
for (;;) {
  const { digest } = await store.put(randomBytes(20_000));
  process.stdout.write(`${digest}\n`);
}
