/** `lantern hub`: run the coordinating process; invite and revoke sites. */
import { HUB_API } from '@lantern/contract';
import { HUB_CONFIG_SECRETS, HubConfigSchema, startHub } from '@lantern/hub';
import { loadConfig, redactConfig } from '@lantern/service';
import { Command } from 'commander';
import { type CommandContext, connected, outputOf, withConnection, withJson } from '../cli/command-context.ts';
import { settingNumber } from '../cli/number-option.ts';
import { table } from '../cli/output.ts';
import { readSettings, serve } from '../cli/serve.ts';
import { idArgument } from './id-argument.ts';

type ServeOptions = { data?: string; port?: string; host?: string; name?: string; config?: string; json?: boolean };

export function hubCommand(context: CommandContext): Command {
  const hub = withJson(new Command('hub'))
    .description('run the hub: projects, runs, registry; it never sees a patient row')
    .option('--data <dir>', 'data folder (made if missing)')
    .option('--port <number>', 'port to listen on (0: any free one)')
    .option('--host <address>', 'address to listen on')
    .option('--name <text>', 'name the hub shows to sites')
    .option('--config <file>', 'settings as JSON; environment LANTERN_HUB_… and options win over it')
    .action(async (options: ServeOptions) => {
      const settings = loadConfig({
        schema: HubConfigSchema,
        fileText: await readSettings(options.config),
        env: context.env,
        prefix: 'LANTERN_HUB_',
        overrides: overridesOf(options),
      });
      await serve(context, outputOf(context, options), {
        what: 'hub',
        dataDir: settings.dataDir,
        settings: redactConfig(settings, HUB_CONFIG_SECRETS),
        start: () => startHub(settings),
      });
    });
  hub.addCommand(inviteCommand(context));
  hub.addCommand(sitesCommand(context));
  hub.addCommand(revokeCommand(context));
  return hub;
}

function overridesOf(options: ServeOptions): Record<string, string | number> {
  return {
    ...(options.data === undefined ? {} : { dataDir: options.data }),
    ...(options.port === undefined ? {} : { httpPort: settingNumber(options.port) }),
    ...(options.host === undefined ? {} : { httpHost: options.host }),
    ...(options.name === undefined ? {} : { hubName: options.name }),
  };
}

function inviteCommand(context: CommandContext): Command {
  return withConnection(new Command('invite'))
    .description('create a one-time code with which one site may join')
    .argument('<site name>')
    .action(
      connected(context, async ({ api }, { output, args: [siteName = ''] }) => {
        const invitation = await api.call(HUB_API.createEnrolmentCode, { body: { siteName } });
        output.result(invitation, `${invitation.code}\n(one time, for ${siteName}, until ${invitation.expiresAt})`);
      }),
    );
}

function sitesCommand(context: CommandContext): Command {
  return withConnection(new Command('sites'))
    .description('enrolled sites and the datasets they offer')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { sites } = await api.call(HUB_API.listSites, {});
        const rows = sites.map((site) => [
          site.name,
          site.siteId,
          site.state,
          site.lastSeenAt ?? 'never',
          site.datasets.map((offer) => offer.schema.name).join(', '),
        ]);
        output.result({ sites }, table([['site', 'id', 'state', 'last seen', 'datasets'], ...rows]));
      }),
    );
}

function revokeCommand(context: CommandContext): Command {
  return withConnection(new Command('revoke'))
    .description('revoke a site: its requests are refused from now on')
    .argument('<site id>')
    .action(
      connected(context, async ({ api }, { output, args: [siteId] }) => {
        await api.call(HUB_API.revokeSite, { params: { siteId: idArgument('SiteId', siteId) } });
        output.result({ revoked: siteId }, `Revoked ${siteId}.`);
      }),
    );
}
