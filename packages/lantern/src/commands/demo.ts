/** `lantern demo`: the main job, on four hospitals' real data, on this machine. */
import path from 'node:path';
import { Command } from 'commander';
import type { CommandContext } from '../cli/command-context.ts';
import { runDemo } from '../demo/demo.ts';
import { watchLauncher } from '../demo/launcher.ts';

export function demoCommand(context: CommandContext): Command {
  return new Command('demo')
    .description('four hospitals train a model without sharing a row, and it answers at a bedside')
    .option('--json <file>', 'write everything that happened as JSON')
    .option('--keep', 'leave everything running until Ctrl-C, or until what started it has ended')
    .action(async (options: { json?: string; keep?: boolean }) => {
      const launcher = await watchLauncher();
      try {
        await runDemo({
          env: context.env,
          stdout: context.stdout,
          signal: AbortSignal.any([context.signal, launcher.signal]),
          keep: options.keep === true,
          ...(options.json === undefined ? {} : { jsonFile: path.resolve(options.json) }),
        });
      } finally {
        launcher.stop();
      }
    });
}
