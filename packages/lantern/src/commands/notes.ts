/** `lantern notes`: free text of records without what tells who it is about, from files or from a site. */
import { Command } from 'commander';
import type { CommandContext } from '../cli/command-context.ts';
import { notesDeidentifyCommand } from './notes-deidentify.ts';
import { notesExportCommand } from './notes-export.ts';

export function notesCommand(context: CommandContext): Command {
  return new Command('notes')
    .description('free text of records, de-identified; see docs/free-text.md')
    .addCommand(notesDeidentifyCommand(context))
    .addCommand(notesExportCommand(context));
}
