import { execFileSync } from 'node:child_process';

/**
 * Uses so much memory, and has freed it when it returns. Where a machine gives free memory back to its host, whoever writes first pays
 * to have it again, the more the longer nobody used it; so what is measured is preceded by this.
 */
export function useMemory(bytes: number): void {
  execFileSync(process.execPath, ['--eval', `Buffer.alloc(${bytes}, 1)`]);
}
