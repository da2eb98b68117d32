/**
 * Logs as JSON lines. Two rules keep them free of secrets and patient data: callers log identifiers of our own, never
 * theirs; and whatever slips through under a telling name (authorization, cookie, password, token, body, payload ...) is
 * replaced here, however it is spelt and however deep it sits.
 */
import { AppError } from '@lantern/contract';
import { type DestinationStream, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';

export type Logger = PinoLogger;
export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

/** Compared in lower case without `-` and `_`. */
const SECRET_KEYS = new Set([
  'authorization',
  'proxyauthorization',
  'cookie',
  'setcookie',
  'password',
  'passwordhash',
  'token',
  'apitoken',
  'accesstoken',
  'secret',
  'enrolmentcode',
  'privatekey',
  'databaseurl',
  'body',
  'rawbody',
  'payload',
  'prefetch',
]);

/** The formatters below do not see the fields of a child logger; these are the ones that may be bound to one. */
const CHILD_SECRET_KEYS = [
  'authorization',
  'cookie',
  'password',
  'token',
  'apiToken',
  'secret',
  'privateKey',
  'databaseUrl',
  'body',
  'payload',
];

/** A log line is shallow; what lies deeper is cut off, as nobody checked it for secrets. */
const DEPTH_MAX = 6;

/** A chain of causes longer than this repeats itself. */
const CAUSE_COUNT_MAX = 5;

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function redacted(value: unknown, depth: number): unknown {
  if (Array.isArray(value)) return depth >= DEPTH_MAX ? '[cut]' : value.map((item) => redacted(item, depth + 1));
  if (!isPlainObject(value)) return value;
  return depth >= DEPTH_MAX ? '[cut]' : redactedFields(value, depth);
}

function redactedFields(fields: Record<string, unknown>, depth: number): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    kept[key] = SECRET_KEYS.has(key.toLowerCase().replaceAll(/[-_]/g, '')) ? '[redacted]' : redacted(value, depth + 1);
  }
  return kept;
}

/** An error as it may be logged: class, rule, message, place and causes. Other properties may quote rows, so they stay out. */
type LoggedError = { type: string; rule?: string; message: string; stack?: string; cause?: LoggedError };

function loggedError(caught: unknown, causeIndex = 0): LoggedError {
  if (!(caught instanceof Error)) return { type: typeof caught, message: 'A value that is no error was thrown.' };
  const rule = ruleOf(caught);
  const logged: LoggedError = { type: caught.name, message: caught.message };
  if (rule !== undefined) logged.rule = rule;
  if (caught.stack !== undefined) logged.stack = caught.stack;
  if (caught.cause !== undefined && causeIndex < CAUSE_COUNT_MAX)
    logged.cause = loggedError(caught.cause, causeIndex + 1);
  return logged;
}

/** Our error code, or that of the operating system or PostgreSQL. */
function ruleOf(error: Error): string | undefined {
  if (error instanceof AppError) return error.code;
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/**
 * A logger that writes one JSON object per line to `destination` (standard error by default: standard output
 * belongs to the result of a command).
 * Pass an error under the key `err`; properties of it other than message, code, stack and causes are left out.
 */
export function createLogger(options: { name: string; level: LogLevel; destination?: DestinationStream }): Logger {
  const settings = {
    level: options.level,
    base: { name: options.name, pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    serializers: { err: (caught: unknown) => loggedError(caught) },
    redact: { paths: CHILD_SECRET_KEYS, censor: '[redacted]' },
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (fields: Record<string, unknown>) => redactedFields(fields, 0),
    },
  };
  return pino(settings, options.destination ?? pino.destination({ fd: process.stderr.fd, sync: true }));
}
