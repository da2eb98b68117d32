/** Gathers the steps of a plan; each gets a name of its own. */
import type { Query, Step } from './sql-tree.ts';

export class PlanSteps {
  readonly #steps: Step[] = [];

  get all(): readonly Step[] {
    return this.#steps;
  }

  /** Returns the name: `purpose`, and a number where there are several. */
  add(purpose: string, query: Query): string {
    const taken = new Set(this.#steps.map(({ name }) => name));
    let name = purpose;
    for (let number = 2; taken.has(name); number += 1) name = `${purpose}_${number}`;
    this.#steps.push({ name, query });
    return name;
  }
}
