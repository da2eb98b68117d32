/** `lantern cohort`: cohort definitions as ATLAS writes them (OHDSI's Circe JSON). */
import { cohortSql, explainCohort, type PrintOptions, planCohort, readCirce } from '@lantern/omop';
import { Command, Option } from 'commander';
import { type CommandContext, type CommonOptions, outputOf, withJson } from '../cli/command-context.ts';
import { readText } from '../cli/json-file.ts';
import { printable } from '../cli/output.ts';
import { cohortConceptsCommand } from './cohort-concepts.ts';
import { cohortCountCommand } from './cohort-count.ts';
import { cohortRunCommand } from './cohort-run.ts';

type SqlOptions = CommonOptions & Pick<PrintOptions, 'dialect'> & { readonly schema?: string };

export function cohortCommand(context: CommandContext): Command {
  return new Command('cohort')
    .description('cohort definitions of ATLAS (Circe JSON)')
    .addCommand(cohortRunCommand(context))
    .addCommand(explainCommand(context))
    .addCommand(sqlCommand(context))
    .addCommand(cohortCountCommand(context))
    .addCommand(cohortConceptsCommand(context));
}

function explainCommand(context: CommandContext): Command {
  return withJson(new Command('explain'))
    .description('say a definition in plain English, all of it')
    .argument('<definition>', 'JSON file, as ATLAS exports it')
    .action(async (file: string, options: CommonOptions) => {
      const definition = readCirce(await readText(file, 'Cohort definition'));
      const lines = explainCohort(definition);
      outputOf(context, options).result({ lines }, lines.map(printable).join('\n'));
    });
}

function sqlCommand(context: CommandContext): Command {
  return withJson(new Command('sql'))
    .description(
      'print a definition as one SQL query over OMOP CDM 5.4: subject_id, cohort_start_date, cohort_end_date',
    )
    .argument('<definition>', 'JSON file, as ATLAS exports it')
    .addOption(new Option('--dialect <name>', 'of the database').choices(['duckdb', 'postgres']).makeOptionMandatory())
    .option('--schema <name>', 'schema of the CDM tables; without it the one that the connection finds')
    .action(async (file: string, options: SqlOptions) => {
      const { dialect, schema } = options;
      const plan = planCohort(readCirce(await readText(file, 'Cohort definition')));
      const sql = cohortSql(plan, { dialect, ...(schema === undefined ? {} : { schema }) });
      outputOf(context, options).result({ dialect, sql }, sql);
    });
}
