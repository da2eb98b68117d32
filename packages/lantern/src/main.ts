#!/usr/bin/env node
/** Entry point of the command line. Reads the environment once; turns every failure into a message and an exit code. */
import { EXIT } from './cli/exit-codes.ts';

// Most of these threads wait for the disk, each for one file to be synced. With the four that Node.js makes, four slow syncs hold up
// whatever else is to be read or written. Set before the rest is loaded, some of which makes the threads.
process.env['UV_THREADPOOL_SIZE'] ??= '16';
const { runProgram } = await import('./cli/program.ts');

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
process.once('disconnect', () => stop.abort()); // who started this process with a channel to it is gone
if (process.connected === false) stop.abort(); // and was before we listened; without a channel it is undefined
process.channel?.unref(); // and a channel alone keeps nobody alive

let unwritten: NodeJS.ErrnoException | undefined;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  unwritten = error; // the command stops as if it had been told to, and cleans up
  stop.abort();
});

process.once('exit', () => {
  // What was written last may fail after the command has ended. A reader that has seen enough is no fault.
  if (unwritten === undefined) return;
  process.exitCode = EXIT.interrupted;
  if (unwritten.code !== 'EPIPE')
    process.stderr.write(`Error: Standard output cannot be written (${unwritten.code}).\n`);
});

process.exitCode = await runProgram(process.argv.slice(2), {
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stop.signal,
});
