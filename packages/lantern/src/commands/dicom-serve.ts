/** `lantern dicom serve`: an archive over a folder, reached by DICOM and DICOMweb, without any other set-up. */
import { AppError } from '@lantern/contract';
import { loadConfig, redactConfig } from '@lantern/service';
import { ImageNodeConfigSchema, startImageNode } from '@lantern/site';
import { Command } from 'commander';
import { type CommandContext, outputOf, withJson } from '../cli/command-context.ts';
import { readSettings, serve } from '../cli/serve.ts';

type ServeOptions = {
  port: string;
  host: string;
  httpPort: string;
  aeTitle: string;
  quiet: string;
  peer: string[];
  config?: string;
  json?: boolean;
};

const LOOPBACK = ['127.0.0.1', '::1'];
const PEER = /^(?<aeTitle>[^@]+)@(?<host>[^@]+?)(?::(?<port>\d{1,5}))?$/;

export function dicomServeCommand(context: CommandContext): Command {
  return withJson(new Command('serve'))
    .description('receive, keep, find and give images: DICOM (C-STORE, C-FIND, …) and DICOMweb over a folder')
    .argument('<folder>', 'where images, index and keys are kept (made if missing)')
    .option('--port <number>', 'DICOM port (0: any free one)', '11112')
    .option('--http-port <number>', 'port of DICOMweb (0: any free one)', '0')
    .option(
      '--host <address>',
      'address to listen on; programs of this machine alone may call without --peer',
      '127.0.0.1',
    )
    .option('--ae-title <title>', 'title under which it is called', 'LANTERN')
    .option('--quiet <seconds>', 'a study is complete when nothing has come for so long', '30')
    .option('--peer <TITLE@HOST:PORT>', 'a peer that may store and query; repeat for more', collect, [])
    .option('--config <file>', 'further settings as JSON; the options win over it')
    .action(async (folder: string, options: ServeOptions) => {
      const settings = loadConfig({
        schema: ImageNodeConfigSchema,
        fileText: await readSettings(options.config),
        env: {},
        prefix: '',
        overrides: {
          dataDir: folder,
          httpHost: options.host,
          httpPort: Number(options.httpPort),
          ...(options.config === undefined ? { dicom: dicomSettings(options) } : {}),
        },
      });
      await serve(context, outputOf(context, options), {
        what: 'image archive',
        dataDir: folder,
        settings: redactConfig(settings, ['databaseUrl']),
        start: async () => {
          const node = await startImageNode(settings);
          outputOf(context, options).note(
            `DICOM: ${settings.dicom.aeTitles.map(({ aeTitle }) => aeTitle).join(', ')} at ${settings.dicom.host}:${node.dicomPort}`,
          );
          return node;
        },
      });
    });
}

function dicomSettings({ host, port, aeTitle, quiet, peer }: ServeOptions) {
  return {
    host,
    port: Number(port),
    aeTitles: [{ aeTitle, quietMs: Number(quiet) * 1000 }],
    openHosts: LOOPBACK,
    peers: peer.map(peerOf),
  };
}

function peerOf(text: string) {
  const { aeTitle, host, port } = PEER.exec(text)?.groups ?? {};
  if (aeTitle === undefined || host === undefined) {
    throw new AppError('input.invalid', '--peer: must be TITLE@HOST or TITLE@HOST:PORT.', { field: 'peer' });
  }
  return { aeTitle, hosts: [host], mayQuery: true, ...(port === undefined ? {} : { port: Number(port) }) };
}

function collect(value: string, earlier: string[]): string[] {
  return [...earlier, value];
}
