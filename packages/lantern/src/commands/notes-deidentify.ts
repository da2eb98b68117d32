/**
 * `lantern notes deidentify`: text files in, a folder of de-identified text files out. Works on files alone, without hub or site.
 *
 * What comes out is numbered, never named as the old file, whose name is often a patient's. A file that is no text stops nothing: it is
 * listed. The report has kinds and places, no value and no original file, so that it may go with the data.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { createPseudonyms, PROFILE_DEFAULT } from '@lantern/dicom';
import { createNoteDeidentifier, FINDING_KINDS, type Finding, type KnownPerson, type NoteSubject } from '@lantern/omop';
import { makeNamedFolder } from '@lantern/service';
import { contactsOf, knownPersonOf, numberOfPatient } from '@lantern/site';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, outputOf, withJson } from '../cli/command-context.ts';
import { filesIn, KEY_FILE_DEFAULT, keyIn } from '../cli/deidentification-files.ts';
import { table } from '../cli/output.ts';

type Options = CommonOptions & {
  readonly patient?: string;
  readonly place?: string[];
  readonly report?: string;
  readonly keyFile: string;
};

type Resource = Readonly<Record<string, unknown>>;
/** `findings` is undefined for what is no text. */
type Treated = { readonly input: string; readonly output: string; readonly findings: readonly Finding[] | undefined };

const NAME_DIGITS = 6;

export function notesDeidentifyCommand(context: CommandContext): Command {
  return withJson(new Command('deidentify'))
    .description('copies of text files without what tells who they are about, all of one patient')
    .argument('<in>', 'a text file (UTF-8), or a folder of them')
    .argument('<out>', 'the folder to write to')
    .option('--patient <file>', 'FHIR Patient as JSON, or a Bundle with it and its RelatedPersons and Practitioners')
    .option('--place <names...>', 'hospitals, wards and other names that must not stay')
    .option('--report <file>', 'write kind and place of each finding to this file, as JSON')
    .option(
      '--key-file <file>',
      'the secret that pseudonym and shift are made with; made if it is missing',
      KEY_FILE_DEFAULT,
    )
    .action(async (from: string, to: string, options: Options) => {
      const output = outputOf(context, options);
      const files = await filesIn(from, to);
      const resources = options.patient === undefined ? [] : await readPeople(options.patient);
      if (resources.length === 0) {
        output.note(
          'No --patient: names without a title or a role stay, and dates move as those of nobody in particular.',
        );
      }
      const key = await keyIn(options.keyFile, to, output);
      const deidentify = createNoteDeidentifier(subjectOf(resources, options.place ?? [], key));
      await makeNamedFolder(to);
      const treated: Treated[] = [];
      for (const [index, input] of files.entries()) {
        context.signal.throwIfAborted();
        const name = `note-${String(index + 1).padStart(NAME_DIGITS, '0')}.txt`;
        const text = await readText(input);
        const read = text === undefined ? undefined : deidentify(text);
        if (read !== undefined) await writeWhole(path.join(to, name), read.text);
        treated.push({ input, output: name, findings: read?.findings });
      }
      if (options.report !== undefined) await writeFile(options.report, reportText(treated), { mode: 0o600 });
      const summary = summaryOf(treated);
      output.result(summary, resultText(treated, to));
      if (summary.written.length === 0) throw new AppError('input.invalid', 'No file was de-identified.');
    });
}

async function readPeople(file: string): Promise<Resource[]> {
  const found: unknown = await readFile(file, 'utf8')
    .then(
      (text) => JSON.parse(text),
      (cause: unknown) => {
        throw cause;
      },
    )
    .catch((cause: unknown) => {
      if (!(cause instanceof SyntaxError)) throw cause;
      throw new AppError('input.invalid', `${file}: cannot be read as JSON.`, { cause });
    });
  const entries = isResource(found) && Array.isArray(found['entry']) ? found['entry'] : [{ resource: found }];
  const resources = entries
    .map((entry: unknown) => (isResource(entry) ? entry['resource'] : undefined))
    .filter(isResource);
  if (resources.filter(isPatient).length !== 1)
    throw new AppError('input.invalid', `${file}: holds no FHIR Patient, or more than one.`);
  return resources;
}

function isResource(value: unknown): value is Resource {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPatient(resource: Resource): boolean {
  return resource['resourceType'] === 'Patient';
}

const NOBODY: KnownPerson = { names: [], numbers: [], addressLines: [], postcodes: [], phones: [], emails: [] };

function subjectOf(resources: readonly Resource[], places: readonly string[], key: Buffer): NoteSubject {
  const patient = resources.find(isPatient);
  const number = patient === undefined ? '' : numberOfPatient(patient, String(patient['id'] ?? ''));
  const pseudonyms = createPseudonyms(key);
  const others = resources.filter((resource) => !isPatient(resource)).map(knownPersonOf);
  return {
    patient: patient === undefined ? NOBODY : knownPersonOf(patient),
    others: patient === undefined ? others : [...contactsOf(patient), ...others],
    places,
    pseudonym: pseudonyms.patientId(number),
    dateShiftDays: -pseudonyms.dateShiftDays(number, PROFILE_DEFAULT.dateShiftDaysMax),
  };
}

/** `undefined` for what is no text in UTF-8. */
async function readText(file: string): Promise<string | undefined> {
  const bytes = await readFile(file);
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined; // another encoding: a wrong guess would hide a name from the search
  }
}

/** Whole or not at all. */
async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.part`, text, { mode: 0o600 });
  await rename(`${file}.part`, file);
}

function reportText(treated: readonly Treated[]): string {
  const notes = treated.flatMap(({ output, findings }) => (findings === undefined ? [] : [{ output, findings }]));
  return `${JSON.stringify({ notes }, null, 1)}\n`;
}

function summaryOf(treated: readonly Treated[]) {
  const written = treated.filter(({ findings }) => findings !== undefined);
  const findings: Record<string, number> = {};
  for (const kind of FINDING_KINDS) {
    const count = written.reduce(
      (sum, one) => sum + (one.findings ?? []).filter((found) => found.kind === kind).length,
      0,
    );
    if (count > 0) findings[kind] = count;
  }
  return {
    written: written.map(({ input, output }) => ({ input, output })),
    noText: treated.filter((one) => one.findings === undefined).map(({ input }) => input),
    findings,
  };
}

function resultText(treated: readonly Treated[], to: string): string {
  const { written, noText, findings } = summaryOf(treated);
  const rows = Object.entries(findings).map(([kind, count]) => [kind, String(count)]);
  return [
    `${written.length} of ${treated.length} files are de-identified in ${to}.`,
    ...(noText.length === 0 ? [] : ['No text in UTF-8, left out:', ...noText.map((input) => `  ${input}`)]),
    ...(rows.length === 0 ? [] : [table([['replaced', 'times'], ...rows])]),
    'A name that nothing tells to be one may have stayed: see docs/free-text.md before you give them away.',
  ].join('\n');
}
