/** `lantern images preview`: what a de-identification profile would do to a stored study. */
import { readFile } from 'node:fs/promises';
import { AppError, type DeidentificationPreview, RESEARCH_IMAGES_API } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { table } from '../cli/output.ts';

type Options = CommonOptions & { profile?: string };

export function previewCommand(context: CommandContext): Command {
  return withConnection(new Command('preview'))
    .description('what a profile would remove, keep and replace in a stored study; no copy is written')
    .argument('<StudyInstanceUID>')
    .option('--profile <file>', 'the profile as JSON (default: the one that keeps least)')
    .action(
      connected<Options>(context, async ({ api }, { output, options, args: [studyInstanceUid = ''] }) => {
        const profile = options.profile === undefined ? {} : await readProfile(options.profile);
        const preview = await api.call(RESEARCH_IMAGES_API.previewDeidentification, {
          body: { studyInstanceUid, profile },
        });
        output.result(preview, preview.series.map(seriesText).join('\n\n'));
      }),
    );
}

async function readProfile(file: string): Promise<Record<string, unknown>> {
  const text = await readFile(file, 'utf8');
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return Object.fromEntries(Object.entries(value));
  } catch {
    // It is said below, without what the parser quotes of the file.
  }
  throw new AppError('input.invalid', `${file}: a profile is a JSON object.`);
}

function seriesText({
  modality,
  seriesNumber,
  instanceCount,
  reasons,
  report,
  kept,
}: DeidentificationPreview['series'][number]) {
  const entries = report?.entries.map(({ path, action, rule }) => [path, action, rule]) ?? [];
  return [
    `Series ${seriesNumber ?? '-'}, ${modality}, ${instanceCount} images, of which one was tried`,
    ...(reasons.length === 0 ? [] : [`It would be held back: ${reasons.join(', ')}`]),
    table([['element', 'action', 'rule'], ...entries]),
    `kept as they are: ${kept.join(', ')}`,
  ].join('\n');
}
