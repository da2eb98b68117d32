/** ONNX Runtime sessions by digest of the model file, so that a round does not pay for loading the graph again. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { AppError, type GraphManifest } from '@lantern/contract';
import { checkGraph } from '@lantern/learning';
import { InferenceSession } from 'onnxruntime-node';
import { parameterBytes } from './tensor-file.ts';

/**
 * ONNX Runtime's arena keeps and rounds up what it allocates: half the time per step of a large model for twice its memory.
 * Above this size of the parameters memory is what runs out first.
 */
const ARENA_BYTES_MAX = 256 * 1024 ** 2;

const SESSION_COUNT_MAX = 8; // a site trains few models at a time; a graph without weights is small

export class SessionCache {
  readonly #sessions = new Map<string, InferenceSession>();
  readonly #threadCount: number;

  /** threadCount  threads inside one operator; one thread gives the same bytes on every run. */
  constructor(threadCount: number) {
    this.#threadCount = threadCount;
  }

  /** The session of a model file; `manifest` says how large the model is. Throws `bundle.invalid` when ONNX Runtime refuses it. */
  async open(modelFile: string, manifest: GraphManifest): Promise<InferenceSession> {
    const bytes = readFileSync(modelFile);
    const digest = createHash('sha256').update(bytes).digest('hex');
    const cached = this.#sessions.get(digest);
    this.#sessions.delete(digest);
    const session = cached ?? (await this.#create(bytes, parameterBytes(manifest) <= ARENA_BYTES_MAX));
    this.#sessions.set(digest, session); // the newest last, so the first is the one unused for longest
    await this.#evict();
    return session;
  }

  async #create(bytes: Uint8Array, arena: boolean): Promise<InferenceSession> {
    checkGraph(bytes); // the bundle was checked when it came in; ONNX Runtime's parser is still fed nothing unchecked
    try {
      return await InferenceSession.create(bytes, {
        executionProviders: ['cpu'],
        intraOpNumThreads: this.#threadCount,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        enableCpuMemArena: arena,
        enableMemPattern: arena,
        logSeverityLevel: 3, // errors only
      });
    } catch (cause) {
      throw new AppError('bundle.invalid', 'ONNX Runtime refuses the graph.', { cause });
    }
  }

  async #evict(): Promise<void> {
    const [oldest] = this.#sessions;
    if (this.#sessions.size <= SESSION_COUNT_MAX || oldest === undefined) return;
    this.#sessions.delete(oldest[0]);
    await oldest[1].release();
  }
}
