/** `lantern site`: run a hospital's node, join a hub, decide, offer datasets, deploy. */
import { SITE_API } from '@lantern/contract';
import { loadConfig, redactConfig } from '@lantern/service';
import { joinHub, requireLink, SITE_CONFIG_SECRETS, SiteConfigSchema, startSite } from '@lantern/site';
import { Command } from 'commander';
import { type CommandContext, connected, outputOf, withConnection, withJson } from '../cli/command-context.ts';
import { settingNumber } from '../cli/number-option.ts';
import { table } from '../cli/output.ts';
import { readSettings, serve } from '../cli/serve.ts';
import { datasetCommand } from './dataset.ts';
import { decisionCommands } from './decision.ts';
import { deploymentCommands } from './deployment.ts';

type SettingOptions = { data?: string; port?: string; host?: string; caFile?: string; config?: string; json?: boolean };
type JoinOptions = SettingOptions & { hub: string; code: string; name: string };

const CA_FILE = ['--ca-file <file>', 'authority that signed the certificate of the hub or of a proxy, PEM'] as const;

export function siteCommand(context: CommandContext): Command {
  const site = withJson(new Command('site'))
    .description("run a hospital's node: its data, its decisions, its deployments")
    .option('--data <dir>', 'data folder')
    .option('--port <number>', 'port to listen on inside the hospital (0: any free one)')
    .option('--host <address>', 'address to listen on inside the hospital')
    .option(...CA_FILE)
    .option('--config <file>', 'settings as JSON; environment LANTERN_SITE_… and options win over it')
    .action(async (options: SettingOptions) => {
      const settings = await siteSettings(context, options);
      await requireLink(settings.dataDir); // before a folder of a misspelt name is made
      await serve(context, outputOf(context, options), {
        what: 'site',
        dataDir: settings.dataDir,
        settings: redactConfig(settings, SITE_CONFIG_SECRETS),
        start: () => startSite(settings),
      });
    });
  site.addCommand(joinCommand(context));
  site.addCommand(datasetCommand(context));
  site.addCommand(activityCommand(context));
  site.addCommand(sentCommand(context));
  for (const command of [...decisionCommands(context), ...deploymentCommands(context)]) site.addCommand(command);
  return site;
}

async function siteSettings(context: CommandContext, options: SettingOptions) {
  return loadConfig({
    schema: SiteConfigSchema,
    fileText: await readSettings(options.config),
    env: context.env,
    prefix: 'LANTERN_SITE_',
    overrides: {
      ...(options.data === undefined ? {} : { dataDir: options.data }),
      ...(options.port === undefined ? {} : { httpPort: settingNumber(options.port) }),
      ...(options.host === undefined ? {} : { httpHost: options.host }),
      ...(options.caFile === undefined ? {} : { caFile: options.caFile }),
    },
  });
}

function joinCommand(context: CommandContext): Command {
  return withJson(new Command('join'))
    .description("make this site's key and enrol it at a hub with a one-time code")
    .requiredOption('--hub <url>', 'address of the hub')
    .requiredOption('--code <code>', 'one-time code from the hub')
    .requiredOption('--name <text>', 'name of this site, as the code was made for')
    .option('--data <dir>', 'data folder of this site (made if missing)')
    .option(...CA_FILE)
    .option('--config <file>', 'settings as JSON')
    .action(async (options: JoinOptions) => {
      const settings = await siteSettings(context, options);
      const link = await joinHub(settings, { hubUrl: options.hub, code: options.code, siteName: options.name });
      outputOf(context, options).result(
        link,
        `Joined ${link.hubName} at ${options.hub} as ${link.siteName} (${link.siteId}).`,
      );
    });
}

function activityCommand(context: CommandContext): Command {
  return withConnection(new Command('activity'))
    .description('what the hub asked and what this site answered')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { tasks } = await api.call(SITE_API.listActivity, {});
        const rows = tasks.map((task) => [
          task.receivedAt,
          task.step === undefined ? task.kind : `${task.step} (round ${task.round ?? '?'})`,
          task.state,
          task.answer ?? '',
        ]);
        output.result({ tasks }, table([['received', 'task', 'state', 'answer'], ...rows]));
      }),
    );
}

function sentCommand(context: CommandContext): Command {
  return withConnection(new Command('sent'))
    .description('every kind of message that left this site for the hub since it started, with counts')
    .action(
      connected(context, async ({ api }, { output }) => {
        const sent = await api.call(SITE_API.listSentMessages, {});
        const rows = sent.messages.map(({ message, operation, count }) => [message, operation, String(count)]);
        output.result(sent, `${table([['message', 'operation', 'sent'], ...rows])}\nsince ${sent.since}`);
      }),
    );
}
