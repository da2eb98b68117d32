/**
 * Asks a Python program of this folder one question: JSON in, JSON out. The programs use NumPy, scikit-learn, safetensors,
 * Flower, pydicom and highdicom as scripts/setup-peers installs them; where it was not run, tests are skipped and say so.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';

const FOLDER = path.resolve(import.meta.dirname, '../..', process.env['LANTERN_PEERS_DIR'] ?? '.lantern/peers');

/** For the options of `test`. A folder whose installation was interrupted is not skipped: its tests fail, as they should. */
export const peersMissing = existsSync(FOLDER) ? false : 'the peers are not installed: run scripts/setup-peers';

/** `T` is what the program is known to print; nothing checks it but the assertions on it. Throws when the program fails. */
export async function askPython<T>(program: string, question: unknown): Promise<T> {
  const child = spawn(path.join(FOLDER, 'bin/python'), [path.join(import.meta.dirname, program)], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // One thread: the sums are then in one order, and the machine is left to the other tests.
    env: { ...process.env, FLWR_TELEMETRY_ENABLED: '0', FLWR_DISABLE_UPDATE_CHECK: '1', OMP_NUM_THREADS: '1' },
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  child.stdin.on('error', () => {}); // It ended before it read all; its exit code and standard error say why.
  child.stdin.end(JSON.stringify(question));
  const [printed, complaint, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (exitCode !== 0) throw new Error(`${program} ended with ${exitCode}: ${complaint}`);
  return JSON.parse(printed);
}
