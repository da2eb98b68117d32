/**
 * Named instants at which a test lets the process die as by `kill -9`, to show that a restart loses nothing and repeats
 * nothing. Not armed, a fault point costs one comparison. The names are the table in the contract, so that a test can
 * assert that every one was crossed.
 */
import { AppError, FAULT_POINTS, type FaultPoint } from '@lantern/contract';

let armed: { readonly name: FaultPoint; crossingsLeft: number } | undefined;

function isFaultPoint(name: string): name is FaultPoint {
  return FAULT_POINTS.some((known) => known === name);
}

/**
 * Arms one fault point. `spec` is "hub.round.folded" or "hub.round.folded:2" (dies the second time it is reached);
 * `undefined` disarms. Throws `config.invalid` for an unknown name or a count that is no positive whole number.
 */
export function armFaultPoint(spec: string | undefined): void {
  if (spec === undefined) {
    armed = undefined;
    return;
  }
  const match = /^([a-z.-]+)(?::([1-9]\d{0,5}))?$/.exec(spec);
  const name = match?.[1];
  if (name === undefined || !isFaultPoint(name)) {
    throw new AppError('config.invalid', 'faultPoint: must be the name of a known fault point, then ":" and a count.', {
      field: 'faultPoint',
    });
  }
  armed = { name, crossingsLeft: Number(match?.[2] ?? '1') };
}

/** Marks an instant. Kills this process without any clean-up when the armed count is reached. */
export function faultPoint(name: FaultPoint): void {
  if (armed === undefined || armed.name !== name) return;
  armed.crossingsLeft -= 1;
  if (armed.crossingsLeft > 0) return;
  process.kill(process.pid, 'SIGKILL');
  // The signal is delivered between two instructions of ours; nothing after this line may run.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
