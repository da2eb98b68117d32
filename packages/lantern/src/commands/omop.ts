/** `lantern omop`: data in the form of OMOP's Common Data Model. */
import { type CdmLoad, loadCdm } from '@lantern/site';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, outputOf, withJson } from '../cli/command-context.ts';
import { printable, table } from '../cli/output.ts';
import { accountCommand, etlCommand, vocabularyCommand } from './omop-etl.ts';
import { qualityCommand } from './omop-quality.ts';

export function omopCommand(context: CommandContext): Command {
  return new Command('omop')
    .description("data as OMOP's Common Data Model (CDM)")
    .addCommand(loadCommand(context))
    .addCommand(vocabularyCommand(context))
    .addCommand(etlCommand(context))
    .addCommand(accountCommand(context))
    .addCommand(qualityCommand(context));
}

type LoadOptions = CommonOptions & { readonly cdm: string };

function loadCommand(context: CommandContext): Command {
  return withJson(new Command('load'))
    .description(
      'load the files of a CDM (one CSV, CSV.gz or Parquet file per table) into a new DuckDB file of CDM 5.4',
    )
    .argument('<folder>', 'where the files are')
    .requiredOption('--cdm <file>', 'the DuckDB file to make; nothing may be there')
    .action(async (folder: string, options: LoadOptions) => {
      const output = outputOf(context, options);
      const progress = output.progress('Loading');
      try {
        const loaded = await loadCdm({
          folder,
          file: options.cdm,
          signal: context.signal,
          onProgress: (done, total, detail) => progress.update(done, total, detail),
        });
        progress.end();
        output.result({ file: options.cdm, ...loaded }, textOf(loaded, options.cdm));
      } finally {
        progress.end();
      }
    });
}

function textOf({ tables, absentTables, otherFiles, cdmVersion }: CdmLoad, file: string): string {
  const rows = tables
    .filter(({ readCount }) => readCount > 0)
    .map((one) => [one.table, one.readCount, one.loadedCount, one.readCount - one.loadedCount].map(String));
  const refusals = tables.flatMap(({ file: from, refused }) =>
    refused.map(({ rule, rowCount }) => `  ${printable(from)}: ${rule} (${rowCount} rows)`),
  );
  const unknown = tables.flatMap(({ file: from, unknownColumns }) =>
    unknownColumns.length === 0 ? [] : [`  ${printable(from)}: ${unknownColumns.map(printable).join(', ')}`],
  );
  return [
    table([['Table', 'Read', 'Loaded', 'Refused'], ...rows]),
    ...section('Refused, by the first rule that a row breaks:', refusals),
    ...section('Columns that CDM 5.4 does not know, left out:', unknown),
    ...(absentTables.length === 0 ? [] : ['', `No file for: ${absentTables.join(', ')}.`]),
    ...(otherFiles.length === 0
      ? []
      : ['', `No table of the CDM, left alone: ${otherFiles.map(printable).join(', ')}.`]),
    '',
    `The files say they are CDM ${printable(cdmVersion ?? 'of an unnamed version')}; ${file} has the tables of CDM 5.4.`,
  ].join('\n');
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines];
}
