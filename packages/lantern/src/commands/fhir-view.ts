/** `lantern fhir view`: a flat table out of FHIR files, as a ViewDefinition of SQL on FHIR describes it. */
import { AppError } from '@lantern/contract';
import { compileView, Hl7Error, type View, type ViewRow } from '@lantern/hl7';
import { fhirFileSource, fhirFilesBelow } from '@lantern/site';
import { Command } from 'commander';
import { Type } from 'typebox';
import { type CommandContext, type CommonOptions, outputOf, withJson } from '../cli/command-context.ts';
import { readJsonFile } from '../cli/json-file.ts';

const ViewFileSchema = Type.Record(Type.String(), Type.Unknown());

export function fhirViewCommand(context: CommandContext): Command {
  return withJson(new Command('view'))
    .description('make a table of FHIR files by a ViewDefinition of SQL on FHIR: CSV, or with --json one row a line')
    .argument('<definition>', 'the ViewDefinition, JSON')
    .argument('<path>', 'bundles (.json) or one resource a line (.ndjson), also .gz; a file or a folder')
    .action(async (file: string, path: string, options: CommonOptions) => {
      const output = outputOf(context, options);
      const view = translated(await readJsonFile(file, ViewFileSchema, 'ViewDefinition'), compileView);
      const names = view.columns.map(({ name }) => name);
      if (!output.json) context.stdout.write(`${names.map(csvCell).join(',')}\n`);
      for await (const { content, resourceType, id } of fhirFileSource(await fhirFilesBelow(path))) {
        context.signal.throwIfAborted();
        for (const row of rowsOf(view, { content, key: `${resourceType}/${id}` })) {
          const line = output.json ? JSON.stringify(row) : names.map((name) => csvCell(row[name] ?? null)).join(',');
          context.stdout.write(`${line}\n`);
        }
      }
    });
}

function rowsOf(view: View, { content, key }: { content: unknown; key: string }): ViewRow[] {
  try {
    return view.rowsOf(content);
  } catch (caught) {
    if (!(caught instanceof Hl7Error)) throw caught;
    throw new AppError('input.invalid', `${key}: ${caught.message}`, { cause: caught });
  }
}

function translated<T, R>(value: T, read: (value: T) => R): R {
  try {
    return read(value);
  } catch (caught) {
    if (!(caught instanceof Hl7Error)) throw caught;
    throw new AppError('input.invalid', caught.message, { cause: caught });
  }
}

/** RFC 4180; lists as JSON. Nothing is an empty cell. */
function csvCell(value: ViewRow[string] | string): string {
  if (value === null) return '';
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
