/** `lantern site deploy | deployments | stop-deployment | consultations | trust-ehr`: a model version at the bedside. */
import { readFile } from 'node:fs/promises';
import { AppError, type NewCdsClient, SITE_API } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { requireFile } from '../cli/file-fault.ts';
import { table } from '../cli/output.ts';
import { idArgument } from './id-argument.ts';

export function deploymentCommands(context: CommandContext): Command[] {
  return [
    deployCommand(context),
    listCommand(context),
    stopCommand(context),
    consultationsCommand(context),
    trustCommand(context),
  ];
}

type DeployOptions = CommonOptions & { service: string; reason: string };

function deployCommand(context: CommandContext): Command {
  return withConnection(new Command('deploy'))
    .description("check the signature and this site's policy, then serve a model version as a CDS Hooks service")
    .argument('<model version id>')
    .requiredOption('--service <id>', 'id of the CDS Hooks service, e.g. heart-disease')
    .requiredOption('--reason <text>', 'why, for the record')
    .action(
      connected<DeployOptions>(context, async ({ api, url }, { output, options, args: [modelVersionId] }) => {
        const deployment = await api.call(SITE_API.deploy, {
          body: {
            modelVersionId: idArgument('ModelVersionId', modelVersionId),
            serviceId: options.service,
            reason: options.reason,
          },
        });
        output.result(
          deployment,
          `${deployment.model} version ${deployment.version} is ${deployment.state} at ${url}/cds-services/${deployment.serviceId}.`,
        );
      }),
    );
}

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('deployments'))
    .description('model versions at work here')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { deployments } = await api.call(SITE_API.listDeployments, {});
        const rows = deployments.map((one) => [
          one.deploymentId,
          one.serviceId,
          one.model,
          String(one.version),
          one.state,
          one.deployedAt,
          one.retirementNoticedAt === undefined ? '' : `retired at the hub (known since ${one.retirementNoticedAt})`,
        ]);
        output.result(
          { deployments },
          table([['deployment', 'service', 'model', 'version', 'state', 'since', 'warning'], ...rows]),
        );
      }),
    );
}

function stopCommand(context: CommandContext): Command {
  return withConnection(new Command('stop-deployment'))
    .description('take a model version out of use at once')
    .argument('<deployment id>')
    .action(
      connected(context, async ({ api }, { output, args: [deploymentId] }) => {
        const deployment = await api.call(SITE_API.stopDeployment, {
          params: { deploymentId: idArgument('DeploymentId', deploymentId) },
        });
        output.result(deployment, `${deployment.serviceId} is ${deployment.state}.`);
      }),
    );
}

function consultationsCommand(context: CommandContext): Command {
  return withConnection(new Command('consultations'))
    .description('answered requests and what clinicians did with them')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { consultations } = await api.call(SITE_API.listConsultations, {});
        const rows = consultations.map(({ at, result, outcome, overrideCode, hasComment }) => {
          const reason = [overrideCode, hasComment ? 'with a comment in the record system' : undefined];
          return [at, result, outcome ?? '-', reason.filter((part) => part !== undefined).join(', ')];
        });
        output.result({ consultations }, table([['at', 'result', 'clinician', 'reason'], ...rows]));
      }),
    );
}

type TrustOptions = CommonOptions & { issuer: string; key: string; algorithm: string };

function trustCommand(context: CommandContext): Command {
  return withConnection(new Command('trust-ehr'))
    .description('trust an EHR to call the CDS services: its issuer name and public key')
    .requiredOption('--issuer <iss>', "iss of the EHR's tokens")
    .requiredOption('--key <file>', 'public key, PEM')
    .option('--algorithm <name>', 'EdDSA, ES256, ES384 or RS384', 'ES384')
    .action(
      connected<TrustOptions>(context, async ({ api }, { output, options }) => {
        await requireFile(options.key);
        const publicKeyPem = await readFile(options.key, 'utf8');
        await api.call(SITE_API.registerCdsClient, {
          body: { issuer: options.issuer, publicKeyPem, algorithm: algorithmOf(options.algorithm) },
        });
        output.result({ trusted: options.issuer }, `${options.issuer} may call the CDS services of this site.`);
      }),
    );
}

function algorithmOf(text: string): NewCdsClient['algorithm'] {
  if (text === 'EdDSA' || text === 'ES256' || text === 'ES384' || text === 'RS384') return text;
  throw new AppError('input.invalid', '--algorithm is EdDSA, ES256, ES384 or RS384.');
}
