/** `lantern omop quality`: the checks of OHDSI's Data Quality Dashboard over a CDM, with a report that can be read. */
import { checkQuality, openCdm, type QualityReport } from '@lantern/site';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, outputOf, withJson } from '../cli/command-context.ts';
import { table } from '../cli/output.ts';

type QualityCommandOptions = CommonOptions & { readonly cdm: string; readonly schema?: string };

export function qualityCommand(context: CommandContext): Command {
  return withJson(new Command('quality'))
    .description("check a CDM by the tables of OHDSI's Data Quality Dashboard; nothing is written to it")
    .requiredOption('--cdm <where>', 'DuckDB file, folder of CSV or Parquet files, or postgres:// URL')
    .option('--schema <name>', 'schema of the CDM tables')
    .action(async (options: QualityCommandOptions) => {
      const output = outputOf(context, options);
      const progress = output.progress('Checking');
      const cdm = await openCdm({
        where: options.cdm,
        schema: options.schema,
        signal: context.signal,
        onProgress: (done, total, detail) => progress.update(done, total, detail),
      });
      try {
        const today = new Date().toISOString().slice(0, 10);
        const report = await checkQuality(cdm, { today, onProgress: (done, total) => progress.update(done, total) });
        progress.end();
        output.result(report, textOf(report));
      } finally {
        progress.end();
        await cdm.close();
      }
    });
}

function textOf({ summary, results }: QualityReport): string {
  const rows = Object.entries(summary).map(([category, { passed, failed, notApplicable }]) => [
    category,
    ...[passed, failed, notApplicable].map(String),
  ]);
  const failures = results.filter(({ status }) => status === 'failed');
  return [
    table([['', 'Passed', 'Failed', 'Does not apply'], ...rows]),
    '',
    failures.length === 0 ? 'No check failed.' : 'Failed:',
    ...failures.map(({ category, check, words }) => `  ${category}, ${check}: ${words}`),
  ].join('\n');
}
