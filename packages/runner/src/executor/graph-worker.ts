/**
 * The worker process of the graph executor: runs ONNX graphs that strangers wrote, away from the site's own process, with
 * an environment that says nothing but to send nothing. One call at a time, files in, files out. Ends when its parent does.
 */
import { writeFileSync } from 'node:fs';
import { AppError, toAppError } from '@lantern/contract';
import { SessionCache } from './graph-session.ts';
import { assertTwoClasses, readFeatures, readLabelledRows } from './labelled-rows.ts';
import { trainLocally } from './local-training.ts';
import type { WorkerCall } from './messages.ts';
import { predictRows } from './prediction.ts';

const CAUSE_LENGTH_MAX = 500; // for the log; ONNX Runtime can quote a whole graph

preferAsVictim();

const sessions = new SessionCache(Number(process.argv[2] ?? '1'));

/** When the machine runs out of memory, Linux shall end this process and not the site's or the database's. */
function preferAsVictim(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // Not Linux: there the system chooses by itself.
  }
}

async function perform(call: WorkerCall): Promise<Record<string, unknown>> {
  if (call.kind === 'train') {
    const rows = readLabelledRows(call.rowsFile, call.manifest.model);
    if (!call.oneClassAllowed) assertTwoClasses(rows.y);
    const session = await sessions.open(call.trainModelFile, call.manifest);
    return { kind: 'trained', ...(await trainLocally(session, call, rows)) };
  }
  const { featureCount } = call.manifest.model;
  const x = 'file' in call.rows ? readFeatures(call.rows.file, featureCount).x : call.rows.x;
  const session = await sessions.open(call.predictModelFile, call.manifest);
  return { kind: 'predicted', probabilities: await predictRows(session, { ...call, x }) };
}

/** What the operating system or ONNX Runtime threw, as one of our codes. */
function asAppError(caught: unknown): AppError {
  if (!(caught instanceof Error) || caught instanceof AppError) return toAppError(caught);
  const code = 'code' in caught ? caught.code : undefined;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new AppError('storage.full', 'The disk is full; the update could not be written.', { cause: caught });
  }
  if (code === 'ERR_OUT_OF_RANGE' || /alloc|memory/i.test(caught.message)) {
    return new AppError('executor.failed', 'There is not enough memory for this model.', { cause: caught });
  }
  if (typeof code === 'string') return toAppError(caught);
  return new AppError('bundle.invalid', 'ONNX Runtime cannot run the graph on these inputs.', { cause: caught });
}

function failure(caught: unknown): Record<string, unknown> {
  const { code, message, cause } = asAppError(caught);
  const text = cause instanceof Error ? cause.message.slice(0, CAUSE_LENGTH_MAX) : undefined;
  return { kind: 'failed', code, message, ...(text === undefined ? {} : { cause: text }) };
}

async function answer(call: WorkerCall): Promise<void> {
  const result = await perform(call).catch(failure);
  process.send?.({ callId: call.callId, ...result });
}

// The parent is our own code and sends `WorkerCall` only.
process.on('message', (call: WorkerCall) => void answer(call));
process.once('disconnect', () => process.exit(0));
