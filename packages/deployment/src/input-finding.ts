/** Why no risk is computed: what was not there, or was there and cannot be right. Shown to the clinician. */

/** `label` names the input in the words of the dataset; `reason` may name a value, as it goes back to the same record. */
export type InputFinding = {
  readonly kind: 'missing' | 'impossible';
  readonly column?: string;
  readonly label: string;
  readonly reason: string;
};

/** A usable value of a column, and how it is shown: what it was computed from. */
export type InputValue = {
  readonly kind: 'value';
  readonly column: string;
  readonly value: number | string;
  readonly label: string;
  /** With its unit, or the meaning of the category. */
  readonly shown: string;
  /** When it was measured, as the record wrote it; absent for what has no date (age, sex). */
  readonly measured?: string;
};
