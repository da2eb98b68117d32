/** `lantern demo`: the main job, on four hospitals' real data, on this machine. */
import path from 'node:path';
import { Command } from 'commander';
import type { CommandContext } from '../cli/command-context.ts';
import { runDemo } from '../demo/demo.ts';

export function demoCommand(context: CommandContext): Command {
  return new Command('demo')
    .description('four hospitals train a model without sharing a row, and it answers at a bedside')
    .option('--json <file>', 'write everything that happened as JSON')
    .option('--keep', 'leave everything running until Ctrl-C')
    .action((options: { json?: string; keep?: boolean }) =>
      runDemo({
        env: context.env,
        stdout: context.stdout,
        signal: context.signal,
        keep: options.keep === true,
        ...(options.json === undefined ? {} : { jsonFile: path.resolve(options.json) }),
      }),
    );
}
