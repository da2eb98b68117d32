/**
 * What a log may hold of an error: its name, code and stack frames, and the message only when it is ours.
 *
 * Messages of foreign errors quote what they choked on (`JSON.parse` quotes the text, PostgreSQL the key), which may be a
 * patient's. Ours name field and rule only.
 */
import { AppError } from '@lantern/contract';

const CAUSE_DEPTH_MAX = 5; // wrapped errors rarely nest deeper; bounds a cycle

export type FaultDescription = {
  readonly name: string;
  readonly code?: string;
  readonly message?: string;
  readonly frames: readonly string[];
  readonly cause?: FaultDescription;
};

export function describeFault(fault: unknown, depth = 0): FaultDescription {
  if (!(fault instanceof Error)) return { name: typeof fault, frames: [] };
  const code = 'code' in fault && typeof fault.code === 'string' ? { code: fault.code } : {};
  const message = fault instanceof AppError ? { message: fault.message } : {};
  const frames = (fault.stack ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '));
  const nested = fault.cause === undefined || depth >= CAUSE_DEPTH_MAX;
  const cause = nested ? {} : { cause: describeFault(fault.cause, depth + 1) };
  return { name: fault.name, ...code, ...message, frames, ...cause };
}
