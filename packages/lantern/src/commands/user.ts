/** `lantern user`: local accounts of a hub or site, and API tokens. */
import { readFile } from 'node:fs/promises';
import { COMMON_API } from '@lantern/contract';
import { Command } from 'commander';
import { type CommandContext, type CommonOptions, connected, withConnection } from '../cli/command-context.ts';
import { table } from '../cli/output.ts';
import { idArgument } from './id-argument.ts';

type AddOptions = CommonOptions & { role: string[]; passwordFile: string };
type TokenOptions = CommonOptions & { role: string[]; days: string };

type PasswordOptions = CommonOptions & { oldPasswordFile: string; newPasswordFile: string };

const readPassword = async (file: string) => (await readFile(file, 'utf8')).trim();

function passwordCommand(context: CommandContext): Command {
  return withConnection(new Command('password'))
    .description('change the own password; all other tokens of the account stop working at once')
    .requiredOption('--old-password-file <file>', 'file with the password until now')
    .requiredOption('--new-password-file <file>', 'file with the new password (at least 12 characters)')
    .action(
      connected<PasswordOptions>(context, async ({ api }, { output, options }) => {
        const oldPassword = await readPassword(options.oldPasswordFile);
        const newPassword = await readPassword(options.newPasswordFile);
        const changed = await api.call(COMMON_API.changePassword, { body: { oldPassword, newPassword } });
        output.result(changed, `The password is changed; ${changed.revokedTokenCount} other tokens were revoked.`);
      }),
    );
}

export function userCommand(context: CommandContext): Command {
  return new Command('user')
    .description('local accounts and API tokens of a hub or site')
    .addCommand(
      withConnection(new Command('add'))
        .description('create an account')
        .argument('<name>')
        .requiredOption(
          '--role <role...>',
          'hub: admin researcher viewer; site: admin governance data-engineer clinician',
        )
        .requiredOption('--password-file <file>', 'file with the password (at least 12 characters)')
        .action(
          connected<AddOptions>(context, async ({ api }, { output, options, args: [name = ''] }) => {
            const password = await readPassword(options.passwordFile);
            const user = await api.call(COMMON_API.createUser, { body: { name, password, roles: options.role } });
            output.result(user, `${user.name} (${user.userId}): ${user.roles.join(', ')}`);
          }),
        ),
    )
    .addCommand(
      withConnection(new Command('list'))
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
        ),
    )
    .addCommand(
      withConnection(new Command('disable'))
        .description('disable an account; its tokens stop working at once')
        .argument('<user id>')
        .action(
          connected(context, async ({ api }, { output, args: [userId] }) => {
            const user = await api.call(COMMON_API.disableUser, { params: { userId: idArgument('UserId', userId) } });
            output.result(user, `${user.name} is disabled.`);
          }),
        ),
    )
    .addCommand(passwordCommand(context))
    .addCommand(
      withConnection(new Command('token'))
        .description('create an API token for oneself; shown once')
        .requiredOption('--role <role...>', 'the same or fewer roles than one has')
        .option('--days <n>', 'valid for', '30')
        .action(
          connected<TokenOptions>(context, async ({ api }, { output, options }) => {
            const token = await api.call(COMMON_API.createToken, {
              body: { roles: options.role, expiresInDays: Number(options.days) },
            });
            output.result(token, token.token);
          }),
        ),
    );
}
