/** `lantern fhir`: the records of a site as a FHIR R4 server, and loading and exporting them without one. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { loadConfig, makeNamedFolder, redactConfig } from '@lantern/service';
import {
  FhirNodeConfigSchema,
  type LoadAccount,
  loadFiles,
  newestKey,
  openFhirRecords,
  startFhirNode,
  writeNdjson,
} from '@lantern/site';
import { Command } from 'commander';
import { type CommandContext, outputOf, withJson } from '../cli/command-context.ts';
import { requireFile } from '../cli/file-fault.ts';
import { table } from '../cli/output.ts';
import { readSettings, serve } from '../cli/serve.ts';
import { fhirViewCommand } from './fhir-view.ts';

type FolderOptions = { readonly data: string; readonly databaseUrl?: string; readonly json?: boolean };
type ServeOptions = { readonly host: string; readonly port: string; readonly config?: string; readonly json?: boolean };

export function fhirCommand(context: CommandContext): Command {
  return new Command('fhir')
    .description('records as FHIR R4')
    .addCommand(serveCommand(context))
    .addCommand(loadCommand(context))
    .addCommand(exportCommand(context))
    .addCommand(fhirViewCommand(context));
}

function serveCommand(context: CommandContext): Command {
  return withJson(new Command('serve'))
    .description(
      'keep, check, find and give resources: a FHIR R4 server over a folder; its token is in admin.token there',
    )
    .argument('<folder>', 'where database, keys and exports are kept (made if missing)')
    .option('--port <number>', 'port (0: any free one)', '8080')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--config <file>', 'further settings as JSON; the options win over it')
    .action(async (folder: string, options: ServeOptions) => {
      const settings = loadConfig({
        schema: FhirNodeConfigSchema,
        fileText: await readSettings(options.config),
        env: {},
        prefix: '',
        overrides: { dataDir: folder, httpHost: options.host, httpPort: Number(options.port) },
      });
      const output = outputOf(context, options);
      await serve(context, output, {
        what: 'FHIR server',
        dataDir: folder,
        settings: redactConfig(settings, ['databaseUrl']),
        start: async () => {
          const node = await startFhirNode(settings);
          output.note(`FHIR R4: ${node.url}/fhir (what it can do: ${node.url}/fhir/metadata)`);
          return node;
        },
      });
    });
}

function withFolder(command: Command): Command {
  return withJson(command)
    .requiredOption('--data <folder>', 'folder of the records, on which no server runs now (made if missing)')
    .option('--database-url <url>', 'PostgreSQL to use instead of the one in the folder');
}

function loadCommand(context: CommandContext): Command {
  return withFolder(new Command('load'))
    .description(
      'load resources, bundles and NDJSON (also .gz) from a file or all below a folder; what is there already stays as it is',
    )
    .argument('<path>')
    .action(async (location: string, options: FolderOptions) => {
      await requireReadable(location);
      const output = outputOf(context, options);
      const records = await openFhirRecords({ dataDir: options.data, databaseUrl: options.databaseUrl });
      const progress = output.progress('Loading');
      try {
        const account = await loadFiles(records.store, location, {
          signal: context.signal,
          onProgress: ({ files, filesInAll, resources }) =>
            progress.update(files, filesInAll, `${resources} resources`),
        });
        progress.end();
        output.result(account, accountText(account));
      } finally {
        await records.close();
      }
    });
}

/** A folder is none that `requireFile` takes. */
async function requireReadable(location: string): Promise<void> {
  const found = await stat(location).catch(() => undefined);
  if (found?.isDirectory() !== true) await requireFile(location);
}

function accountText({ files, total, byType, refusedBy }: LoadAccount): string {
  const header = ['type', 'read', 'created', 'updated', 'unchanged', 'refused'];
  const row = (name: string, { read, created, updated, unchanged, refused }: LoadAccount['total']): string[] => [
    name,
    ...[read, created, updated, unchanged, refused].map(String),
  ];
  const types = Object.entries(byType).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = [table([header, ...types.map(([type, account]) => row(type, account)), row('all', total)])];
  const rules = Object.entries(refusedBy).sort(([, a], [, b]) => b - a);
  if (rules.length > 0)
    lines.push('', table([['refused by', 'resources'], ...rules.map(([rule, count]) => [rule, String(count)])]));
  if (files === 0) lines.push('', 'There was no .json or .ndjson file (also .gz) to read.');
  return lines.join('\n');
}

function exportCommand(context: CommandContext): Command {
  return withFolder(new Command('export'))
    .description('write all resources as one file of JSON lines per type')
    .requiredOption('--out <folder>', 'where the files go (made if missing); none may be there already')
    .option('--type <types...>', 'only these types')
    .action(async (options: FolderOptions & { readonly out: string; readonly type?: string[] }) => {
      const output = outputOf(context, options);
      await makeNamedFolder(options.out);
      const records = await openFhirRecords({ dataDir: options.data, databaseUrl: options.databaseUrl });
      try {
        const { database } = records.store;
        const range = { types: options.type, until: await newestKey(database), since: null, signal: context.signal };
        const counts = await writeNdjson(database, options.out, range).catch((caught: unknown) => {
          const isThere = caught instanceof Error && 'code' in caught && caught.code === 'EEXIST';
          if (!isThere) throw caught;
          throw new AppError('input.invalid', '--out: a file of an earlier export is there; name another folder.');
        });
        const files = [...counts].map(([type, count]) => ({
          type,
          count,
          file: path.join(options.out, `${type}.ndjson`),
        }));
        output.result(
          { files },
          table([['file', 'resources'], ...files.map(({ file, count }) => [file, String(count)])]),
        );
      } finally {
        await records.close();
      }
    });
}
