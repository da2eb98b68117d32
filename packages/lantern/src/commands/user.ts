/** `lantern user`: local accounts of a hub or site, and API tokens. */
import { COMMON_API, HUB_ROLES, PASSWORD_LENGTH_MIN, SITE_ROLES } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { numberOption } from '../cli/number-option.ts';
import { table } from '../cli/output.ts';
import { readPassword } from '../cli/password.ts';
import { idArgument } from './id-argument.ts';

type AddOptions = CommonOptions & { role: string[]; passwordFile?: string };
type TokenOptions = CommonOptions & { role: string[]; days: number };
type PasswordOptions = CommonOptions & { oldPasswordFile?: string; newPasswordFile?: string };

export function userCommand(context: CommandContext): Command {
  return new Command('user')
    .description('local accounts and API tokens of a hub or site')
    .addCommand(addCommand(context))
    .addCommand(listCommand(context))
    .addCommand(disableCommand(context))
    .addCommand(passwordCommand(context))
    .addCommand(tokenCommand(context));
}

function addCommand(context: CommandContext): Command {
  return withConnection(new Command('add'))
    .description('create an account')
    .argument('<name>')
    .requiredOption(
      '--role <role...>',
      `hub: ${HUB_ROLES.join(', ')}; site: ${SITE_ROLES.join(', ')}; several: separated by spaces`,
    )
    .option(
      '--password-file <file>',
      `file with the password, at least ${PASSWORD_LENGTH_MIN} characters (else it is asked for, or read from standard input)`,
    )
    .action(
      connected<AddOptions>(context, async ({ api }, { output, options, args: [name = ''] }) => {
        const { passwordFile: file } = options;
        const password = await readPassword(context, { file, label: `Password for ${name}`, twice: true });
        const user = await api.call(COMMON_API.createUser, { body: { name, password, roles: options.role } });
        output.result(user, `${user.name} (${user.userId}): ${user.roles.join(', ')}`);
      }),
    );
}

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('list'))
    .description('accounts')
    .action(
      connected(context, async ({ api }, { output }) => {
        const { users } = await api.call(COMMON_API.listUsers, {});
        const rows = users.map((user) => [
          user.name,
          user.userId,
          user.roles.join(', '),
          user.disabled ? 'disabled' : 'active',
        ]);
        output.result({ users }, table([['name', 'id', 'roles', 'state'], ...rows]));
      }),
    );
}

function disableCommand(context: CommandContext): Command {
  return withConnection(new Command('disable'))
    .description('disable an account; its tokens stop working at once')
    .argument('<user id>')
    .action(
      connected(context, async ({ api }, { output, args: [userId] }) => {
        const user = await api.call(COMMON_API.disableUser, { params: { userId: idArgument('UserId', userId) } });
        output.result(user, `${user.name} is disabled.`);
      }),
    );
}

function passwordCommand(context: CommandContext): Command {
  return withConnection(new Command('password'))
    .description('change the own password; all other tokens of the account stop working at once')
    .option('--old-password-file <file>', 'file with the password until now (else it is asked for)')
    .option('--new-password-file <file>', `file with the new password, at least ${PASSWORD_LENGTH_MIN} characters`)
    .action(
      connected<PasswordOptions>(context, async ({ api }, { output, options }) => {
        const { oldPasswordFile, newPasswordFile } = options;
        const oldPassword = await readPassword(context, { file: oldPasswordFile, label: 'Password until now' });
        const newPassword = await readPassword(context, { file: newPasswordFile, label: 'New password', twice: true });
        const changed = await api.call(COMMON_API.changePassword, { body: { oldPassword, newPassword } });
        output.result(changed, `The password is changed; ${changed.revokedTokenCount} other tokens were revoked.`);
      }),
    );
}

function tokenCommand(context: CommandContext): Command {
  return withConnection(new Command('token'))
    .description('create an API token for oneself; shown once')
    .requiredOption('--role <role...>', 'the same or fewer roles than one has')
    .option('--days <n>', 'valid for', numberOption, 30)
    .action(
      connected<TokenOptions>(context, async ({ api }, { output, options }) => {
        const token = await api.call(COMMON_API.createToken, {
          body: { roles: options.role, expiresInDays: options.days },
        });
        output.result(token, token.token);
      }),
    );
}
