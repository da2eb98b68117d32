/** `lantern site dataset`: draft a schema, register a CSV or Parquet file with its schema, list, remove. */
import path from 'node:path';
import { AppError, DatasetSchemaSchema, type FeasibilityPolicy, SITE_API } from '@lantern/contract';
import { draftSchema } from '@lantern/site';
import { Command } from 'commander';
import {
  type CommandContext,
  type CommonOptions,
  connected,
  outputOf,
  withConnection,
  withJson,
} from '../cli/command-context.ts';
import { requireFile } from '../cli/file-fault.ts';
import { readJsonFile } from '../cli/json-file.ts';
import { table } from '../cli/output.ts';
import { uploadFile } from '../cli/upload.ts';

type AddOptions = CommonOptions & { schema: string; feasibility: string };

export function datasetCommand(context: CommandContext): Command {
  return new Command('dataset')
    .description('tables this site offers')
    .addCommand(schemaCommand(context))
    .addCommand(addCommand(context))
    .addCommand(listCommand(context))
    .addCommand(removeCommand(context));
}

function schemaCommand(context: CommandContext): Command {
  return withJson(new Command('schema'))
    .description(
      'draft the schema of a table, for a person to complete: texts, units, ranges, and rare categories, which are not listed.\n' +
        'Reads the file here and asks no server. A complete one: fixtures/example/schema.json',
    )
    .argument('<file>', '.csv with a header, or .parquet')
    .option('--name <name>', 'name of the dataset (default: that of the file)')
    .action(async (file: string, options: CommonOptions & { name?: string }) => {
      const format = formatOf(file);
      await requireFile(file); // a file that is not there is no table either, but that is not what to say of it
      const draft = await draftSchema(file, { name: options.name ?? nameOf(file), format });
      outputOf(context, options).result(draft, JSON.stringify(draft, null, 2));
    });
}

/** As a dataset may be called. */
function nameOf(file: string): string {
  return path
    .parse(file)
    .name.toLowerCase()
    .replaceAll(/[^a-z0-9_-]/g, '-');
}

function addCommand(context: CommandContext): Command {
  return withConnection(new Command('add'))
    .description(
      'check a table against its schema and offer it; only schema and gated summaries can be asked from outside',
    )
    .argument('<file>', '.csv or .parquet')
    .requiredOption(
      '--schema <file>',
      'schema as JSON: columns, types, units, codings, ranges (example: fixtures/example/schema.json)',
    )
    .option('--feasibility <who>', 'who may ask counts: any-project or approved-projects', 'approved-projects')
    .action(
      connected<AddOptions>(context, async (connection, { output, options, args: [file = ''] }) => {
        const schema = await readJsonFile(options.schema, DatasetSchemaSchema, 'Dataset schema');
        await requireFile(file);
        const progress = output.progress(`Uploading ${path.basename(file)}`);
        const digest = await uploadFile(
          connection,
          { offset: SITE_API.importOffset, append: SITE_API.appendImport },
          file,
          progress,
        );
        const dataset = await connection.api.call(SITE_API.registerDataset, {
          body: { schema, source: { digest, format: formatOf(file) }, feasibility: feasibilityOf(options.feasibility) },
        });
        output.result(
          dataset,
          `${schema.name}: ${dataset.rowCount} rows, ${dataset.patientCount} patients, schema ${dataset.offer.schemaDigest.slice(0, 12)}.`,
        );
      }),
    );
}

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('list'))
    .description('datasets of this site')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { datasets } = await api.call(SITE_API.listDatasets, {});
        const rows = datasets.map(({ offer, rowCount, patientCount, registeredAt }) => [
          offer.schema.name,
          String(rowCount),
          String(patientCount),
          offer.feasibility,
          registeredAt,
        ]);
        output.result({ datasets }, table([['dataset', 'rows', 'patients', 'counts for', 'registered'], ...rows]));
      }),
    );
}

function removeCommand(context: CommandContext): Command {
  return withConnection(new Command('remove'))
    .description('stop offering a dataset')
    .argument('<dataset>')
    .action(
      connected(context, async ({ api }, { output, args: [dataset = ''] }) => {
        await api.call(SITE_API.removeDataset, { params: { dataset } });
        output.result({ removed: dataset }, `${dataset} is no longer offered.`);
      }),
    );
}

function formatOf(file: string): 'csv' | 'parquet' {
  const extension = path.extname(file).toLowerCase();
  if (extension === '.csv') return 'csv';
  if (extension === '.parquet') return 'parquet';
  throw new AppError('input.unsupported', `${path.basename(file)}: only .csv and .parquet can be registered.`);
}

export function feasibilityOf(text: string): FeasibilityPolicy {
  if (text === 'any-project' || text === 'approved-projects') return text;
  throw new AppError('input.invalid', '--feasibility is any-project or approved-projects.');
}
