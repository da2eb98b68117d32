/** `lantern dataset`: from a cohort to a dataset by a feature specification. `build` and `builds` ask a site; `plan` and `preview` need no server. */

import { setTimeout } from 'node:timers/promises';
import {
  AppError,
  assertFeatureSpecification,
  type DatasetBuildReport,
  datasetSchemaOf,
  FeatureSpecificationSchema,
  SITE_API,
} from '@lantern/contract';
import type { PrintOptions } from '@lantern/omop';
import { featureStatement, fhirFileSource, fhirFilesBelow, openCdm, previewFeatures } from '@lantern/site';
import { Command, Option } from 'commander';
import {
  type CommandContext,
  type CommonOptions,
  connected,
  outputOf,
  withConnection,
  withJson,
} from '../cli/command-context.ts';
import { readJsonFile } from '../cli/json-file.ts';
import { table } from '../cli/output.ts';
import { feasibilityOf } from './dataset.ts';

export function featureDatasetCommand(context: CommandContext): Command {
  return new Command('dataset')
    .description('datasets made of cohorts by a feature specification')
    .addCommand(buildCommand(context))
    .addCommand(buildsCommand(context))
    .addCommand(planCommand(context))
    .addCommand(previewCommand(context));
}

async function readSpecification(file: string) {
  const specification = await readJsonFile(file, FeatureSpecificationSchema, 'Feature specification');
  assertFeatureSpecification(specification);
  return specification;
}

type BuildOptions = CommonOptions & { readonly feasibility: string };

function buildCommand(context: CommandContext): Command {
  return withConnection(new Command('build'))
    .description(
      'build a dataset at a site out of its records, without who opted out, and offer it; then print its report',
    )
    .argument('<specification>', 'JSON file (docs/cohorts-for-researchers.md)')
    .option('--feasibility <who>', 'who may ask counts: any-project or approved-projects', 'approved-projects')
    .action(
      connected<BuildOptions>(context, async ({ api }, { output, options, signal, args: [file = ''] }) => {
        const specification = await readSpecification(file);
        const feasibility = feasibilityOf(options.feasibility);
        let build = await api.call(SITE_API.buildDataset, { body: { specification, feasibility } });
        output.note(`Building ${build.dataset} (${build.buildId}) …`);
        while (build.state === 'asked') {
          await setTimeout(POLL_MS, undefined, { signal });
          build = await api.call(SITE_API.readDatasetBuild, { params: { buildId: build.buildId } });
        }
        if (build.failure !== undefined) throw new AppError('dataset.invalid', `Not built: ${build.failure.message}`);
        output.result(build, build.report === undefined ? build.state : reportText(build.report));
      }),
    );
}

const POLL_MS = 500;

function buildsCommand(context: CommandContext): Command {
  return withConnection(new Command('builds'))
    .description('datasets that a site has built out of its records, newest first')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { builds } = await api.call(SITE_API.listDatasetBuilds, {});
        const rows = builds.map(({ dataset, state, report, requestedAt, contentDigest, failure }) => [
          dataset,
          state,
          report === undefined ? '' : String(report.rowCount),
          contentDigest?.slice(0, 12) ?? '',
          requestedAt,
          failure?.message ?? '',
        ]);
        output.result({ builds }, table([['dataset', 'state', 'rows', 'content', 'asked', 'why not'], ...rows]));
      }),
    );
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

type PreviewOptions = CommonOptions & {
  readonly cdm: string;
  readonly out?: string;
  readonly schema?: string;
  readonly fhir?: string;
};

function previewCommand(context: CommandContext): Command {
  return withJson(new Command('preview'))
    .description(
      'work out a feature specification at an OMOP CDM, to look at: exact, without opt-outs; nothing is written to the CDM',
    )
    .argument('<specification>', 'JSON file (docs/cohorts-for-researchers.md)')
    .requiredOption('--cdm <where>', 'DuckDB file, folder of CSV or Parquet files, or postgres:// URL')
    .option('--out <file>', 'write the table here: .csv or .parquet')
    .option('--schema <name>', 'schema of the CDM tables')
    .option('--fhir <path>', 'FHIR files that the views of the specification are made of: a file or a folder')
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
        const { report, shortfalls } = await previewFeatures(cdm, {
          specification,
          out: options.out,
          ...(options.fhir === undefined ? {} : { resources: await fileResources(options.fhir) }),
        });
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

async function fileResources(path: string) {
  const files = await fhirFilesBelow(path);
  return async function* (type: string, signal: AbortSignal) {
    for await (const { content, resourceType } of fhirFileSource(files)) {
      signal.throwIfAborted();
      if (resourceType === type) yield content;
    }
  };
}

function imageText({ images = [] }: DatasetBuildReport): string[] {
  if (images.length === 0) return [];
  const rows = images.map(({ name, ...counts }) => [
    name,
    ...[counts.seriesCount, counts.withoutCopyCount, counts.ambiguousCount].map(String),
    ...[counts.otherPatientCount, counts.optedOutCount].map(String),
  ]);
  const head = ['Images', 'series', 'without a copy', 'of several persons', 'of another patient', 'opted out'];
  return ['', table([head, ...rows])];
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
    ...imageText(report),
    ...(out === undefined ? [] : ['', `Written: ${out}`]),
  ].join('\n');
}
