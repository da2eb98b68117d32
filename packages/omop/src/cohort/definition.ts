/**
 * A cohort definition as we hold it, read from OHDSI's Circe JSON (circe-reader.ts): who is in a cohort, from which day to which.
 *
 * How it is meant, in the order in which it is worked out:
 *   primary events       rows of the clinical tables, each within an observation period long enough before and after; per person
 *                        the first, the last or all
 *   qualified events     those of them that satisfy `additional`, if there is one; limited again
 *   included events      those that satisfy every inclusion rule; limited again
 *   end of each          the end of the observation period, a number of days from start or end, or the end of a drug era; earlier
 *                        where a censoring event comes first
 *   periods              those of one person that overlap, or lie at most `eraPadDays` apart, are one; cut to `censorWindow`
 */

import type { DomainName } from './domains.ts';
import type { Comparison } from './sql-tree.ts';

export type CohortDefinition = {
  readonly conceptSets: readonly ConceptSet[];
  readonly primary: {
    readonly criteria: readonly Criterion[];
    readonly priorDays: number;
    readonly postDays: number;
    readonly limit: Limit;
  };
  readonly additional: Group | undefined;
  readonly qualifiedLimit: Limit;
  readonly inclusionRules: readonly InclusionRule[];
  readonly includedLimit: Limit;
  readonly end: EndStrategy | undefined;
  readonly censoring: readonly Criterion[];
  readonly eraPadDays: number;
  readonly censorWindow: Period;
};

export type Limit = 'first' | 'last' | 'all';

/** Days as "2026-11-27". */
export type Period = { readonly start?: string; readonly end?: string };

export type ConceptSet = { readonly id: number; readonly name: string; readonly items: readonly ConceptSetItem[] };

export type ConceptSetItem = {
  readonly conceptId: bigint;
  readonly conceptName: string;
  readonly isExcluded: boolean;
  readonly withDescendants: boolean;
  /** With the source concepts that map to it ("Maps to"). */
  readonly withMapped: boolean;
};

export type InclusionRule = { readonly name: string; readonly description: string; readonly group: Group };

/** Which rows of one clinical table count as events. */
export type Criterion = {
  readonly domain: DomainName;
  readonly conceptSet: number | undefined;
  readonly sourceConceptSet: number | undefined;
  /** Only the earliest of each person, among those of the concept sets, before any filter. */
  readonly isFirst: boolean;
  readonly filters: readonly Filter[];
  readonly dateAdjustment: DateAdjustment | undefined;
  /** Instead of the period's own days, which it has to lie in; for periods of observation and of payment. */
  readonly userPeriod: Period;
  readonly correlated: Group | undefined;
};

export type DateAdjustment = {
  readonly startFrom: 'start' | 'end';
  readonly startOffsetDays: number;
  readonly endFrom: 'start' | 'end';
  readonly endOffsetDays: number;
};

/** A condition on an attribute, by the name that Circe has for it. */
export type Filter = { readonly attribute: string; readonly test: Test };

export type Test =
  | { readonly kind: 'number'; readonly operator: Comparison; readonly value: number }
  | { readonly kind: 'number-range'; readonly isNegated: boolean; readonly from: number; readonly to: number }
  | { readonly kind: 'date'; readonly operator: Comparison; readonly value: string }
  | { readonly kind: 'date-range'; readonly isNegated: boolean; readonly from: string; readonly to: string }
  | { readonly kind: 'concepts'; readonly isNegated: boolean; readonly concepts: readonly NamedConcept[] }
  | { readonly kind: 'concept-set'; readonly isNegated: boolean; readonly conceptSet: number }
  | {
      readonly kind: 'text';
      readonly isNegated: boolean;
      readonly where: 'begins' | 'ends' | 'contains' | 'equals';
      readonly text: string;
    }
  | { readonly kind: 'flag' };

export type NamedConcept = { readonly id: bigint; readonly name: string };

/** Which index events satisfy so many of its members. */
export type Group = {
  readonly needs: { readonly kind: 'all' | 'any' } | { readonly kind: 'at-least' | 'at-most'; readonly count: number };
  readonly criteria: readonly CorrelatedCriterion[];
  readonly demographics: readonly (readonly Filter[])[];
  readonly groups: readonly Group[];
};

/** How often events of a criterion have to occur around an index event. */
export type CorrelatedCriterion = {
  readonly criterion: Criterion;
  readonly startWindow: Window;
  readonly endWindow: Window | undefined;
  readonly isSameVisit: boolean;
  /** Whether they may lie outside the observation period of the index event. */
  readonly ignoresObservationPeriod: boolean;
  readonly occurrence: {
    readonly kind: 'exactly' | 'at-most' | 'at-least';
    readonly count: number;
    /** Different values of this column are counted, not events. */
    readonly distinct: CountColumn | undefined;
  };
};

export type CountColumn =
  | 'concept'
  | 'source-concept'
  | 'visit'
  | 'visit-detail'
  | 'start'
  | 'end'
  | 'duration'
  | 'quantity';

/** From one bound to another, around the start or end of the index event; where the start or end of the other event lies in it. */
export type Window = {
  readonly from: Bound;
  readonly to: Bound;
  readonly indexDay: 'start' | 'end';
  readonly eventDay: 'start' | 'end';
};

/** Days after the index day, before it when negative; or as far as the observation period goes. */
export type Bound = { readonly days: number } | 'all-before' | 'all-after';

export type EndStrategy =
  | { readonly kind: 'date-offset'; readonly from: 'start' | 'end'; readonly days: number }
  | {
      readonly kind: 'custom-era';
      readonly drugConceptSet: number;
      readonly gapDays: number;
      readonly offsetDays: number;
      /** Instead of what each exposure says of its length. */
      readonly daysSupply: number | undefined;
    };
