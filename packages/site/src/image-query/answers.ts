/** A match as DICOM JSON (PS3.18 annex F): what was asked for, in the order of tags, empty where there is nothing. */
import type { JsonDataSet, JsonElement } from '@lantern/dicom';
import type { ImageQuery } from './query.ts';
import type { ComputedPart, QueryAttribute } from './query-attributes.ts';
import type { MatchRow } from './store.ts';

export type AnswerContext = {
  /** Title under which the images are retrieved. */
  readonly retrieveAe: string | undefined;
  /** Where the resources of DICOMweb are, without a slash at its end; `undefined` shows no URLs. */
  readonly webUrl: string | undefined;
};

export function answerOf(query: ImageQuery, row: MatchRow, context: AnswerContext): JsonDataSet {
  return Object.fromEntries(
    query.shown.map((attribute) => [attribute.tag, elementOf(attribute, { query, row, context })]),
  );
}

type Shown = { readonly query: ImageQuery; readonly row: MatchRow; readonly context: AnswerContext };

function elementOf(attribute: QueryAttribute, shown: Shown): JsonElement {
  const { level, tag, vr, source } = attribute;
  const { row } = shown;
  if (source.kind === 'computed') return element(vr, computedValues(source.part, shown));
  if (level === 'IMAGE') return element(vr, instanceValues(attribute.keyword, row));
  const kept = (level === 'SERIES' ? row.series_attributes : row.study_attributes)?.[tag];
  // The first instance of a study may have had it otherwise, as a value that was too large or of another VR.
  return element(vr, kept?.vr === vr ? (kept.Value ?? []) : []);
}

function element(vr: string, values: readonly unknown[]): JsonElement {
  const known = { vr: vr as JsonElement['vr'] }; // VRs of the table of attributes
  return values.length === 0 ? known : { ...known, Value: values };
}

function present(...values: readonly unknown[]): readonly unknown[] {
  return values.filter((value) => value !== undefined && value !== null && value !== '');
}

function instanceValues(keyword: string, row: MatchRow): readonly unknown[] {
  switch (keyword) {
    case 'SOPInstanceUID':
      return present(row.sop_instance_uid);
    case 'SOPClassUID':
      return present(row.sop_class_uid);
    case 'AvailableTransferSyntaxUID':
      return present(row.transfer_syntax_uid);
    case 'InstanceNumber':
      return present(row.instance_number);
    case 'NumberOfFrames':
      return present(row.frame_count);
    case 'Rows':
      return present(row.image_rows);
    case 'Columns':
      return present(row.image_columns);
    default:
      return [];
  }
}

function computedValues(part: ComputedPart, { query, row, context }: Shown): readonly unknown[] {
  switch (part) {
    case 'modalities':
    case 'sopClasses':
      return row[part] ?? [];
    case 'availability':
      return ['ONLINE'];
    case 'retrieveAe':
      return present(context.retrieveAe);
    case 'retrieveUrl':
      return present(context.webUrl && `${context.webUrl}/${resourceOf(query, row)}`);
    default:
      return present(row[part]);
  }
}

function resourceOf({ level }: ImageQuery, row: MatchRow): string {
  const parts = ['studies', row.study_instance_uid];
  if (level === 'SERIES' || level === 'IMAGE') parts.push('series', row.series_instance_uid ?? '');
  if (level === 'IMAGE') parts.push('instances', row.sop_instance_uid ?? '');
  return parts.join('/');
}
