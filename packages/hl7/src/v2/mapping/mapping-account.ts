/**
 * What became of each segment and field of a message. A field that has a value ends in one of these ways: it was mapped; the tables have
 * nothing for it (or not under these conditions); what they have is not understood here; its segment has no place or table; or it speaks
 * of the message itself, and that was not asked for.
 */
import type { Message, Segment } from '../message.ts';

export type FieldOutcome = 'mapped' | 'unmapped' | 'not-understood' | 'no-table' | 'no-place' | 'left-out';

/** A rule that was not kept, where, and how often; never a value. */
export type MappingProblem = { readonly rule: string; readonly place?: string; readonly count?: number };

export type Account = {
  /** Of the tables that were used. */
  readonly structure: string;
  /** Whether the structure of the message has no table of its own. */
  readonly isBorrowed: boolean;
  /** Fields with a value, by place and outcome. */
  readonly fields: readonly { readonly place: string; readonly outcome: FieldOutcome; readonly count: number }[];
  readonly problems: readonly MappingProblem[];
};

type SegmentOutcome = 'placed' | 'no-table' | 'no-place' | 'left-out';

const PROBLEM_COUNT_MAX = 1000; // kinds of trouble times places; a message that is all trouble is cut off here

export class MappingAccount {
  readonly #structure: string;
  readonly #isBorrowed: boolean;
  readonly #segments = new Map<Segment, SegmentOutcome>();
  readonly #fields = new Map<Segment, Map<number, 'mapped' | 'not-understood'>>();
  readonly #problems = new Map<string, { rule: string; place: string | undefined; count: number }>();

  constructor(structure: string, isBorrowed: boolean) {
    this.#structure = structure;
    this.#isBorrowed = isBorrowed;
  }

  segment(segment: Segment, outcome: SegmentOutcome): void {
    this.#segments.set(segment, outcome);
  }

  /** What was mapped once stays mapped, whatever other rows there are. */
  field(segment: Segment, field: number, outcome: 'mapped' | 'not-understood'): void {
    const fields = this.#fields.get(segment) ?? new Map<number, 'mapped' | 'not-understood'>();
    this.#fields.set(segment, fields);
    if (fields.get(field) !== 'mapped') fields.set(field, outcome);
  }

  problem({ rule, place }: { readonly rule: string; readonly place?: string }): void {
    const key = `${place ?? ''} ${rule}`;
    const known = this.#problems.get(key);
    if (known !== undefined) known.count += 1;
    else if (this.#problems.size < PROBLEM_COUNT_MAX) this.#problems.set(key, { rule, place, count: 1 });
  }

  close(message: Message): Account {
    const counts = new Map<string, { place: string; outcome: FieldOutcome; count: number }>();
    for (const segment of message.segments) {
      for (const [field, raw] of segment.fields.entries()) {
        if (field === 0 || raw === '' || raw === '""') continue;
        const place = `${segment.name}-${field}`;
        const outcome = this.#outcomeOf(segment, field);
        const entry = counts.get(`${place} ${outcome}`) ?? { place, outcome, count: 0 };
        entry.count += 1;
        counts.set(`${place} ${outcome}`, entry);
      }
    }
    return {
      structure: this.#structure,
      isBorrowed: this.#isBorrowed,
      fields: [...counts.values()],
      problems: [...this.#problems.values()].map(({ rule, place, count }) => ({
        rule,
        ...(place === undefined ? {} : { place }),
        ...(count === 1 ? {} : { count }),
      })),
    };
  }

  #outcomeOf(segment: Segment, field: number): FieldOutcome {
    const place = this.#segments.get(segment) ?? 'no-place';
    return this.#fields.get(segment)?.get(field) ?? (place === 'placed' ? 'unmapped' : place);
  }
}
