/** Exit codes of the command line: what went wrong, for scripts. 64 and 69-78 as in BSD's sysexits.h. */
import type { AppError } from '@lantern/contract';

export const EXIT = {
  success: 0,
  failed: 1,
  usage: 64,
  unavailable: 69,
  internal: 70,
  refused: 77,
  config: 78,
  interrupted: 130,
} as const;

export function exitCodeOf(error: AppError): number {
  if (error.code === 'internal') return EXIT.internal;
  if (error.code === 'config.invalid' || error.code === 'set-up.failed') return EXIT.config;
  if (error.httpStatus === 401 || error.httpStatus === 403) return EXIT.refused;
  if (error.failureClass === 'transient') return EXIT.unavailable;
  return EXIT.failed;
}
