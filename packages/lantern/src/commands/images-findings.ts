/** `lantern images conflicts` and `disagreements`: what a person has to look at in the archive of a site. */
import { type ConflictDecision, IMAGE_FINDINGS_API } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { numberOption } from '../cli/number-option.ts';
import { table } from '../cli/output.ts';

export function conflictsCommand(context: CommandContext): Command {
  return new Command('conflicts')
    .description('instances that were refused because their UID is taken by other content, and kept beside')
    .addCommand(listCommand(context))
    .addCommand(decisionCommand(context, 'leave'))
    .addCommand(decisionCommand(context, 'discard'));
}

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('list'))
    .description('which there are, and what was decided; 200 at a time')
    .option('--after <id>', 'those that came after this one', numberOption)
    .action(
      connected<CommonOptions & { after?: number }>(context, async ({ api }, { output, options }) => {
        const query = afterOf(options.after);
        const page = await api.call(IMAGE_FINDINGS_API.listImageConflicts, { query });
        const rows = page.conflicts.map(({ conflictId, sopInstanceUid, kept, refused, decision }) => [
          conflictId,
          sopInstanceUid,
          `${kept.callingAe}, ${kept.sizeBytes} bytes`,
          `${refused.callingAe}, ${refused.sizeBytes} bytes`,
          decision === undefined ? 'undecided' : 'left',
        ]);
        output.result(page, `${table([['id', 'instance', 'kept', 'refused', ''], ...rows])}${more(page.next)}`);
      }),
    );
}

const DECISIONS: Readonly<Record<ConflictDecision, { readonly description: string; readonly done: string }>> = {
  leave: { description: 'keep both, and have said so', done: 'is left as it is' },
  discard: {
    description: 'remove the file that was refused; the instance that has the UID stays as it is',
    done: 'is resolved: the file that was refused is gone',
  },
};

function decisionCommand(context: CommandContext, decision: ConflictDecision): Command {
  return withConnection(new Command(decision))
    .description(DECISIONS[decision].description)
    .argument('<id>')
    .action(
      connected(context, async ({ api }, { output, args: [id = ''] }) => {
        const params = { conflictId: id };
        const done = await api.call(IMAGE_FINDINGS_API.decideImageConflict, { params, body: { decision } });
        output.result(done, `Conflict ${done.conflictId} ${DECISIONS[decision].done}.`);
      }),
    );
}

export function disagreementsCommand(context: CommandContext): Command {
  return withConnection(new Command('disagreements'))
    .description('studies with an instance that says another patient than the first did; nothing was refused')
    .option('--after <id>', 'those that came after this one', numberOption)
    .action(
      connected<CommonOptions & { after?: number }>(context, async ({ api }, { output, options }) => {
        const query = afterOf(options.after);
        const page = await api.call(IMAGE_FINDINGS_API.listPatientDisagreements, { query });
        const rows = page.disagreements.map(({ disagreementId, studyInstanceUid, sopInstanceUid, attributes }) => [
          disagreementId,
          studyInstanceUid,
          sopInstanceUid,
          attributes.join(', '),
        ]);
        output.result(page, `${table([['id', 'study', 'first instance', 'differs in'], ...rows])}${more(page.next)}`);
      }),
    );
}

function afterOf(after: number | undefined): { after?: string } {
  return after === undefined ? {} : { after: String(after) };
}

function more(next: string | undefined): string {
  return next === undefined ? '' : `\nThere are more: --after ${next}.`;
}
