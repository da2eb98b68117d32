/** What every command gets: where to print, the environment, and a way to be told to stop. */
import type { Command } from 'commander';
import { type Connection, type ConnectionOptions, connect } from './connection.ts';
import { createOutput, type Output } from './output.ts';
import type { InputStream } from './password.ts';
import type { Environment } from './sessions.ts';

export type CommandContext = {
  readonly env: Environment;
  readonly stdin: InputStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP (the terminal was closed). */
  readonly signal: AbortSignal;
};

export type CommonOptions = ConnectionOptions & { readonly json?: boolean };

export function outputOf(context: CommandContext, options: CommonOptions): Output {
  return createOutput(context, { json: options.json === true });
}

/** Adds the options by which a command finds its server, and says as whom it asks. */
export function withConnection(command: Command): Command {
  return withServer(command)
    .option('--as <name>', 'account to act as, of those signed in (default: the last; without any, admin of --data)')
    .option('--token-file <file>', 'file with an API token (or LANTERN_TOKEN)');
}

export function withServer(command: Command): Command {
  return withJson(command)
    .option('--data <dir>', 'data folder of a hub or site that runs on this machine')
    .option('--url <url>', 'address of the hub or site (or LANTERN_URL)')
    .option('--ca-file <file>', 'certificate authority to trust, PEM');
}

export function withJson(command: Command): Command {
  return command.option('--json', 'print one JSON document');
}

/** The action of a command that talks to a server: connects, runs, closes. */
export function connected<O extends CommonOptions>(
  context: CommandContext,
  run: (
    connection: Connection,
    io: { output: Output; options: O; args: readonly string[]; signal: AbortSignal },
  ) => Promise<void>,
): (...received: unknown[]) => Promise<void> {
  return async (...received) => {
    const command = received.at(-1) as Command;
    const options = command.opts<O>();
    const connection = await connect(options, context.env);
    try {
      await run(connection, {
        output: outputOf(context, options),
        options,
        args: command.args,
        signal: context.signal,
      });
    } finally {
      connection.http.close();
    }
  };
}
