/** What the operations on accounts need of the side that offers them. */
import type { Clock } from '../clock.ts';
import type { Database } from '../postgres/database.ts';
import type { Accounts } from './accounts.ts';

export type AccountRoutesOptions = {
  readonly accounts: Accounts;
  readonly db: Database;
  readonly clock: Clock;
  /** Every role of this side; whoever has any may make a token for himself and change his own password. */
  readonly roles: readonly string[];
  /** Roles that are given by those who hold them, once somebody does; they see who has an account. None when absent. */
  readonly vouchedRoles?: readonly string[];
};
