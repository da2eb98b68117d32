/**
 * What one round costs beside the training itself: four sites, FLamby's fourteen parameters, one mini-batch of local work, so
 * that nothing but the engine is left. Real processes, real databases, every answer durable before it is acknowledged.
 *
 * Peers, when Python and their packages are there (scripts/setup-peers): Flower's own deployment (SuperLink, SuperNodes) and
 * NVFLARE's simulator, doing the same exchange of a fourteen-parameter model.
 *
 * Physical bound: two round trips on loopback and the fsyncs of one commit at the site and one at the hub, below 5 ms.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import type { Run } from '@lantern/contract';
import { buildGraphBundle } from '@lantern/runner';
import { runToEnd, withHeartFederation } from '../heart-federation.ts';
import { medianOf, report, summarise } from '../measurement.ts';

const ROUNDS = 200;
const WARM_UP_ROUNDS = 50; // the first rounds load code and database pages, and run before the compiler has seen what is hot
const OVERHEAD_MS_MAX = 50;
const PYTHON = path.resolve(import.meta.dirname, '../../.lantern/peers/bin/python');
const PEERS = ['flower', 'nvflare'] as const;

const bundle = buildGraphBundle({
  name: 'overhead',
  version: '1.0.0',
  description: 'Fourteen parameters',
  seed: 1,
  model: {
    featureCount: 13,
    layers: [{ kind: 'dense', units: 1, bias: true }],
    loss: 'sigmoid-cross-entropy',
    optimiser: { kind: 'sgd', momentum: 0 },
    batchSize: 16,
    proximal: false,
    control: false,
  },
});

/** From the opening of one training round to the opening of the next [ms]. */
function roundMs(run: Run): number[] {
  const opened = run.rounds
    .filter((round) => round.step === 'train' || round.step === 'evaluate')
    .map((round) => Date.parse(round.openedAt));
  return opened
    .slice(1)
    .map((at, index) => at - (opened[index] ?? at))
    .slice(WARM_UP_ROUNDS);
}

async function measureOurs(): Promise<number[]> {
  return withHeartFederation(new Map([['tiny', bundle]]), async (federation) => {
    const run = await runToEnd(federation, {
      algorithm: 'tiny',
      rounds: ROUNDS,
      standardisation: 'per-site',
      strategy: { kind: 'fedavg' },
      local: { learningRate: 0.01, work: { kind: 'steps', count: 1 } },
      seed: 1,
    });
    return roundMs(run);
  });
}

type Peer = { readonly name: string; readonly version: string; readonly roundMs: number[] };

async function measurePeer(name: (typeof PEERS)[number]): Promise<Peer | undefined> {
  const script = path.resolve(import.meta.dirname, `${name}_peer.py`);
  if (!existsSync(PYTHON)) {
    process.stderr.write(`${name} is left out: run scripts/setup-peers first\n`);
    return undefined;
  }
  const child = spawn(PYTHON, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const printed = await text(child.stdout);
  if ((await ended) !== 0) throw new Error(`${name}_peer.py failed`);
  const value: { version: string; roundSeconds: number[] } = JSON.parse(printed.trim().split('\n').at(-1) ?? '');
  return { name, version: value.version, roundMs: value.roundSeconds.map((seconds) => seconds * 1000) };
}

const ours = await measureOurs();
const target = { text: `at most ${OVERHEAD_MS_MAX} ms per round`, kept: medianOf(ours) <= OVERHEAD_MS_MAX };
const bound = { why: 'two loopback round trips and one fsync each at site and hub', value: 5 };
const head = { unit: 'ms', ...summarise(ours), bound, target };
const facts = { sites: 4, rounds: ROUNDS, parameters: 14 };
report({ name: 'round', ...head, facts });
for (const name of PEERS) {
  const peer = await measurePeer(name);
  if (peer === undefined) continue;
  const median = medianOf(peer.roundMs);
  report({
    name: `round beside ${name}`,
    ...head,
    peer: { name: `${name} ${peer.version}`, median, ratio: medianOf(ours) / median },
    facts,
  });
}
