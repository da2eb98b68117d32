/**
 * Named instants at which a test lets the process die as by `kill -9`, or the database under it, to show that a restart loses
 * nothing and repeats nothing. Not armed, a fault point costs one comparison. The names are the table in the contract, so that a
 * test can assert that every one was crossed.
 */
import { AppError, FAULT_POINTS, type FaultPoint } from '@lantern/contract';

let armed: { readonly name: FaultPoint; readonly victim: 'process' | 'database'; crossingsLeft: number } | undefined;
let databasePid: () => number | undefined = () => undefined;

function isFaultPoint(name: string): name is FaultPoint {
  return FAULT_POINTS.some((known) => known === name);
}

/**
 * Arms one fault point. `spec` is "hub.round.folded", "hub.round.folded:2" (dies the second time it is reached) or
 * "database@hub.round.folded:2" (the embedded database dies there, and the process goes on); `undefined` disarms.
 * Throws `config.invalid` for an unknown name or a count that is no positive whole number.
 */
export function armFaultPoint(spec: string | undefined): void {
  if (spec === undefined) {
    armed = undefined;
    return;
  }
  const match = /^(database@)?([a-z.-]+)(?::([1-9]\d{0,5}))?$/.exec(spec);
  const name = match?.[2];
  if (name === undefined || !isFaultPoint(name)) {
    throw new AppError('config.invalid', 'faultPoint: must be the name of a known fault point, then ":" and a count.', {
      field: 'faultPoint',
    });
  }
  const victim = match?.[1] === undefined ? 'process' : 'database';
  armed = { name, victim, crossingsLeft: Number(match?.[3] ?? '1') };
}

/** Says which database a fault point of this process may kill: process id of the embedded server, while it runs. */
export function exposeDatabase(pid: () => number | undefined): void {
  databasePid = pid;
}

/** Marks an instant. When the armed count is reached, kills this process, or its database, without any clean-up. */
export function faultPoint(name: FaultPoint): void {
  if (armed === undefined || armed.name !== name) return;
  armed.crossingsLeft -= 1;
  if (armed.crossingsLeft > 0) return;
  if (armed.victim === 'database') {
    const pid = databasePid();
    if (pid === undefined) return; // being started again already: the next crossing finds it
    armed = undefined;
    process.kill(pid, 'SIGKILL');
    return;
  }
  process.kill(process.pid, 'SIGKILL');
  // The signal is delivered between two instructions of ours; nothing after this line may run.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
