/**
 * `lantern dicom deidentify`: files or folders in, a folder of de-identified files out. Works on files alone, without hub or site.
 *
 * What comes out is named by the new UIDs, never by the old file's name, which is often a patient's. One bad file stops nothing: it
 * is listed with its reason. The report names no original value and no original file, so that it may go with the data; which file
 * became what is printed for the person at the terminal.
 */
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';
import {
  createDeidentifier,
  type DeidentificationProfile,
  type DeidentificationReport,
  type DeidentifiedObject,
  type Deidentifier,
  DicomError,
  findTesseract,
  openFileSource,
  outputFile,
  PROFILE_DEFAULT,
  parseDeidentificationProfile,
  readPart10,
  textOf,
} from '@lantern/dicom';
import { makeNamedFolder } from '@lantern/service';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, outputOf, withJson } from '../cli/command-context.ts';
import { filesIn, KEY_FILE_DEFAULT, keyIn } from '../cli/deidentification-files.ts';
import type { Output } from '../cli/output.ts';

type Options = CommonOptions & { readonly profile?: string; readonly report?: string; readonly keyFile: string };

/** `reasons` are empty for what was released. */
type Treated = {
  readonly input: string;
  readonly output?: string;
  readonly reasons: readonly string[];
  readonly report?: DeidentificationReport;
};

export function dicomDeidentifyCommand(context: CommandContext): Command {
  return withJson(new Command('deidentify'))
    .description(
      'copies of DICOM files without what identifies the patient (PS3.15 annex E); see docs/de-identification.md',
    )
    .argument('<in>', 'a DICOM file, or a folder of them')
    .argument('<out>', 'the folder to write to')
    .option('--profile <file>', 'what to remove, keep and clean, as JSON (default: the profile that keeps least)')
    .option('--report <file>', 'write every action on every element to this file, as JSON')
    .option('--key-file <file>', 'the secret that pseudonyms are made with; made if it is missing', KEY_FILE_DEFAULT)
    .action(async (from: string, to: string, options: Options) => {
      const output = outputOf(context, options);
      const profile = options.profile === undefined ? PROFILE_DEFAULT : await readProfile(options.profile);
      const files = await filesIn(from, to);
      const key = await keyIn(options.keyFile, to, output);
      const deidentifier = createDeidentifier({ key, profile, tools: textReader(output) });
      const treated = await treatAll(files, { deidentifier, to, output, signal: context.signal });
      if (options.report !== undefined) await writeFile(options.report, reportText(treated, profile), { mode: 0o600 });
      const summary = summaryOf(treated);
      output.result(summary, resultText(treated, to));
      if (summary.released === 0) throw new AppError('input.invalid', 'No file was de-identified.');
    });
}

async function readProfile(file: string): Promise<DeidentificationProfile> {
  try {
    return parseDeidentificationProfile(JSON.parse(await readFile(file, 'utf8')));
  } catch (cause) {
    const why = cause instanceof DicomError ? cause.message : 'cannot be read as JSON.';
    throw new AppError('input.invalid', `${file}: ${why}`, { cause });
  }
}

function textReader(output: Output): { readText?: NonNullable<ReturnType<typeof findTesseract>>['read'] } {
  const tesseract = findTesseract();
  if (tesseract === undefined) {
    output.note('tesseract is not installed: images that would have to be read for text are quarantined.');
    return {};
  }
  output.note(`Text in suspect images is read with tesseract ${tesseract.version}.`);
  return { readText: tesseract.read };
}

type Job = {
  readonly deidentifier: Deidentifier;
  readonly to: string;
  readonly output: Output;
  readonly signal: AbortSignal;
};

async function treatAll(files: readonly string[], job: Job): Promise<Treated[]> {
  const treated: Treated[] = [];
  const written = new Set<string>();
  const progress = job.output.progress('de-identify');
  for (const [index, file] of files.entries()) {
    if (job.signal.aborted) break;
    treated.push(await treat(file, written, job));
    progress.update(index + 1, files.length, `${treated.filter(({ reasons }) => reasons.length > 0).length} held back`);
  }
  progress.end();
  return treated;
}

async function treat(input: string, written: Set<string>, { deidentifier, to }: Job): Promise<Treated> {
  try {
    const source = openFileSource(input);
    try {
      const outcome = await deidentifier.deidentify(readPart10(source));
      const { report } = outcome;
      if (outcome.kind === 'quarantined') return { input, reasons: outcome.reasons, report };
      const name = nameOf(outcome);
      if (written.has(name)) return { input, reasons: ['same-instance-twice'], report };
      written.add(name);
      await write(outcome, path.join(to, name));
      return { input, output: name, reasons: [], report };
    } finally {
      source.close();
    }
  } catch (caught) {
    if (caught instanceof DicomError) return { input, reasons: [caught.code] };
    if (isOfFile(caught)) return { input, reasons: ['unreadable'] };
    throw caught;
  }
}

/** A file that may not be read stops nothing; a disk that is full does. */
function isOfFile(caught: unknown): boolean {
  const code = caught instanceof Error && 'code' in caught ? caught.code : undefined;
  return code === 'EACCES' || code === 'ENOENT' || code === 'EPERM' || code === 'EIO';
}

const STUDY_INSTANCE_UID = 0x0020000d;
const SERIES_INSTANCE_UID = 0x0020000e;
const SOP_INSTANCE_UID = 0x00080018;

/** study/series/instance.dcm, by the UIDs of the output. */
function nameOf({ dataSet }: DeidentifiedObject): string {
  const [study, series, instance] = [STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID].map((tag) => {
    const uid = textOf(dataSet, tag) ?? '';
    return /^[0-9.]{1,64}$/.test(uid) && !/^\.+$/.test(uid) ? uid : 'none';
  });
  return path.join(study ?? 'none', series ?? 'none', `${instance}.dcm`);
}

/** Whole or not at all. */
async function write(object: DeidentifiedObject, file: string): Promise<void> {
  await makeNamedFolder(path.dirname(file));
  const part = `${file}.part`;
  const handle = await open(part, 'w');
  try {
    for (const piece of outputFile(object)) await handle.writeFile(piece);
    await rename(part, file);
  } catch (caught) {
    await rm(part, { force: true });
    throw caught;
  } finally {
    await handle.close();
  }
}

function reportText(treated: readonly Treated[], profile: DeidentificationProfile): string {
  const objects = treated.map(({ output, reasons, report }) => ({ output, reasons, report }));
  return `${JSON.stringify({ profile, objects }, null, 1)}\n`;
}

function summaryOf(treated: readonly Treated[]) {
  const heldBack = treated.filter(({ reasons }) => reasons.length > 0);
  return {
    released: treated.length - heldBack.length,
    heldBack: heldBack.map(({ input, reasons }) => ({ input, reasons })),
  };
}

function resultText(treated: readonly Treated[], to: string): string {
  const { released, heldBack } = summaryOf(treated);
  const lines = heldBack.map(({ input, reasons }) => `  ${input}: ${reasons.join(', ')}`);
  const head = `${released} of ${treated.length} files are de-identified in ${to}.`;
  return lines.length === 0
    ? head
    : [head, `${lines.length} are held back for a person to look at:`, ...lines].join('\n');
}
