/**
 * What an event of ADT does beyond what HL7's tables make of its segments: the tables hold no merges, moves and changes of numbers, and
 * of cancellations one. So this follows the meaning of each event in HL7 v2.9 chapter 3, and the table of codes Event[EncounterStatus]
 * where it has the event. An event that is not here changes what its segments say, and nothing else.
 */

/** Patients: the old number of MRG goes into the patient of PID; two are seen as one; what was put together is parted. */
export type PatientLink = 'merge' | 'link' | 'part';

/** Whose number MRG has, and in which of its fields: whatever has that number is the patient, account or visit of the message. */
export type PriorNumber = { readonly of: 'Patient' | 'Account' | 'Encounter'; readonly field: number };

export type AdtEvent = {
  readonly patients?: PatientLink;
  readonly prior?: PriorNumber;
  /** The account or visit changes its patient, and what belongs to it goes along. */
  readonly moves?: 'Account' | 'Encounter';
  /** How the visit stands after the event; `kept`: the event does not speak of it (HL7's table says "unknown"). */
  readonly visit?: VisitStatus | 'kept';
  /** Elements of the visit that the event takes back; `location:reserved` is the occurrence of that kind. */
  readonly visitLoses?: readonly string[];
  /** The record is no longer in use. */
  readonly endsPatient?: true;
  /** Why it is not mapped, or not wholly. */
  readonly unmapped?: string;
};

type VisitStatus = 'planned' | 'in-progress' | 'onleave' | 'finished' | 'cancelled' | 'entered-in-error';

const ACCOUNT: PriorNumber = { of: 'Account', field: 3 };
const VISIT: PriorNumber = { of: 'Encounter', field: 5 };
const DISCHARGE = ['period.end', 'hospitalization.dischargeDisposition', 'hospitalization.destination'];
const RESERVED = ['location:reserved', 'location:planned'];

const EVENTS: Readonly<Record<string, AdtEvent>> = {
  A03: { visit: 'finished' },
  A05: { visit: 'planned' },
  A08: { visit: 'kept' },
  A11: { visit: 'cancelled' },
  A12: { visit: 'kept' }, // PV1-3 has where the patient is again
  A13: { visit: 'in-progress', visitLoses: DISCHARGE },
  A14: { visit: 'planned' },
  A15: { visit: 'kept' },
  A16: { visit: 'kept' },
  A18: { patients: 'merge', prior: ACCOUNT, visit: 'kept' },
  A19: { unmapped: 'it asks a question' },
  A20: { unmapped: "the state of a bed is no patient's record" },
  A21: { visit: 'onleave' },
  A22: { visit: 'in-progress' },
  A23: { visit: 'entered-in-error' },
  A24: { patients: 'link', visit: 'kept' },
  A25: { visit: 'kept' },
  A26: { visit: 'kept', visitLoses: RESERVED },
  A27: { visit: 'cancelled' },
  A28: { visit: 'kept' },
  A29: { endsPatient: true, visit: 'kept' },
  A30: { patients: 'merge', visit: 'kept' },
  A31: { visit: 'kept' },
  A32: { visit: 'kept' },
  A33: { visit: 'kept' },
  A34: { patients: 'merge', visit: 'kept' },
  A35: { prior: ACCOUNT, visit: 'kept' },
  A36: { patients: 'merge', prior: ACCOUNT, visit: 'kept' },
  A37: { patients: 'part', visit: 'kept' },
  A38: { visit: 'cancelled' },
  A39: { patients: 'merge', visit: 'kept' },
  A40: { patients: 'merge', visit: 'kept' },
  A41: { prior: ACCOUNT, visit: 'kept' },
  A42: { prior: VISIT, visit: 'kept' },
  A43: { unmapped: 'a number that goes from one person to another is for somebody to look at', visit: 'kept' },
  A44: { moves: 'Account', visit: 'kept' },
  A45: { moves: 'Encounter', visit: 'kept' },
  A46: { prior: { of: 'Patient', field: 4 }, visit: 'kept' },
  A47: { prior: { of: 'Patient', field: 1 }, visit: 'kept' },
  A48: { prior: { of: 'Patient', field: 2 }, visit: 'kept' },
  A49: { prior: ACCOUNT, visit: 'kept' },
  A50: { prior: VISIT, visit: 'kept' },
  A51: { prior: { of: 'Encounter', field: 6 }, visit: 'kept' },
  A52: { visit: 'in-progress' },
  A53: { visit: 'onleave' },
  A54: { visit: 'kept' },
  A55: { visit: 'kept' },
  A56: { unmapped: 'HL7 gives it no meaning' },
  A57: { unmapped: 'HL7 gives it no meaning' },
  A58: { unmapped: 'HL7 gives it no meaning' },
  A59: { unmapped: 'HL7 gives it no meaning' },
  A60: { unmapped: 'HL7 has no table for IAM: patient and visit alone were mapped', visit: 'kept' },
  A61: { visit: 'kept' },
  A62: { visit: 'kept' },
};

/** Nothing of these is put into the records. */
const NOTHING: ReadonlySet<string> = new Set(['A19', 'A20', 'A56', 'A57', 'A58', 'A59']);

type Event = { readonly messageCode: string; readonly triggerEvent: string };

/** `undefined` where the segments say it all. */
export function adtEventOf({ messageCode, triggerEvent }: Event): AdtEvent | undefined {
  return messageCode === 'ADT' ? EVENTS[triggerEvent] : undefined;
}

export function isNothingToRecord({ messageCode, triggerEvent }: Event): boolean {
  return messageCode === 'ADT' && NOTHING.has(triggerEvent);
}
