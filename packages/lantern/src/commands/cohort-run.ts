/** `lantern cohort run`: who is in a cohort, at one CDM. It prints counts, and on request writes rows: exact, for people inside the hospital. */
import { AppError } from '@lantern/contract';
import { readCirce } from '@lantern/omop';
import { type CohortRun, openCdm, runCohort, writeCohort } from '@lantern/site';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, outputOf, withJson } from '../cli/command-context.ts';
import { readText } from '../cli/json-file.ts';
import { printable, table } from '../cli/output.ts';

const MISSING_SHOWN_MAX = 10;

type RunOptions = CommonOptions & {
  readonly cdm: string;
  readonly definition: string;
  readonly out?: string;
  readonly schema?: string;
  readonly cohortId: string;
};

export function cohortRunCommand(context: CommandContext): Command {
  return withJson(new Command('run'))
    .description('find the persons and periods of a definition in an OMOP CDM; nothing is written to it')
    .requiredOption('--cdm <where>', 'DuckDB file, folder of CSV or Parquet files, or postgres:// URL')
    .requiredOption('--definition <file>', 'JSON file, as ATLAS exports it')
    .option('--out <file>', 'write the cohort rows here: .csv, .csv.gz or .parquet')
    .option('--cohort-id <number>', 'cohort_definition_id of the rows', '1')
    .option('--schema <name>', 'schema of the CDM tables')
    .action(async (options: RunOptions) => {
      const output = outputOf(context, options);
      const cohortId = cohortIdOf(options.cohortId);
      const definition = readCirce(await readText(options.definition, 'Cohort definition'));
      const progress = output.progress('Reading the CDM');
      const cdm = await openCdm({
        where: options.cdm,
        schema: options.schema,
        signal: context.signal,
        onProgress: (done, total, detail) => progress.update(done, total, detail),
      });
      try {
        output.note('Working out the cohort …');
        const run = await runCohort(cdm, definition);
        progress.end();
        if (options.out !== undefined) await writeCohort(cdm, { file: options.out, cohortId });
        warn(run, (text) => output.note(text));
        output.result(documentOf(run, options.out), textOf(run, options.out));
      } finally {
        progress.end();
        await cdm.close();
      }
    });
}

function cohortIdOf(text: string): number {
  const id = Number(text);
  if (/^\d{1,10}$/.test(text) && id < 2 ** 31) return id;
  throw new AppError('input.invalid', '--cohort-id: must be a whole number from 0 to below 2^31.');
}

function warn({ missingConcepts, shortfalls }: CohortRun, note: (text: string) => void): void {
  if (missingConcepts.length > 0) {
    const shown = missingConcepts.slice(0, MISSING_SHOWN_MAX).map(({ id, name }) => `${id} ${printable(name)}`.trim());
    const more = missingConcepts.length - shown.length;
    const rest = more > 0 ? ` and ${more} more` : '';
    note(
      `Warning: the vocabulary of this CDM lacks ${missingConcepts.length} of the concepts named: ${shown.join('; ')}${rest}.`,
    );
  }
  for (const { file, readCount, loadedCount, refused, absentColumns } of shortfalls) {
    const rules = refused.map(({ rule, rowCount }) => `${rule} (${rowCount})`).join('; ');
    if (refused.length > 0) {
      note(`Warning: of ${file} ${readCount - loadedCount} of ${readCount} rows are refused: ${rules}.`);
    }
    if (absentColumns.length > 0) note(`Warning: ${file} has no ${absentColumns.join(', ')}; taken as empty.`);
  }
}

function documentOf(run: CohortRun, out: string | undefined): unknown {
  return {
    ...run,
    masks: run.masks.map(({ mask, ...one }) => ({ ...one, mask: String(mask) })),
    ...(out === undefined ? {} : { out }),
  };
}

function textOf(run: CohortRun, out: string | undefined): string {
  const { qualified, attrition, censoredCount } = run;
  const lines = [
    `Subjects: ${run.subjectCount}`,
    `Entries:  ${run.entryCount}`,
    '',
    `Before the inclusion rules: ${qualified.personCount} persons, ${qualified.eventCount} events.`,
  ];
  if (attrition.length > 0) {
    const rows = attrition.map(({ rule, satisfiedCount, remainingCount }, index) => [
      `${index + 1}. ${rule}`,
      String(satisfiedCount),
      String(remainingCount),
    ]);
    lines.push('', table([['Inclusion rule (persons, by their best event)', 'satisfy it', 'remain'], ...rows]));
  }
  if (censoredCount > 0) lines.push('', `Outside the censor window with every period: ${censoredCount} persons.`);
  if (out !== undefined) lines.push('', `Written: ${out}`);
  return lines.join('\n');
}
