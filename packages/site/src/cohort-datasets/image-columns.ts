/** One column out of the images of persons: `image_candidate` has person_id, days, came and reference of each that counts. */
import type { ImageFeature, ImageSelection } from '@lantern/contract';
import type { Cdm } from '../cdm/cdm.ts';

export type PlacedImage = {
  readonly feature: ImageFeature;
  /** Of the column. */
  readonly place: number;
  readonly selection: ImageSelection;
};

/** Which comes first of several; of one day, the order in which they came. */
const ORDER: Readonly<Record<ImageSelection['take'], string>> = {
  first: 'days, came',
  last: 'days DESC, came DESC',
  nearest: 'abs(days), days, came',
};

/** Sets `v<place>` of the gathered rows, and `r<place>` where it lies beyond the range; `t<place>` of references. */
export async function fillImageColumn(
  results: Cdm['results'],
  { feature, place, selection }: PlacedImage,
): Promise<void> {
  await results.run(`CREATE OR REPLACE TEMP TABLE image_taken AS
    SELECT person_id, days, reference, count(*) OVER (PARTITION BY person_id) AS series_count FROM temp.image_candidate
    QUALIFY row_number() OVER (PARTITION BY person_id ORDER BY ${ORDER[selection.take]}) = 1`);
  const set = (assignments: string) =>
    results.run(
      `UPDATE temp.feature_row SET ${assignments} FROM temp.image_taken a WHERE a.person_id = feature_row.person_id`,
    );
  switch (feature.aggregation) {
    case 'reference':
      await results.run(`ALTER TABLE temp.feature_row ADD COLUMN t${place} VARCHAR`);
      await set(`t${place} = a.reference`);
      return;
    case 'exists':
    case 'count':
      await results.run(`UPDATE temp.feature_row SET v${place} = 0`);
      await set(`v${place} = ${feature.aggregation === 'exists' ? '1' : 'a.series_count'}`);
      break;
    case 'days':
      await set(`v${place} = a.days`);
  }
  const { range } = feature;
  if (range === undefined) return;
  await results.run(
    `UPDATE temp.feature_row SET v${place} = NULL, r${place} = 1 WHERE v${place} NOT BETWEEN ${range.min} AND ${range.max}`,
  );
}
