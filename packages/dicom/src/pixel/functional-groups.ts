/** What holds for one frame of a multi-frame image (PS3.3 C.7.6.16): its own functional group, else the shared one. */
import { type DataSet, itemsOf } from '../data-set.ts';
import type { Tag } from '../tag.ts';

const SHARED_FUNCTIONAL_GROUPS = 0x52009229;
const PER_FRAME_FUNCTIONAL_GROUPS = 0x52009230;

/** The item of the macro `sequence` for a frame; `undefined` for none, as in images of other kinds. */
export function functionalGroup(dataSet: DataSet, frameIndex: number, sequence: Tag): DataSet | undefined {
  const own = itemsOf(dataSet, PER_FRAME_FUNCTIONAL_GROUPS)[frameIndex];
  const [shared] = itemsOf(dataSet, SHARED_FUNCTIONAL_GROUPS);
  return [own, shared].flatMap((group) => (group === undefined ? [] : itemsOf(group, sequence)))[0];
}
