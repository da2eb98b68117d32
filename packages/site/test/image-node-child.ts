/** An image node that a test kills, and the chance by which it does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

export type NodeChild = {
  readonly url: string;
  readonly dicomPort: number;
  /** As `kill -9`; resolves when it is gone. May be called twice. */
  kill(): Promise<void>;
};

/** Resolves when it is ready. Throws when it ends before; what it says of that is on standard error. */
export async function startNodeChild(settings: object): Promise<NodeChild> {
  const program = path.join(import.meta.dirname, 'image-node-process.ts');
  const child = spawn(process.execPath, [program, JSON.stringify(settings)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const line = once(createInterface({ input: child.stdout }), 'line');
  const [ready] = await Promise.race([line, closed.then(() => Promise.reject(new Error('The node did not start.')))]);
  const { url, dicomPort }: { url: string; dicomPort: number } = JSON.parse(ready);
  return {
    url,
    dicomPort,
    async kill() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}

export type Chance = {
  /** Printed by a test that fails; LANTERN_SEED sets it. */
  readonly seed: number;
  /** In [0, 1). */
  uniform(): number;
};

export function chance(): Chance {
  const seed = Number(process.env['LANTERN_SEED'] ?? Date.now() % 1_000_000);
  let state = seed;
  return {
    seed,
    uniform() {
      state = (state * 48_271) % 2_147_483_647; // Park and Miller 1988
      return state / 2_147_483_647;
    },
  };
}
