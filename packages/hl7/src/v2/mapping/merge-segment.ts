/** MRG says of the patient who goes what PID says of the one who stays (3.4.9), under other numbers. */
import type { Segment } from '../message.ts';

export const MRG_FIELDS = { patientIds: 1, patientName: 7 } as const;
const PID_FIELDS = { patientIds: 3, patientName: 5 } as const;

export function pidOfMrg({ fields }: Segment): Segment {
  const pid = new Array<string>(PID_FIELDS.patientName + 1).fill('');
  pid[0] = 'PID';
  pid[PID_FIELDS.patientIds] = fields[MRG_FIELDS.patientIds] ?? '';
  pid[PID_FIELDS.patientName] = fields[MRG_FIELDS.patientName] ?? '';
  return { name: 'PID', fields: pid };
}
