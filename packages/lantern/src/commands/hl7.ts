/** `lantern hl7`: send and receive HL7 v2 messages, and see what became of those of a site. The first two need neither hub nor site. */
import { AppError, type FeedMessage, SITE_API } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { table } from '../cli/output.ts';
import { hl7ListenCommand } from './hl7-listen.ts';
import { hl7SendCommand } from './hl7-send.ts';

type ListOptions = CommonOptions & { readonly state?: string; readonly after?: string; readonly limit?: string };
type RetryOptions = CommonOptions & { readonly all?: boolean };

export function hl7Command(context: CommandContext): Command {
  return new Command('hl7')
    .description('HL7 v2 messages')
    .addCommand(hl7ListenCommand(context))
    .addCommand(hl7SendCommand(context))
    .addCommand(listCommand(context))
    .addCommand(showCommand(context))
    .addCommand(retryCommand(context));
}

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('list'))
    .description("a site's messages and what became of each, without their content")
    .option('--state <state>', 'only those in it: received, mapped, mapped-with-warning, failed, ignored')
    .option('--after <sequence>', 'those behind this one')
    .option('--limit <count>', 'how many at most', '200')
    .action(
      connected<ListOptions>(context, async ({ api }, { output, options }) => {
        const { state, after, limit } = options;
        const query = {
          ...(state === undefined ? {} : { state }),
          ...(after === undefined ? {} : { after: sequenceOf(after) }),
          ...(limit === undefined ? {} : { limit: sequenceOf(limit) }),
        };
        const [{ counts }, { messages }] = await Promise.all([
          api.call(SITE_API.readFeed, {}),
          api.call(SITE_API.listFeedMessages, { query }),
        ]);
        const heads = ['number', 'received', 'type', 'sender', 'state', 'reasons'];
        const summary = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
        output.result({ counts, messages }, `${table([heads, ...messages.map(rowOf)])}\n${summary.join(', ')}`);
      }),
    );
}

function showCommand(context: CommandContext): Command {
  return withConnection(new Command('show'))
    .description('one message, without its content')
    .argument('<number>', 'as in the list')
    .action(
      connected<CommonOptions>(context, async ({ api }, { output, args: [number = ''] }) => {
        const message = await api.call(SITE_API.readFeedMessage, { params: { sequence: sequenceOf(number) } });
        const facts = Object.entries(message).map(([name, value]) => [
          name,
          typeof value === 'object' ? JSON.stringify(value) : String(value),
        ]);
        output.result(message, table([['field', 'value'], ...facts]));
      }),
    );
}

function retryCommand(context: CommandContext): Command {
  return withConnection(new Command('retry'))
    .description('map failed messages again: one, or all of them')
    .argument('[number]', 'as in the list')
    .option('--all', 'every one that failed, in the order in which they came')
    .action(
      connected<RetryOptions>(context, async ({ api }, { output, options, args: [number] }) => {
        if ((number === undefined) === (options.all !== true)) {
          throw new AppError('input.invalid', 'Name one message, or say --all.', { field: 'number' });
        }
        if (number === undefined) {
          const { retriedCount } = await api.call(SITE_API.retryFeed, {});
          output.result({ retriedCount }, `${retriedCount} messages are mapped again.`);
          return;
        }
        const message = await api.call(SITE_API.retryFeedMessage, { params: { sequence: sequenceOf(number) } });
        output.result(message, `Message ${message.sequence} is mapped again.`);
      }),
    );
}

function sequenceOf(text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0 && text.trim() !== '') return number;
  throw new AppError('input.invalid', 'A number of messages is a whole number.', { field: 'number' });
}

function rowOf({
  sequence,
  receivedAt,
  messageCode,
  triggerEvent,
  sendingApplication,
  sendingFacility,
  state,
  reasons,
}: FeedMessage): string[] {
  const sender = [sendingApplication, sendingFacility].filter((part) => part !== '').join(' at ');
  const why = reasons.map(({ rule, place }) => (place === undefined ? rule : `${place} ${rule}`));
  return [String(sequence), receivedAt, `${messageCode}^${triggerEvent}`, sender, state, why.join('; ')];
}
