/** `lantern notes export`: the de-identified notes of a project that may have them, from its site, as one file of JSON lines. */
import { open, rename, rm } from 'node:fs/promises';
import { NOTES_API, type NoteAccount, type ResearchNotesPage } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { idArgument } from './id-argument.ts';

type Options = CommonOptions & { readonly project: string; readonly patient?: string };

export function notesExportCommand(context: CommandContext): Command {
  return withConnection(new Command('export'))
    .description('write the de-identified notes of a project whose approval allows them, one JSON object in each line')
    .argument('<out>', 'the file to write')
    .requiredOption('--project <id>', 'the project')
    .option('--patient <id>', 'only of this patient, by the id of the FHIR Patient')
    .action(
      connected<Options>(context, async ({ api }, { output, options, args: [to = ''], signal }) => {
        const projectId = idArgument('ProjectId', options.project);
        const account: NoteAccount = { patients: 0, optedOut: 0, notes: 0, unread: 0 };
        const progress = output.progress('Patients');
        const part = `${to}.part`;
        const file = await open(part, 'w', 0o600);
        try {
          for (let after: string | undefined, isMore = true; isMore; isMore = after !== undefined) {
            signal.throwIfAborted();
            const query = {
              ...(after === undefined ? {} : { after }),
              ...(options.patient === undefined ? {} : { patient: options.patient }),
            };
            const page: ResearchNotesPage = await api.call(NOTES_API.readResearchNotes, {
              params: { projectId },
              query,
            });
            await file.write(page.notes.map((note) => `${JSON.stringify(note)}\n`).join(''));
            for (const name of ['patients', 'optedOut', 'notes', 'unread'] as const)
              account[name] += page.account[name];
            progress.update(account.patients, account.patients, `${account.notes} notes`);
            after = page.next;
          }
          await file.close();
          await rename(part, to);
        } catch (caught) {
          await file.close();
          await rm(part, { force: true }); // half an export is not one
          throw caught;
        }
        progress.end();
        output.result(account, accountText(account, to));
      }),
    );
}

function accountText({ patients, optedOut, notes, unread }: NoteAccount, to: string): string {
  return [
    `${notes} notes of ${patients - optedOut} patients in ${to}.`,
    `Left out: ${optedOut} patients who opted out or whom no number identifies; ${unread} documents that are no plain text.`,
    'A name that nothing tells to be one may have stayed: see docs/free-text.md.',
  ].join('\n');
}
