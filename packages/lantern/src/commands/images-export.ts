/**
 * `lantern images collection export`: the copies of a collection in a folder, with `manifest.json`, for programs that read files. What
 * is there already and whole is not fetched again, so that an export that broke off goes on.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  AppError,
  type ImageCollectionId,
  type ImageManifest,
  type ManifestStudy,
  pathOf,
  RESEARCH_IMAGES_API,
} from '@lantern/contract';
import { makeNamedFolder } from '@lantern/service';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import type { Connection } from '../cli/connection.ts';
import { idArgument } from './id-argument.ts';

type Options = CommonOptions & { to: string; volumes?: boolean };
type Series = ManifestStudy['series'][number];
type Volume = { readonly seriesInstanceUid: string; readonly file: string };

export function exportCommand(context: CommandContext): Command {
  return withConnection(new Command('export'))
    .description('fetch the copies of a collection into a folder, with manifest.json')
    .argument('<collection id>')
    .requiredOption('--to <folder>', 'made if missing')
    .option('--volumes', 'also as .nii.gz, each series that makes a volume')
    .action(
      connected<Options>(context, async (connection, { output, options, args: [id], signal }) => {
        const collectionId = idArgument('ImageCollectionId', id);
        const studies = await manifestOf(connection, collectionId);
        const instances = studies.flatMap(({ series }) => series.flatMap((one) => one.instances));
        const progress = output.progress('Export');
        for (const [index, instance] of instances.entries()) {
          signal.throwIfAborted();
          const { sopInstanceUid, sha256 } = instance;
          const target = placeOf(options.to, instance.file);
          const from = pathOf(RESEARCH_IMAGES_API.readResearchInstance, { collectionId, sopInstanceUid });
          if ((await digestOf(target)) !== sha256) await fetchFile(connection, from, target);
          if ((await digestOf(target)) !== sha256)
            throw new AppError('input.digest-mismatch', 'A copy changed on the way.');
          progress.update(index + 1, instances.length);
        }
        const series = studies.flatMap((study) => study.series);
        const volumes =
          options.volumes === true ? await exportVolumes(connection, collectionId, { series, to: options.to }) : [];
        const manifest = { collectionId, studies, volumes };
        await makeNamedFolder(options.to);
        await writeFile(path.join(options.to, 'manifest.json'), `${JSON.stringify(manifest, null, 1)}\n`);
        progress.end();
        const counts = { studies: studies.length, images: instances.length, volumes: volumes.length };
        output.result(
          counts,
          `${counts.studies} studies, ${counts.images} images, ${counts.volumes} volumes in ${options.to}.`,
        );
      }),
    );
}

async function manifestOf({ api }: Connection, collectionId: ImageCollectionId): Promise<ManifestStudy[]> {
  const studies: ManifestStudy[] = [];
  for (let after: string | undefined; ; ) {
    const query = after === undefined ? {} : { after };
    const page: ImageManifest = await api.call(RESEARCH_IMAGES_API.readImageManifest, {
      params: { collectionId },
      query,
    });
    studies.push(...page.studies);
    if (page.next === undefined) return studies;
    after = page.next;
  }
}

async function exportVolumes(
  connection: Connection,
  collectionId: ImageCollectionId,
  { series, to }: { series: readonly Series[]; to: string },
): Promise<Volume[]> {
  const volumes: Volume[] = [];
  for (const { seriesInstanceUid, volume, instances } of series) {
    const [first] = instances;
    if (volume.kind === 'none' || first === undefined) continue;
    const file = `${path.posix.dirname(first.file)}.nii.gz`;
    const from = pathOf(RESEARCH_IMAGES_API.readResearchVolume, { collectionId, seriesInstanceUid });
    await fetchFile(connection, from, placeOf(to, file));
    volumes.push({ seriesInstanceUid, file });
  }
  return volumes;
}

/** Below the folder, whatever the other side says. */
function placeOf(folder: string, file: string): string {
  const parts = file.split('/');
  if (parts.some((part) => !/^[A-Za-z0-9][A-Za-z0-9.]*$/.test(part)))
    throw new AppError('input.invalid', 'The manifest names a file that is none.');
  return path.join(folder, ...parts);
}

/** Whole or not at all. */
async function fetchFile({ http }: Connection, from: string, target: string): Promise<void> {
  await makeNamedFolder(path.dirname(target));
  const part = `${target}.part`;
  const handle = await open(part, 'w', 0o600);
  try {
    const { body } = await http.download(from);
    await pipeline(body, handle.createWriteStream());
    await rename(part, target);
  } catch (caught) {
    await rm(part, { force: true });
    throw caught;
  }
}

async function digestOf(file: string): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(file)) hash.update(chunk);
  } catch (caught) {
    if (caught instanceof Error && 'code' in caught && caught.code === 'ENOENT') return undefined;
    throw caught;
  }
  return hash.digest('hex');
}
