/** `lantern images`: copies for research, what was held back, opt-outs, and what to look at in the archive. Speaks to a running site. */
import { readFile } from 'node:fs/promises';
import {
  AppError,
  type CollectionFault,
  type ImageCollection,
  type NewImageCollection,
  NewImageCollectionSchema,
  OPT_OUT_LISTS,
  type OptOutListName,
  type OptOutStatus,
  RESEARCH_IMAGES_API,
} from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { readJsonFile } from '../cli/json-file.ts';
import { table } from '../cli/output.ts';
import { idArgument } from './id-argument.ts';
import { exportCommand } from './images-export.ts';
import { conflictsCommand, disagreementsCommand } from './images-findings.ts';
import { previewCommand } from './images-preview.ts';
import { quarantineCommand } from './images-quarantine.ts';

export function imagesCommand(context: CommandContext): Command {
  return new Command('images')
    .description('de-identified copies of images for research, and what a person has to look at in the archive')
    .addCommand(
      new Command('collection')
        .description('which studies are copied, how, and how far that is')
        .addCommand(createCommand(context))
        .addCommand(decisionCommand(context, 'approve'))
        .addCommand(decisionCommand(context, 'withdraw'))
        .addCommand(retryCommand(context))
        .addCommand(listCommand(context))
        .addCommand(statusCommand(context))
        .addCommand(reportCommand(context))
        .addCommand(exportCommand(context)),
    )
    .addCommand(quarantineCommand(context))
    .addCommand(previewCommand(context))
    .addCommand(conflictsCommand(context))
    .addCommand(disagreementsCommand(context))
    .addCommand(
      new Command('opt-outs')
        .description('patients who opted out of research')
        .addCommand(loadCommand(context))
        .addCommand(optOutStatusCommand(context)),
    );
}

function createCommand(context: CommandContext): Command {
  return withConnection(new Command('create'))
    .description(
      'describe a collection as JSON: name, projectId, profile, series, studies (docs/images-for-governance.md);\n' +
        'a name that was used before makes its next version. Nothing is copied before governance approves it',
    )
    .argument('<file>')
    .action(
      connected(context, async ({ api }, { output, args: [file = ''] }) => {
        const body: NewImageCollection = await readJsonFile(file, NewImageCollectionSchema, 'Image collection');
        const made = await api.call(RESEARCH_IMAGES_API.createImageCollection, { body });
        output.result(made, `${made.name} version ${made.version} is a draft: ${made.collectionId}.`);
      }),
    );
}

const DECISIONS = {
  approve: {
    operation: RESEARCH_IMAGES_API.approveImageCollection,
    description: 'let the copies be made, of studies that are here and of those that will arrive',
  },
  withdraw: {
    operation: RESEARCH_IMAGES_API.withdrawImageCollection,
    description: 'end a version of a collection and remove its copies',
  },
} as const;

function decisionCommand(context: CommandContext, name: keyof typeof DECISIONS): Command {
  const { operation, description } = DECISIONS[name];
  return withConnection(new Command(name))
    .description(description)
    .argument('<collection id>')
    .requiredOption('--reason <text>', 'why, for the record; no patient data')
    .action(
      connected<CommonOptions & { reason: string }>(context, async ({ api }, { output, options, args: [id] }) => {
        const params = { collectionId: idArgument('ImageCollectionId', id) };
        const decided = await api.call(operation, { params, body: { reason: options.reason } });
        output.result(decided, `${decided.name} version ${decided.version} is ${decided.state}.`);
      }),
    );
}

function retryCommand(context: CommandContext): Command {
  return withConnection(new Command('retry'))
    .description('try again the studies, the filling or the removal that failed for good, once the cause is mended')
    .argument('<collection id>')
    .action(
      connected(context, async ({ api }, { output, args: [id] }) => {
        const params = { collectionId: idArgument('ImageCollectionId', id) };
        const collection = await api.call(RESEARCH_IMAGES_API.retryImageCollection, { params });
        output.result(collection, summaryOf(collection));
      }),
    );
}

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('list'))
    .description('every version of every collection')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { collections } = await api.call(RESEARCH_IMAGES_API.listImageCollections, {});
        const rows = collections.map((one) => [
          one.collectionId,
          one.name,
          String(one.version),
          one.state,
          String(one.copies.doneStudies),
          String(one.copies.copiedInstances),
          String(one.copies.heldInstances),
          String(one.copies.failedStudies),
        ]);
        output.result(
          { collections },
          table([['collection', 'name', 'version', 'state', 'studies', 'images', 'held back', 'failed'], ...rows]),
        );
      }),
    );
}

