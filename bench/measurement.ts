/**
 * What a bench says about one thing it measured. A number alone proves nothing: it stands beside its peer, measured in the same
 * run on the same machine, and beside what physics would allow.
 *
 * A bench is a program bench/<name>/run.ts that writes one measurement per line to standard output; what it tells a reader on the
 * way goes to standard error. `npm run bench -- <name>` runs it and keeps the lines.
 */

export type Measurement = {
  /** What was measured, unique within the bench. */
  readonly name: string;
  /** Unit of `median`, `spread`, `peer` and `bound`, as 'ms', 'MB/s' or 'accuracy'. */
  readonly unit: string;
  readonly median: number;
  /** Smallest and largest of the repetitions. */
  readonly spread: readonly [number, number];
  readonly repetitionCount: number;
  /** The same work done by something else in this run; `ratio` is our median through its. */
  readonly peer?: { readonly name: string; readonly median: number; readonly ratio: number };
  /** What no program on this machine could beat, and why. */
  readonly bound?: { readonly why: string; readonly value: number };
  /** The number that was promised for median or ratio, and whether it was kept. */
  readonly target?: { readonly text: string; readonly kept: boolean };
  /** What else a reader needs: sizes, counts, versions of the peer. */
  readonly facts?: Readonly<Record<string, string | number | boolean>>;
};

/** Middle value of the repetitions; the lower of the two middle ones when their number is even. NaN for none. */
export function medianOf(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}

/** Median, spread and count of the repetitions, ready to be spread into a measurement. */
export function summarise(values: readonly number[]): Pick<Measurement, 'median' | 'spread' | 'repetitionCount'> {
  return {
    median: medianOf(values),
    spread: [Math.min(...values), Math.max(...values)],
    repetitionCount: values.length,
  };
}

/** Writes one measurement as a line, which the runner of benches reads. */
export function report(measurement: Measurement): void {
  process.stdout.write(`${JSON.stringify(measurement)}\n`);
}
