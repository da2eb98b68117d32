/**
 * Numbers of images in which fewer patients differ from all others than the threshold: a corner that is black in all but three, say.
 * The slope of a weight over such a number is those three patients. They become what they are in all others, so that nothing a run
 * gives can rest on fewer; elsewhere such a column is refused, but an image always has some.
 *
 * Who differs is counted from the value of the majority (Boyer and Moore 1991), which is found wherever fewer than half differ; so
 * there must be twice as many rows as the threshold. Rows are patients: datasets of a site's own have one row of each.
 */
import { rename } from 'node:fs/promises';
import { createRowFile, type RowBlock, rowBlocks } from './row-file.ts';

type Numbers = { readonly first: number; readonly count: number };

/** Rewrites a file of rows where it must; gives how many numbers were made the same. `images`: where they stand in a row. */
export async function evenOutRareNumbers(
  file: string,
  { images, patientCountMin }: { images: readonly Numbers[]; patientCountMin: number },
): Promise<number> {
  const places = images.flatMap(({ first, count }) => Array.from({ length: count }, (_, index) => first + index));
  const common = await commonValues(file, places);
  const others = new Uint32Array(places.length);
  let shape = { rowCount: 0, featureCount: 0 };
  for await (const block of rowBlocks(file)) {
    shape = { rowCount: shape.rowCount + block.rowCount, featureCount: block.featureCount };
    eachNumber(block, places, (value, index) => {
      if (value !== common[index]) others[index] = (others[index] ?? 0) + 1;
    });
  }
  const rare = [...places.keys()].filter((index) => {
    const count = others[index] ?? 0;
    return count > 0 && count < patientCountMin;
  });
  if (rare.length === 0) return 0;
  const target = `${file}.even`;
  const writer = await createRowFile(target, shape, 'F64');
  try {
    for await (const block of rowBlocks(file)) {
      for (let row = 0; row < block.rowCount; row += 1) {
        for (const index of rare) block.values[row * block.featureCount + (places[index] ?? 0)] = common[index] ?? 0;
      }
      await writer.append(block);
    }
    await writer.finish();
  } catch (caught) {
    await writer.abandon().catch(() => undefined); // closed already; the first error tells more
    throw caught;
  }
  await rename(target, file);
  return rare.length;
}

/** The value of more than half of the rows at each place, where there is one. */
async function commonValues(file: string, places: readonly number[]): Promise<Float64Array> {
  const candidates = new Float64Array(places.length);
  const leads = new Int32Array(places.length);
  for await (const block of rowBlocks(file)) {
    eachNumber(block, places, (value, index) => {
      const lead = leads[index] ?? 0;
      if (lead === 0) candidates[index] = value;
      leads[index] = lead === 0 || candidates[index] === value ? lead + 1 : lead - 1;
    });
  }
  return candidates;
}

function eachNumber(block: RowBlock, places: readonly number[], visit: (value: number, index: number) => void): void {
  for (let row = 0; row < block.rowCount; row += 1) {
    const start = row * block.featureCount;
    for (let index = 0; index < places.length; index += 1)
      visit(block.values[start + (places[index] ?? 0)] ?? Number.NaN, index);
  }
}
