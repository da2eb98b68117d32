/** The whole command line in one place: which verbs there are, and how a failure ends. */
import { AppError, toAppError } from '@lantern/contract';
import { Command, CommanderError } from 'commander';
import { auditCommand } from '../commands/audit.ts';
import { bundleCommand } from '../commands/bundle.ts';
import { cohortCommand } from '../commands/cohort.ts';
import { demoCommand } from '../commands/demo.ts';
import { dicomCommand } from '../commands/dicom.ts';
import { doctorCommand } from '../commands/doctor.ts';
import { featureDatasetCommand } from '../commands/feature-dataset.ts';
import { fhirCommand } from '../commands/fhir.ts';
import { hl7Command } from '../commands/hl7.ts';
import { hubCommand } from '../commands/hub.ts';
import { imagesCommand } from '../commands/images.ts';
import { modelCommand } from '../commands/model.ts';
import { notesCommand } from '../commands/notes.ts';
import { omopCommand } from '../commands/omop.ts';
import { projectCommand } from '../commands/project.ts';
import { runCommand } from '../commands/run.ts';
import { sessionCommands } from '../commands/session.ts';
import { siteCommand } from '../commands/site.ts';
import { userCommand } from '../commands/user.ts';
import type { CommandContext } from './command-context.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { fileFault } from './file-fault.ts';

export function buildProgram(context: CommandContext): Command {
  const program = new Command('lantern')
    .description('Takes the algorithm to the data and the result to the bedside.')
    .version('0.1.0')
    .showHelpAfterError()
    .exitOverride()
    .enablePositionalOptions()
    .configureHelp({ subcommandDescription: describeWithVerbs })
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
    });
  const commands = [
    hubCommand(context),
    siteCommand(context),
    ...sessionCommands(context),
    userCommand(context),
    bundleCommand(context),
    projectCommand(context),
    runCommand(context),
    modelCommand(context),
    auditCommand(context),
    dicomCommand(context),
    imagesCommand(context),
    fhirCommand(context),
    hl7Command(context),
    cohortCommand(context),
    featureDatasetCommand(context),
    omopCommand(context),
    notesCommand(context),
    demoCommand(context),
    doctorCommand(context),
  ];
  for (const command of commands) program.addCommand(inheritSettings(command, program));
  return program;
}

/** A group says its verbs, so that the first help shows everything there is to type. */
function describeWithVerbs(command: Command): string {
  const verbs = command.commands.map((verb) => verb.name());
  return verbs.length === 0 ? command.description() : `${command.description()}\n→ ${verbs.join(', ')}`;
}

/** Commander does not pass exit and output settings down to commands that were built apart. */
function inheritSettings(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent).enablePositionalOptions();
  for (const child of command.commands) inheritSettings(child, command);
  return command;
}

/**
 * Of any command, no option and no argument may be empty: that is what a shell makes of a variable that is not set, and as a path
 * it would mean the current folder.
 */
function refuseEmpty(command: Command): void {
  const isEmpty = (value: unknown): boolean => [value].flat().includes('');
  const empty =
    command.options.find((option) => isEmpty(command.getOptionValue(option.attributeName())))?.long ??
    command.registeredArguments.find((_, index) => isEmpty(command.processedArgs[index]));
  if (empty === undefined) return;
  const name = typeof empty === 'string' ? empty : `<${empty.name()}>`;
  throw new AppError('input.invalid', `${name} is empty.`);
}

export async function runProgram(args: readonly string[], context: CommandContext): Promise<number> {
  let isForMachines = false;
  const program = buildProgram(context).hook('preAction', (_, command) => {
    isForMachines = command.opts<{ json?: unknown }>().json === true; // not of the demonstration, whose --json names a file
    refuseEmpty(command);
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return EXIT.success;
  } catch (caught) {
    if (caught instanceof CommanderError) return caught.exitCode === 0 ? EXIT.success : EXIT.usage;
    if (context.signal.aborted) return EXIT.interrupted;
    const error = fileFault(caught) ?? toAppError(caught);
    context.stderr.write(isForMachines ? jsonOf(error) : textOf(error));
    return exitCodeOf(error);
  }
}

function jsonOf(error: AppError): string {
  const { code, message, hint, field } = error;
  return `${JSON.stringify({ error: { code, message, hint, ...(field === undefined ? {} : { field }) } })}\n`;
}

function textOf(error: AppError): string {
  const cause =
    error.code === 'internal' && error.cause instanceof Error ? `\n${error.cause.stack ?? error.cause.message}` : '';
  return `Error: ${error.message}\n  What to do: ${error.hint} [${error.code}]${cause}\n`;
}
