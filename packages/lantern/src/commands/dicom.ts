/** `lantern dicom`: what is in a DICOM file, copies that tell nobody who the patient is, and talking to peers. Needs neither hub nor site. */
import { AppError } from '@lantern/contract';
import {
  type DataSet,
  DicomError,
  dicomJson,
  type JsonDataSet,
  type JsonElement,
  keywordOf,
  openFileSource,
  readPart10,
} from '@lantern/dicom';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, outputOf, withJson } from '../cli/command-context.ts';
import { requireFile } from '../cli/file-fault.ts';
import { dicomDeidentifyCommand } from './dicom-deidentify.ts';
import { dicomEchoCommand } from './dicom-echo.ts';
import { dicomFindCommand, dicomWorklistCommand } from './dicom-find.ts';
import { dicomPullCommand } from './dicom-pull.ts';
import { dicomSendCommand } from './dicom-send.ts';
import { dicomServeCommand } from './dicom-serve.ts';
import { dicomVerifyCommand } from './dicom-verify.ts';

const VALUE_LENGTH_MAX = 80; // a line of a terminal; --json gives the whole value

export function dicomCommand(context: CommandContext): Command {
  return new Command('dicom')
    .description('DICOM files and peers')
    .addCommand(
      withJson(new Command('show'))
        .description('every element of a file; it prints what the file says of its patient')
        .argument('<file>', 'a DICOM file, with or without preamble and meta information')
        .action(async (file: string, options: CommonOptions) => {
          await requireFile(file);
          const { meta, dataSet, transferSyntax } = readFile(file);
          const { uid, name } = transferSyntax;
          outputOf(context, options).result(
            { transferSyntax: { uid, name }, meta: dicomJson(meta), dataSet: dicomJson(dataSet) },
            [`# ${name} (${uid})`, ...linesOf(meta), ...linesOf(dataSet)].join('\n'),
          );
        }),
    )
    .addCommand(dicomDeidentifyCommand(context))
    .addCommand(dicomServeCommand(context))
    .addCommand(dicomVerifyCommand(context))
    .addCommand(dicomEchoCommand(context))
    .addCommand(dicomFindCommand(context))
    .addCommand(dicomWorklistCommand(context))
    .addCommand(dicomPullCommand(context))
    .addCommand(dicomSendCommand(context));
}

function readFile(file: string): ReturnType<typeof readPart10> {
  const source = openSource(file);
  try {
    return readPart10(source);
  } catch (caught) {
    if (caught instanceof DicomError)
      throw new AppError('input.invalid', `${file}: ${caught.message}`, { cause: caught });
    throw caught;
  } finally {
    source.close();
  }
}

function openSource(file: string): ReturnType<typeof openFileSource> {
  try {
    return openFileSource(file);
  } catch (cause) {
    throw new AppError('input.invalid', `${file} cannot be read.`, { cause });
  }
}

function linesOf(dataSet: DataSet): string[] {
  return linesIn(dicomJson(dataSet), '');
}

function linesIn(dataSet: JsonDataSet, indent: string): string[] {
  return Object.entries(dataSet).flatMap(([hex, element]) => {
    const tag = `(${hex.slice(0, 4)},${hex.slice(4)})`;
    const keyword = keywordOf(Number.parseInt(hex, 16)) ?? '';
    const line = `${indent}${tag} ${element.vr} ${keyword.padEnd(32)} ${shown(element)}`.trimEnd();
    return [line, ...itemLines(element, indent)];
  });
}

function itemLines({ vr, Value: items = [] }: JsonElement, indent: string): string[] {
  if (vr !== 'SQ') return [];
  return items.flatMap((item, index) => [
    `${indent}  item ${index + 1}`,
    ...linesIn(item as JsonDataSet, `${indent}    `),
  ]);
}

function shown({ vr, Value: values = [], InlineBinary: binary, omittedBytes }: JsonElement): string {
  if (vr === 'SQ') return `${values.length} ${values.length === 1 ? 'item' : 'items'}`;
  if (omittedBytes !== undefined) return `${omittedBytes} bytes`;
  if (binary !== undefined) return `${Buffer.from(binary, 'base64').byteLength} bytes`;
  const text = values.map((value) => (isName(value) ? Object.values(value).join('=') : String(value ?? ''))).join('\\');
  const oneLine = text.replace(/[\p{Cc}\p{Cf}]+/gu, ' '); // a value must not move the cursor of a terminal
  return oneLine.length > VALUE_LENGTH_MAX ? `${oneLine.slice(0, VALUE_LENGTH_MAX)}…` : oneLine;
}

function isName(value: unknown): value is Record<string, string> {
  return typeof value === 'object' && value !== null;
}