function statusCommand(context: CommandContext): Command {
  return withConnection(new Command('status'))
    .description('how far the copies of a collection are, and what its studies wait for')
    .argument('<collection id>')
    .action(
      connected(context, async ({ api }, { output, args: [id] }) => {
        const params = { collectionId: idArgument('ImageCollectionId', id) };
        const collection = await api.call(RESEARCH_IMAGES_API.readImageCollection, { params });
        const { studies } = await api.call(RESEARCH_IMAGES_API.listResearchStudies, { params });
        const rows = studies.map((one) => [
          one.studyKey,
          one.state,
          one.why ?? '',
          one.patient ?? '',
          String(one.copiedInstances),
          String(one.heldInstances),
          String(one.refusedInstances),
        ]);
        const head = ['study', 'state', 'why', 'pseudonym', 'copied', 'held', 'refused'];
        output.result({ collection, studies }, `${summaryOf(collection)}\n\n${table([head, ...rows])}`);
      }),
    );
}

const STEPS: Readonly<Record<CollectionFault['step'], string>> = {
  fill: 'Studies that are here already could not be looked for',
  remove: 'The copies could not be removed',
};

function summaryOf({ collectionId, name, version, state, copies, fault }: ImageCollection): string {
  const { doneStudies, pendingStudies, waitingStudies, optedOutStudies, copiedInstances, heldInstances } = copies;
  const { failedStudies } = copies;
  const retry = `lantern images collection retry ${collectionId}`;
  return [
    `${name} version ${version}: ${state}`,
    `${doneStudies} studies done, ${pendingStudies} to do, ${waitingStudies} waiting, ${optedOutStudies} opted out`,
    `${copiedInstances} images copied, ${heldInstances} held back`,
    ...(failedStudies === 0 ? [] : [`${failedStudies} studies failed; the log of the site says why. Then: ${retry}`]),
    ...(fault === undefined ? [] : [`${STEPS[fault.step]} [${fault.code}]. When the cause is mended: ${retry}`]),
  ].join('\n');
}

function reportCommand(context: CommandContext): Command {
  return withConnection(new Command('report'))
    .description('every action of the de-identification on a study of a collection')
    .argument('<collection id>')
    .argument('<study>', 'its number, as `status` prints it')
    .action(
      connected(context, async ({ api }, { output, args: [id, studyKey = ''] }) => {
        const params = { collectionId: idArgument('ImageCollectionId', id), studyKey };
        const report = await api.call(RESEARCH_IMAGES_API.readStudyReport, { params });
        const parts = report.reports.map(({ sopInstanceUids, report: { entries, keptCount, methodCodes } }) =>
          [
            `${sopInstanceUids.length} images alike (methods ${methodCodes.join(', ')}; ${keptCount} elements kept)`,
            table([['element', 'action', 'rule'], ...entries.map(({ path, action, rule }) => [path, action, rule])]),
          ].join('\n'),
        );
        const held = report.heldBack.map((one) => `${one.quarantineId} ${one.state}: ${one.reasons.join(', ')}`);
        output.result(report, [...parts, ...held].join('\n\n'));
      }),
    );
}

type LoadOptions = CommonOptions & { asOf?: string };

function loadCommand(context: CommandContext): Command {
  return withConnection(new Command('load'))
    .description('replace a list: one number a line, a comma after it or not; their copies are removed')
    .argument('<list>', OPT_OUT_LISTS.join(' or '))
    .argument('<file>')
    .option('--as-of <time>', 'when the list was true, ISO 8601 (default: now)')
    .action(
      connected<LoadOptions>(context, async ({ api }, { output, options, args: [list = '', file = ''] }) => {
        const entries = (await readFile(file, 'utf8')).split(/[\r\n,]+/).filter((line) => line.trim() !== '');
        const status = await api.call(RESEARCH_IMAGES_API.loadOptOuts, {
          params: { list: listArgument(list) },
          body: { asOf: timeOf(options.asOf), entries },
        });
        output.result(status, optOutText(status));
      }),
    );
}

function listArgument(text: string): OptOutListName {
  const list = OPT_OUT_LISTS.find((name) => name === text);
  if (list === undefined) throw new AppError('input.invalid', `The list is ${OPT_OUT_LISTS.join(' or ')}.`);
  return list;
}

function timeOf(text: string | undefined): string {
  const time = text === undefined ? new Date() : new Date(text);
  if (Number.isNaN(time.getTime())) throw new AppError('input.invalid', '--as-of is no time.');
  return time.toISOString();
}

function optOutStatusCommand(context: CommandContext): Command {
  return withConnection(new Command('status'))
    .description('how old the lists are; who is on them is not told')
    .action(
      connected(context, async ({ api }, { output }) => {
        const status = await api.call(RESEARCH_IMAGES_API.readOptOuts, {});
        output.result(status, optOutText(status));
      }),
    );
}

function optOutText({ open, ageDaysMax, lists }: OptOutStatus): string {
  const rows = lists.map(({ list, asOf, entryCount, isStale }) => [
    list,
    asOf ?? 'never loaded',
    String(entryCount),
    isStale ? `missing or older than ${ageDaysMax} days` : '',
  ]);
  const verdict = open ? 'Research copies are made.' : 'No research copy is made before a newer list is loaded.';
  return `${table([['list', 'as of', 'entries', 'warning'], ...rows])}\n${verdict}`;
}
