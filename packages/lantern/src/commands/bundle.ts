/** `lantern bundle`: build an algorithm bundle from a specification, register it at the hub. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  AppError,
  type BundleManifest,
  BundleManifestSchema,
  canonicalJson,
  type Digest,
  HUB_API,
  ModelSpecSchema,
} from '@lantern/contract';
import { type BuiltBundle, buildAnalysisBundle, buildGraphBundle } from '@lantern/runner';
import { makeNamedFolder, sha256 } from '@lantern/service';
import { Command } from 'commander';
import { type Static, Type } from 'typebox';
import {
  type CommandContext,
  type CommonOptions,
  connected,
  outputOf,
  withConnection,
  withJson,
} from '../cli/command-context.ts';
import type { Connection } from '../cli/connection.ts';
import { readJsonFile } from '../cli/json-file.ts';
import { table } from '../cli/output.ts';
import { uploadBytes } from '../cli/upload.ts';

const head = { name: Type.String(), version: Type.String(), description: Type.String() };
const BundleSpecSchema = Type.Union([
  Type.Object(
    {
      ...head,
      kind: Type.Literal('analysis'),
      analysis: Type.Object({ kind: Type.String() }, { additionalProperties: true }),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      ...head,
      kind: Type.Literal('graph'),
      model: ModelSpecSchema,
      seed: Type.Optional(Type.Integer({ minimum: 0 })),
      firstWeights: Type.Optional(Type.Literal('zeros')),
    },
    { additionalProperties: false },
  ),
]);
export type BundleSpec = Static<typeof BundleSpecSchema>;

const MANIFEST_FILE = 'manifest.json';

export function bundleCommand(context: CommandContext): Command {
  return new Command('bundle')
    .description('algorithms as bundles: manifest and content, named by digest')
    .addCommand(buildCommand(context))
    .addCommand(pushCommand(context))
    .addCommand(listCommand(context));
}

function buildCommand(context: CommandContext): Command {
  return withJson(new Command('build'))
    .description('build a bundle from a specification: a built-in analysis, or a network as ONNX training graph')
    .argument('<specification>', 'JSON file')
    .requiredOption('--out <dir>', 'folder for manifest and content')
    .action(async (file: string, options: CommonOptions & { out: string }) => {
      const bundle = buildBundle(await readJsonFile(file, BundleSpecSchema, 'Bundle specification'));
      await makeNamedFolder(options.out);
      await writeFile(path.join(options.out, MANIFEST_FILE), canonicalJson(bundle.manifest));
      for (const [name, bytes] of bundle.files) await writeFile(path.join(options.out, name), bytes);
      outputOf(context, options).result(
        { bundleDigest: bundle.bundleDigest, manifest: bundle.manifest },
        `${bundle.manifest.name} ${bundle.manifest.version}: ${bundle.bundleDigest}`,
      );
    });
}

function buildBundle(spec: BundleSpec): BuiltBundle {
  const { name, version, description } = spec;
  if (spec.kind === 'graph') {
    const { model, seed, firstWeights } = spec;
    if ((seed === undefined) === (firstWeights === undefined))
      throw new AppError('input.invalid', 'Bundle specification: give either seed or firstWeights.', {
        field: '/seed',
      });
    const first = seed === undefined ? ({ firstWeights: 'zeros' } as const) : { seed };
    return buildGraphBundle({ name, version, description, model, ...first });
  }
  return buildAnalysisBundle({ name, version, description, analysis: spec.analysis });
}

function pushCommand(context: CommandContext): Command {
  return withConnection(new Command('push'))
    .description('register a built bundle at the hub')
    .argument('<dir>')
    .action(
      connected(context, async (connection, { output, args: [dir = ''] }) => {
        const manifest = await readJsonFile(path.join(dir, MANIFEST_FILE), BundleManifestSchema, 'Bundle manifest');
        const files = new Map<string, Uint8Array>();
        for (const file of filesOf(manifest)) files.set(file.path, await readFile(path.join(dir, file.path)));
        const bundleDigest = await pushBundle(connection, { manifest, files });
        output.result({ bundleDigest }, bundleDigest);
      }),
    );
}

/** Uploads the files of a bundle and registers its manifest; what is there already is not sent again. */
export async function pushBundle(
  connection: Connection,
  bundle: { manifest: BundleManifest; files: ReadonlyMap<string, Uint8Array> },
): Promise<Digest> {
  for (const file of filesOf(bundle.manifest)) {
    const bytes = bundle.files.get(file.path);
    if (bytes === undefined || sha256(bytes) !== file.digest) {
      throw new AppError('bundle.invalid', `File ${file.path} is not the one the manifest names.`);
    }
    await uploadBytes(connection, { offset: HUB_API.uploadOffset, append: HUB_API.appendUpload }, bytes);
  }
  return (await connection.api.call(HUB_API.createBundle, { body: bundle.manifest })).bundleDigest;
}

function filesOf(manifest: BundleManifest): readonly { path: string; digest: Digest }[] {
  return manifest.kind === 'graph' ? manifest.files : [];
}

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('list'))
    .description('bundles registered at the hub')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { bundles } = await api.call(HUB_API.listBundles, {});
        const rows = bundles.map(({ bundleDigest, manifest }) => [
          manifest.name,
          manifest.version,
          manifest.kind,
          bundleDigest,
        ]);
        output.result({ bundles }, table([['bundle', 'version', 'kind', 'digest'], ...rows]));
      }),
    );
}
