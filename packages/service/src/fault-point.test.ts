import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { armFaultPoint, faultPoint } from './fault-point.ts';

/** Crosses fault points in a process of its own and says after each that it is still alive. */
function crossed(spec: string | undefined): { output: string; signal: NodeJS.Signals | null; status: number | null } {
  const source = `
    import { armFaultPoint, faultPoint } from ${JSON.stringify(new URL('fault-point.ts', import.meta.url).href)};
    import { writeSync } from 'node:fs';
    process.on('exit', () => writeSync(1, 'exit handler'));
    armFaultPoint(${JSON.stringify(spec)});
    for (const name of ['hub.round.opened', 'hub.round.folded', 'hub.round.opened', 'hub.round.folded']) {
      faultPoint(name);
      writeSync(1, name + ' ');
    }`;
  const { stdout, signal, status } = spawnSync(process.execPath, ['--input-type=module', '--eval', source], {
    encoding: 'utf8',
  });
  return { output: stdout, signal, status };
}

test('an armed point kills the process at the asked crossing, without any clean-up', () => {
  const { output, signal } = crossed('hub.round.folded:2');
  assert.equal(output, 'hub.round.opened hub.round.folded hub.round.opened ');
  assert.equal(signal, 'SIGKILL');
});

test('without a count the first crossing kills', () => {
  assert.deepEqual(crossed('hub.round.folded'), { output: 'hub.round.opened ', signal: 'SIGKILL', status: null });
});

test('a point armed for the database kills that process at the asked crossing, and its own process goes on', () => {
  const source = `
    import { armFaultPoint, exposeDatabase, faultPoint } from ${JSON.stringify(new URL('fault-point.ts', import.meta.url).href)};
    import { spawn } from 'node:child_process';
    import { once } from 'node:events';
    import { writeSync } from 'node:fs';
    const other = spawn(process.execPath, ['--eval', 'setInterval(() => undefined, 1000)']);
    exposeDatabase(() => other.pid);
    armFaultPoint('database@hub.round.folded:2');
    faultPoint('hub.round.folded');
    writeSync(1, String(other.killed || other.signalCode) + ' ');
    const ended = once(other, 'exit');
    faultPoint('hub.round.folded');
    writeSync(1, (await ended)[1] + ' ');
    faultPoint('hub.round.folded');
    writeSync(1, 'still here');`;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '--eval', source], {
    encoding: 'utf8',
  });
  assert.deepEqual([stdout, status], ['null SIGKILL still here', 0]);
});

test('a process that is not armed passes every point', () => {
  const { output, status } = crossed(undefined);
  assert.equal(output, 'hub.round.opened hub.round.folded hub.round.opened hub.round.folded exit handler');
  assert.equal(status, 0);
});

test('a name nobody knows or a count that is none is refused', () => {
  for (const spec of [
    'hub.round.fold',
    'hub.round.folded:0',
    'hub.round.folded:x',
    'hub.round.folded:',
    '',
    ':1',
    'site@hub.round.folded',
    'database@',
  ]) {
    assert.throws(() => armFaultPoint(spec), { code: 'config.invalid', field: 'faultPoint' }, spec);
  }
  faultPoint('hub.round.folded');
});
