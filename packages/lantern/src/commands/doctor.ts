/** `lantern doctor`: says in plain words what is wrong with a set-up. Exit code 78 when something is. */
import { AppError } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, outputOf, withJson } from '../cli/command-context.ts';
import { settingNumber } from '../cli/number-option.ts';
import { checkDisk, checkFolder, checkNode, checkPort, type Finding } from '../doctor/checks.ts';
import { checkHub, checkKey } from '../doctor/hub-checks.ts';
import { checkServer } from '../doctor/server-check.ts';

type DoctorOptions = {
  data: string;
  new?: boolean;
  port?: string;
  host: string;
  hub?: string;
  caFile?: string;
  json?: boolean;
};

const MARKS = { good: '✔', bad: '✖', skip: '·' } as const;

export function doctorCommand(context: CommandContext): Command {
  return withJson(new Command('doctor'))
    .description('say in plain words what is wrong with a set-up: folder, disk, server, port, clock, hub, key')
    .requiredOption('--data <dir>', 'data folder of the hub or site')
    .option('--new', 'before its first start: the folder may be missing, and nothing need run yet')
    .option('--port <number>', 'port it shall listen on, to see whether it is free')
    .option('--host <address>', 'address it shall listen on', '127.0.0.1')
    .option('--hub <url>', 'hub to reach; a joined site knows its own')
    .option('--ca-file <file>', 'authority that signed the certificate of the hub, or of the server itself, PEM')
    .action(async (options: DoctorOptions) => {
      const findings = await examine(options);
      outputOf(context, options).result({ findings }, findings.map(lineOf).join('\n'));
      const bad = findings.filter((finding) => finding.verdict === 'bad');
      if (bad.length > 0)
        throw new AppError(
          'set-up.failed',
          `${bad.length} of ${findings.length} checks say no: ${bad.map((finding) => finding.check).join(', ')}.`,
        );
    });
}

async function examine(options: DoctorOptions): Promise<Finding[]> {
  const isNew = options.new === true;
  const folder = await checkFolder(options.data, { isNew });
  if (folder.verdict === 'bad') return [checkNode(process.version), folder];
  return [
    checkNode(process.version),
    folder,
    await checkDisk(options.data),
    ...(isNew ? [] : [await checkServer(options.data, options)]),
    ...(options.port === undefined ? [] : [await checkPort(settingNumber(options.port), options.host)]),
    ...(options.hub === undefined ? await checkKey(options.data, options) : await checkHub(options.hub, options)),
  ];
}

function lineOf(finding: Finding): string {
  const fix = finding.fix === undefined ? '' : `\n    ${finding.fix}`;
  return `${MARKS[finding.verdict]} ${finding.check}: ${finding.says}${fix}`;
}
