/** Gathers the steps of a plan; each gets a name of its own. */
import type { Query, Step } from './sql-tree.ts';

export class PlanSteps {
  readonly #steps: Step[] = [];
  readonly #counts = new Map<string, number>();

  get all(): readonly Step[] {
    return this.#steps;
  }

  /** Returns the name: `purpose`, and a number where there are several. */
  add(purpose: string, query: Query): string {
    const count = (this.#counts.get(purpose) ?? 0) + 1;
    this.#counts.set(purpose, count);
    const name = count === 1 ? purpose : `${purpose}_${count}`;
    this.#steps.push({ name, query });
    return name;
  }
}
