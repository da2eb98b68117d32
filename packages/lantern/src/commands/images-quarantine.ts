/** `lantern images quarantine`: look at what de-identification held back, and decide on it. */
import { writeFile } from 'node:fs/promises';
import { AppError, type PixelStatement, pathOf, type Quarantined, RESEARCH_IMAGES_API } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import type { Connection } from '../cli/connection.ts';
import { numberOption } from '../cli/number-option.ts';
import { table } from '../cli/output.ts';
import { idArgument } from './id-argument.ts';

export function quarantineCommand(context: CommandContext): Command {
  return new Command('quarantine')
    .description('images that were held back for a person')
    .addCommand(listCommand(context))
    .addCommand(showCommand(context))
    .addCommand(releaseCommand(context))
    .addCommand(refuseCommand(context));
}

type ListOptions = CommonOptions & { state: string };

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('list'))
    .description('what waits, and why')
    .option('--state <state>', 'held, released or refused', 'held')
    .action(
      connected<ListOptions>(context, async ({ api }, { output, options }) => {
        const query = { state: stateOf(options.state) };
        const page = await api.call(RESEARCH_IMAGES_API.listQuarantine, { query });
        const rows = page.items.map((item) => [
          item.quarantineId,
          item.modality,
          sizeText(item),
          item.reasons.join(', '),
          item.releasable ? '' : 'can only be refused',
        ]);
        const more = page.next === undefined ? '' : '\nThere are more; decide on these first.';
        output.result(page, `${table([['id', 'modality', 'size', 'why', ''], ...rows])}${more}`);
      }),
    );
}

function stateOf(text: string): Quarantined['state'] {
  if (text === 'held' || text === 'released' || text === 'refused') return text;
  throw new AppError('input.invalid', '--state is held, released or refused.');
}

function sizeText({ rows, columns, frameCount }: Quarantined): string {
  const frames = frameCount === 1 ? '' : ` x ${frameCount} frames`;
  return columns === undefined || rows === undefined ? '-' : `${columns} x ${rows}${frames}`;
}

type ShowOptions = CommonOptions & { picture?: string; frame: number };

function showCommand(context: CommandContext): Command {
  return withConnection(new Command('show'))
    .description(
      'one image: why it waits, what would be done to its header; --picture shows it as it is, patient and all',
    )
    .argument('<id>')
    .option('--picture <file>', 'write a frame as PNG to this file')
    .option('--frame <number>', 'which frame, from 1', numberOption, 1)
    .action(
      connected<ShowOptions>(context, async (connection, { output, options, args: [id] }) => {
        const quarantineId = idArgument('QuarantineId', id);
        const detail = await connection.api.call(RESEARCH_IMAGES_API.readQuarantined, { params: { quarantineId } });
        if (options.picture !== undefined) {
          const picture = await pictureOf(connection, quarantineId, options.frame);
          await writeFile(options.picture, picture, { mode: 0o600 });
        }
        const { item, planned, sameContentCount } = detail;
        const entries = planned?.entries.map(({ path, action, rule }) => [path, action, rule]) ?? [];
        output.result(
          detail,
          [
            `${item.modality}, ${sizeText(item)}: ${item.reasons.join(', ')} (${item.state})`,
            item.releasable ? 'A word on its pixels lets it pass.' : 'It can only be refused.',
            `A decision is for ${sameContentCount} with this content.`,
            ...(options.picture === undefined ? [] : [`Frame ${options.frame} is in ${options.picture}.`]),
            table([['element', 'action', 'rule'], ...entries]),
          ].join('\n'),
        );
      }),
    );
}

async function pictureOf({ http }: Connection, quarantineId: string, frame: number): Promise<Buffer> {
  const path = pathOf(RESEARCH_IMAGES_API.renderQuarantined, { quarantineId });
  const { body } = await http.download(`${path}?frame=${frame}`);
  return Buffer.concat(await body.toArray());
}

/** Commander turns `--no-text` into `text: false`. */
type ReleaseOptions = CommonOptions & { text: boolean; region: string[] };

function releaseCommand(context: CommandContext): Command {
  return withConnection(new Command('release'))
    .description('let an image pass, after looking at every frame that matters; say one of both:')
    .argument('<id>')
    .option('--no-text', 'nothing in its pixels tells who the patient is')
    .option(
      '--region <x,y,width,height>',
      'what tells it lies here and is blacked out in every frame; repeat for more',
      (text: string, earlier: string[]) => [...earlier, text],
      [],
    )
    .action(
      connected<ReleaseOptions>(context, async ({ api }, { output, options, args: [id] }) => {
        const item = await api.call(RESEARCH_IMAGES_API.releaseQuarantined, {
          params: { quarantineId: idArgument('QuarantineId', id) },
          body: statementOf({ noText: !options.text, regions: options.region }),
        });
        output.result(item, `${item.quarantineId} is ${item.state}.`);
      }),
    );
}

function statementOf({ noText, regions }: { noText: boolean; regions: readonly string[] }): PixelStatement {
  if (noText === regions.length > 0) throw new AppError('input.invalid', 'Give either --no-text or --region.');
  return noText ? { kind: 'no-burnt-in-text' } : { kind: 'regions', regions: regions.map(regionOf) };
}

function regionOf(text: string) {
  const numbers = /^(\d+),(\d+),(\d+),(\d+)$/.exec(text)?.slice(1).map(Number);
  const [x, y, width, height] = numbers ?? [];
  if (x === undefined || y === undefined || width === undefined || height === undefined)
    throw new AppError('input.invalid', '--region is four whole numbers: x,y,width,height.');
  return { x, y, width, height };
}

function refuseCommand(context: CommandContext): Command {
  return withConnection(new Command('refuse'))
    .description('never copy this content; where it was released before, its copies are removed')
    .argument('<id>')
    .action(
      connected(context, async ({ api }, { output, args: [id] }) => {
        const params = { quarantineId: idArgument('QuarantineId', id) };
        const item = await api.call(RESEARCH_IMAGES_API.refuseQuarantined, { params });
        output.result(item, `${item.quarantineId} is ${item.state}.`);
      }),
    );
}
