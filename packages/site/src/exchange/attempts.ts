/**
 * Whether a step that failed is tried again, or the hub is told that it failed.
 *
 * What somebody is likely to mend, and what is nobody's fault at this site, is waited for as long as the task is open: a hub
 * that is away, a disk without room. The queue spaces the attempts (up to a minute apart), and the sweep of open tasks begins
 * anew when it has given up. A process that ends early may do so for ever, so that is tried a few times only.
 */
import type { AppError, ErrorCode } from '@lantern/contract';

const TRANSIENT_ATTEMPTS_MAX = 8; // about half a minute of back-off

const WAITED_FOR: ReadonlySet<ErrorCode> = new Set(['peer.unreachable', 'peer.ambiguous', 'storage.full']);

/** `attempt` counts from 1 and includes the one that failed now. */
export function isTriedAgain(error: AppError, attempt: number): boolean {
  return error.failureClass !== 'permanent' && (WAITED_FOR.has(error.code) || attempt < TRANSIENT_ATTEMPTS_MAX);
}
