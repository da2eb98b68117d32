/** `lantern sign-in | sign-out | sessions`: which person the commands of this machine act as, at one hub or site. */
import { AppError, COMMON_API } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, outputOf, withServer } from '../cli/command-context.ts';
import { connectTo, serverUrl } from '../cli/connection.ts';
import { table } from '../cli/output.ts';
import { readPassword } from '../cli/password.ts';
import { listSessions, removeSession, saveSession } from '../cli/sessions.ts';

type SignInOptions = CommonOptions & { passwordFile?: string };

export function sessionCommands(context: CommandContext): Command[] {
  return [signInCommand(context), signOutCommand(context), sessionsCommand(context)];
}

function signInCommand(context: CommandContext): Command {
  return withServer(new Command('sign-in').alias('login'))
    .description('sign in at a hub or site; commands there then act as this account, for at most twelve hours')
    .argument('<name>', 'name of the account')
    .option('--password-file <file>', 'file with the password (else it is asked for, or read from standard input)')
    .action(async (name: string, options: SignInOptions) => {
      const url = await serverUrl(options, context.env);
      const password = await readPassword(context, { file: options.passwordFile, label: `Password of ${name}` });
      const { token, expiresAt, roles } = await atServer({ ...options, url }, undefined, ({ api }) =>
        api.call(COMMON_API.signIn, { body: { name, password } }),
      );
      await saveSession(context.env, url, { name, token, expiresAt });
      outputOf(context, options).result(
        { url, name, roles, expiresAt },
        `${name} (${roles.join(', ')}) is signed in at ${url} until ${expiresAt}.`,
      );
    });
}

function signOutCommand(context: CommandContext): Command {
  return withServer(new Command('sign-out').alias('logout'))
    .description('end a session: its token is revoked at the server and removed here')
    .argument('[name]', 'account (default: the one that signed in last)')
    .action(async (name: string | undefined, options: CommonOptions) => {
      const url = await serverUrl(options, context.env);
      const sessions = await listSessions(context.env, url);
      const session = name === undefined ? sessions[0] : sessions.find((one) => one.name === name);
      if (session === undefined)
        throw new AppError('input.invalid', `${name === undefined ? 'Nobody' : `No ${name}`} is signed in at ${url}.`);
      const { token } = session;
      const revoked = await atServer({ ...options, url }, token, ({ api }) =>
        api.call(COMMON_API.revokeToken, { body: { token } }),
      ).catch((caught: unknown) => {
        // A token that the server no longer takes needs no revoking; any other failure leaves the session to try again.
        if (caught instanceof AppError && caught.code === 'auth.rejected') return { revoked: false };
        throw caught;
      });
      await removeSession(context.env, url, session.name);
      outputOf(context, options).result({ url, name: session.name, ...revoked }, `${session.name} is signed out.`);
    });
}

function sessionsCommand(context: CommandContext): Command {
  return withServer(new Command('sessions'))
    .description('who is signed in at a hub or site from here; the first is who commands act as')
    .action(async (options: CommonOptions) => {
      const url = await serverUrl(options, context.env);
      const sessions = (await listSessions(context.env, url)).map(({ name, expiresAt }) => ({ name, expiresAt }));
      const rows = sessions.map(({ name, expiresAt }) => [name, expiresAt]);
      outputOf(context, options).result({ url, sessions }, table([['account', 'until'], ...rows]));
    });
}

async function atServer<T>(
  target: { readonly url: string; readonly caFile?: string },
  token: string | undefined,
  call: (connection: ReturnType<typeof connectTo>) => Promise<T>,
): Promise<T> {
  const { url, caFile } = target;
  const connection = connectTo({ url, token, ...(caFile === undefined ? {} : { caFile }) });
  try {
    return await call(connection);
  } finally {
    connection.http.close();
  }
}
