/**
 * What a feature specification makes of a CDM, for people inside the hospital: exact numbers and rows that pass no gate. Persons have
 * keys that anybody can work out, and opt-outs are not known here: the table of a preview is for a look at it, and for no research.
 */
import { AppError, type DatasetBuildReport, type FeatureSpecification } from '@lantern/contract';
import type { Cdm } from '../cdm/cdm.ts';
import type { TableAccount } from '../cdm/table-import.ts';
import { gatherFeatures, keyPersons, readReport, writeFeatures } from './feature-rows.ts';
import type { ResourceSource } from './view-values.ts';

const PREVIEW_KEY = Buffer.from('lantern.preview');

type Previewed = {
  readonly specification: FeatureSpecification;
  readonly out: string | undefined;
  /** For the views of the specification. */
  readonly resources?: ResourceSource;
};

export async function previewFeatures(
  cdm: Cdm,
  { specification, out, resources }: Previewed,
): Promise<{ report: DatasetBuildReport; shortfalls: readonly TableAccount[] }> {
  if ((specification.images ?? []).length > 0)
    throw new AppError('input.invalid', 'The specification asks for images, which only a site with an archive has.', {
      field: 'images',
    });
  const accounts = await gatherFeatures(cdm, specification, resources);
  const { testShare } = specification;
  await keyPersons(cdm, { key: PREVIEW_KEY, testShare, usable: 'SELECT person_id FROM temp.feature_row' });
  if (out !== undefined) await writeFeatures(cdm, specification, out);
  const shortfalls = accounts.filter(({ refused, absentColumns }) => refused.length + absentColumns.length > 0);
  return { report: await readReport(cdm, specification), shortfalls };
}
