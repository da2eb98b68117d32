/** MRG says of the patient, account or visit that goes what PID and PV1 say of the one who stays (3.4.9), under other numbers. */
import type { Segment } from '../message.ts';
import type { PriorNumber } from './adt-events.ts';

export const MRG_FIELDS = { patientIds: 1, patientName: 7 } as const;
const PID_FIELDS = { patientIds: 3, patientName: 5, account: 18 } as const;
const PV1_FIELDS = { visit: 19, alternateVisit: 50 } as const;
const MRG_ALTERNATE_VISIT = 6;

export function pidOfMrg({ fields }: Segment): Segment {
  return made('PID', [
    [PID_FIELDS.patientIds, fields[MRG_FIELDS.patientIds]],
    [PID_FIELDS.patientName, fields[MRG_FIELDS.patientName]],
  ]);
}

/** The segment that would say of somebody under his old number who he is. */
export function priorOf({ fields }: Segment, { of, field }: PriorNumber): Segment {
  const number = fields[field];
  if (of === 'Patient') return made('PID', [[PID_FIELDS.patientIds, number]]);
  if (of === 'Account') return made('PID', [[PID_FIELDS.account, number]]);
  return made('PV1', [[field === MRG_ALTERNATE_VISIT ? PV1_FIELDS.alternateVisit : PV1_FIELDS.visit, number]]);
}

/** Of PID the fields that number a patient, or his account. */
export function pidOf({ fields }: Segment, of: 'Patient' | 'Account'): Segment {
  const field = of === 'Patient' ? PID_FIELDS.patientIds : PID_FIELDS.account;
  return made('PID', [[field, fields[field]]]);
}

function made(name: string, values: readonly (readonly [number, string | undefined])[]): Segment {
  const fields = new Array<string>(1 + Math.max(...values.map(([field]) => field))).fill('');
  fields[0] = name;
  for (const [field, value] of values) fields[field] = value ?? '';
  return { name, fields };
}
