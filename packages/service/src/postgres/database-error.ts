/**
 * Turns what PostgreSQL and its driver report about the connection into `database.unavailable`, which callers retry.
 * Everything else (a broken constraint, a wrong query) comes back unchanged: it says something about the caller.
 */
import { AppError } from '@lantern/contract';

/** The socket is closed, refused or reset: errno(3). */
const SOCKET_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** SQLSTATE, PostgreSQL appendix A: shutting down, crashed, starting up, dropped, too many clients, read-only standby. */
const SERVER_CODES = new Set(['57P01', '57P02', '57P03', '57P04', '53300', '25006']);

/** Class 08 is "connection exception" as a whole. */
const CONNECTION_CLASS = '08';

/** Serialisation failure, deadlock, lock timeout: the transaction was rolled back and may simply run again. */
const CONTENTION_CODES = new Set(['40001', '40P01', '55P03']);

/** The full disk of a server: its class 53100, and what a failed extension of a file says. */
const DISK_FULL_CODE = '53100';

/** The driver has no code for these. */
const DRIVER_MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|Cannot use a pool after calling end)/;

function codeOf(caught: Error): string {
  return 'code' in caught && typeof caught.code === 'string' ? caught.code : '';
}

/** The socket file of a server that does not run. Of any other call it is a file of ours that is missing, which no waiting brings. */
function isMissingSocket(caught: Error): boolean {
  return codeOf(caught) === 'ENOENT' && 'syscall' in caught && caught.syscall === 'connect';
}

function isConnectionError(caught: Error): boolean {
  const code = codeOf(caught);
  return (
    isMissingSocket(caught) ||
    SOCKET_CODES.has(code) ||
    SERVER_CODES.has(code) ||
    code.startsWith(CONNECTION_CLASS) ||
    DRIVER_MESSAGES.test(caught.message)
  );
}

/** The translated error, or `caught` as it was. */
export function fromDatabaseError(caught: unknown): unknown {
  if (!(caught instanceof Error) || caught instanceof AppError) return caught;
  if (codeOf(caught) === DISK_FULL_CODE) {
    return new AppError('storage.full', 'The disk of the database is full.', { cause: caught });
  }
  if (CONTENTION_CODES.has(codeOf(caught))) {
    return new AppError('database.unavailable', 'The transaction met another one and was rolled back.', {
      cause: caught,
    });
  }
  if (isConnectionError(caught)) {
    return new AppError('database.unavailable', 'The database is not reachable.', { cause: caught });
  }
  return caught;
}
