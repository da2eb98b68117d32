/** `lantern dicom verify`: whether an archive still has what its index says. */
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { type Problem, verifyFolder } from '@lantern/site';
import { Command } from 'commander';
import { type CommandContext, outputOf, withJson } from '../cli/command-context.ts';

type VerifyOptions = { fast?: boolean; databaseUrl?: string; json?: boolean };

const WORDS: Readonly<Record<Problem['kind'], string>> = {
  missing: 'the file is missing',
  size: 'the file is longer or shorter than it was',
  content: 'the content has changed',
  'unknown-file': 'no row of the index names the file',
};

export function dicomVerifyCommand(context: CommandContext): Command {
  return withJson(new Command('verify'))
    .description('compare every file of an archive with its index: presence, length, SHA-256; changes nothing')
    .argument('<folder>', 'of `lantern dicom serve`, or the data folder of a site; stop that first')
    .option('--fast', 'do not read the files, compare their lengths alone')
    .option('--database-url <url>', 'where the index is, if not in the folder')
    .action(async (folder: string, options: VerifyOptions) => {
      const output = outputOf(context, options);
      const progress = output.progress('verified');
      const found = await verifyFolder({
        dataDir: path.resolve(folder),
        databaseUrl: options.databaseUrl,
        hashes: options.fast !== true,
        onProgress: (done, total) => progress.update(done, total),
        signal: context.signal,
      }).finally(() => progress.end());
      const { instanceCount, conflictCount, disagreeingStudyCount, sizeBytes, problems } = found;
      const lines = problems.map(({ kind, file }) => `${file}: ${WORDS[kind]}`);
      const summary = `${instanceCount} instances and ${conflictCount} conflicts, ${sizeBytes} bytes; ${problems.length} problems.`;
      const toLookAt =
        disagreeingStudyCount === 0
          ? []
          : [
              `${disagreeingStudyCount} studies have an instance that says another patient: lantern images disagreements.`,
            ];
      output.result(found, [...lines, ...toLookAt, summary].join('\n'));
      if (problems.length > 0)
        throw new AppError('storage.corrupt', `${problems.length} files are not as the index says.`);
    });
}
