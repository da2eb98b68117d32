/** `lantern model`: the registry of signed model versions. */
import { HUB_API, NewModelVersionSchema, parse, type RegisteredModelVersion } from '@lantern/contract';
import { Command } from 'commander';
import { Type } from 'typebox';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { readJsonFile } from '../cli/json-file.ts';
import { table } from '../cli/output.ts';
import { idArgument } from './id-argument.ts';

export function modelCommand(context: CommandContext): Command {
  return new Command('model')
    .description('signed model versions with their lineage')
    .addCommand(releaseCommand(context))
    .addCommand(listCommand(context))
    .addCommand(showCommand(context))
    .addCommand(retireCommand(context));
}

/** As in the contract, but the run may be named on the command line instead. */
const ModelFileSchema = Type.Object(
  { ...NewModelVersionSchema.properties, runId: Type.Optional(Type.String()) },
  { additionalProperties: false },
);

function releaseCommand(context: CommandContext): Command {
  return withConnection(new Command('release'))
    .description('make a signed model version of a completed run')
    .argument('<file>', 'JSON: model name, inputs (codes and units), model card')
    .option('--run <run id>', 'the run, unless the file names it as runId')
    .action(
      connected<CommonOptions & { run?: string }>(context, async ({ api }, { output, options, args: [file = ''] }) => {
        const written = await readJsonFile(file, ModelFileSchema, 'Model version');
        const body = options.run === undefined ? written : { ...written, runId: idArgument('RunId', options.run) };
        const released = await api.call(HUB_API.releaseModelVersion, {
          body: parse(NewModelVersionSchema, body, { what: `Model version in ${file}` }),
        });
        output.result(released, describe(released));
      }),
    );
}

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('list'))
    .description('the registry')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { modelVersions } = await api.call(HUB_API.listModelVersions, {});
        const rows = modelVersions.map((one) => [one.model, String(one.version), one.state, one.modelVersionId]);
        output.result({ modelVersions }, table([['model', 'version', 'state', 'id'], ...rows]));
      }),
    );
}

function showCommand(context: CommandContext): Command {
  return withConnection(new Command('show'))
    .description('one model version as signed: weights, features, lineage, metrics, card')
    .argument('<model version id>')
    .action(
      connected(context, async ({ api }, { output, args: [id] }) => {
        const one = await api.call(HUB_API.readModelVersion, {
          params: { modelVersionId: idArgument('ModelVersionId', id) },
        });
        const document: unknown = JSON.parse(Buffer.from(one.envelope.payload, 'base64').toString('utf8'));
        output.result({ ...one, document }, `${describe(one)}\n${JSON.stringify(document, null, 2)}`);
      }),
    );
}

function retireCommand(context: CommandContext): Command {
  return withConnection(new Command('retire'))
    .description('retire a model version: it can no longer be deployed')
    .argument('<model version id>')
    .action(
      connected(context, async ({ api }, { output, args: [id] }) => {
        const one = await api.call(HUB_API.retireModelVersion, {
          params: { modelVersionId: idArgument('ModelVersionId', id) },
        });
        output.result(one, describe(one));
      }),
    );
}

function describe(one: RegisteredModelVersion): string {
  return `${one.model} version ${one.version} (${one.modelVersionId}) is ${one.state}; signed by key ${one.envelope.signatures[0]?.keyid ?? '?'}.`;
}
