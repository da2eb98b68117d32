/**
 * The machine that a number was measured on. A number without it cannot be compared with any other, so every file of results
 * opens with these facts, collected in this one place.
 */
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';

export type Machine = {
  readonly cpuModel: string;
  readonly coreCount: number;
  readonly memoryBytes: number;
  readonly os: string;
  readonly nodeVersion: string;
};

export function describeMachine(): Machine {
  return {
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
    coreCount: availableParallelism(),
    memoryBytes: totalmem(),
    os: `${platform()} ${release()} ${arch()}`,
    nodeVersion: process.version,
  };
}
