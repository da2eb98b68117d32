/** `lantern dataset`: from a cohort to a dataset by a feature specification; the plan and the preview need no server. */
import {
  assertFeatureSpecification,
  type DatasetBuildReport,
  datasetSchemaOf,
  FeatureSpecificationSchema,
} from '@lantern/contract';
import type { PrintOptions } from '@lantern/omop';
import { featureStatement, openCdm, previewFeatures } from '@lantern/site';
import { Command, Option } from 'commander';
import { type CommandContext, type CommonOptions, outputOf, withJson } from '../cli/command-context.ts';
import { readJsonFile } from '../cli/json-file.ts';
import { table } from '../cli/output.ts';

export function featureDatasetCommand(context: CommandContext): Command {
  return new Command('dataset')
    .description('datasets made of cohorts by a feature specification')
    .addCommand(planCommand(context))
    .addCommand(previewCommand(context));
}

async function readSpecification(file: string) {
  const specification = await readJsonFile(file, FeatureSpecificationSchema, 'Feature specification');
  assertFeatureSpecification(specification);
  return specification;
}

type PlanOptions = CommonOptions & Pick<PrintOptions, 'dialect'> & { readonly schema?: string };

function planCommand(context: CommandContext): Command {
  return withJson(new Command('plan'))
    .description(
      'print a feature specification as one SQL query over OMOP CDM 5.4: a row for each person of the cohort',
    )
    .argument('<specification>', 'JSON file (docs/cohorts-for-researchers.md)')
    .addOption(new Option('--dialect <name>', 'of the database').choices(['duckdb', 'postgres']).makeOptionMandatory())
    .option('--schema <name>', 'schema of the CDM tables; without it the one that the connection finds')
    .action(async (file: string, options: PlanOptions) => {
      const { dialect, schema } = options;
      const specification = await readSpecification(file);
      const sql = featureStatement(specification, { dialect, ...(schema === undefined ? {} : { schema }) });
      const columns = specification.columns.map(({ name }, place) => ({ name, value: `v${place}` }));
      outputOf(context, options).result({ dialect, sql, columns, schema: datasetSchemaOf(specification) }, sql);
    });
}

type PreviewOptions = CommonOptions & { readonly cdm: string; readonly out?: string; readonly schema?: string };

function previewCommand(context: CommandContext): Command {
  return withJson(new Command('preview'))
    .description(
      'work out a feature specification at an OMOP CDM, to look at: exact, without opt-outs; nothing is written to the CDM',
    )
    .argument('<specification>', 'JSON file (docs/cohorts-for-researchers.md)')
    .requiredOption('--cdm <where>', 'DuckDB file, folder of CSV or Parquet files, or postgres:// URL')
    .option('--out <file>', 'write the table here: .csv or .parquet')
    .option('--schema <name>', 'schema of the CDM tables')
    .action(async (file: string, options: PreviewOptions) => {
      const output = outputOf(context, options);
      const specification = await readSpecification(file);
      const progress = output.progress('Reading the CDM');
      const cdm = await openCdm({
        where: options.cdm,
        schema: options.schema,
        signal: context.signal,
        onProgress: (done, total, detail) => progress.update(done, total, detail),
      });
      try {
        output.note('Working out the table …');
        const { report, shortfalls } = await previewFeatures(cdm, { specification, out: options.out });
        progress.end();
        for (const { file: name, readCount, loadedCount } of shortfalls)
          if (loadedCount < readCount) output.note(`Warning: ${readCount - loadedCount} rows of ${name} are refused.`);
        const written = options.out === undefined ? {} : { out: options.out };
        output.result({ report, ...written }, reportText(report, options.out));
      } finally {
        progress.end();
        await cdm.close();
      }
    });
}

function reportText(report: DatasetBuildReport, out?: string): string {
  const { cohortPatientCount, optedOutCount, droppedCount, rowCount, testRowCount } = report;
  const rows = report.columns.map(({ name, missingCount, unitLeftOutCount, rangeLeftOutCount }) =>
    [name, missingCount, unitLeftOutCount, rangeLeftOutCount].map(String),
  );
  return [
    `Persons in the cohort: ${cohortPatientCount}; left out by an opt-out: ${optedOutCount}; for a value that must be there: ${droppedCount}.`,
    `Rows: ${rowCount}, of them for testing: ${testRowCount}.`,
    '',
    table([['Column', 'without a value', 'values of other units', 'values out of range'], ...rows]),
    ...(out === undefined ? [] : ['', `Written: ${out}`]),
  ].join('\n');
}
