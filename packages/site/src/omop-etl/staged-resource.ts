/**
 * What the reader of one resource says: rows for the staged tables, and findings. A resource that is refused or has no place in
 * the CDM gives no rows, whatever was collected before.
 */
import type { StagedRow, StagedTable } from '@lantern/omop';

/** Why a resource was refused, has no place, or should be looked at; a closed list, explained in the guide for data engineers. */
export type ReadingRule =
  | 'body-part'
  | 'birth-date.missing'
  | 'code.missing'
  | 'component.too-many'
  | 'date.missing'
  | 'date.not-exact'
  | 'end.before-start'
  | 'end.invalid'
  | 'feature.missing'
  | 'object.malformed'
  | 'object.too-large'
  | 'object.unreadable'
  | 'object.unsupported'
  | 'patient.merged'
  | 'patient.other-than-study'
  | 'patient.reference-missing'
  | 'report.template'
  | 'resource-type'
  | 'series.missing'
  | 'status'
  | 'value.invalid'
  | 'value.words'
  | 'volume.unknown';

export type StagedResource = {
  readonly resourceKey: string;
  readonly personKey: string | undefined;
  readonly rows: readonly StagedRowOf[];
};

/** A row with the table that it is for. */
export type StagedRowOf = {
  [Table in StagedTable]: { readonly table: Table; readonly row: StagedRow<Table> };
}[StagedTable];

export type ResourceStage = {
  readonly resourceKey: string;
  /** Adds a row; its resource_key is filled in. */
  add<Table extends StagedTable>(table: Table, row: Omit<StagedRow<Table>, 'resource_key'>): void;
  warn(rule: ReadingRule): void;
  refuse(rule: ReadingRule, code?: string): void;
  /** The CDM has no place for it, or nobody here reads it. */
  leaveOut(rule: ReadingRule, code: string): void;
  /** The patient whose rows change with this resource. */
  belongsTo(personKey: string): void;
};
