/**
 * De-identified notes of this hospital's records for a project.
 *
 *   policy (a signed approval that allows them) ──► opt-outs (fresh?) ──► patient by patient: opted out? ──► texts ──► de-identified
 *
 * Invariants: without an approval that says `deidentified` no text is read; nothing is read while a list of opt-outs is missing or too
 * old; who opted out, or cannot be told, is left out before his texts are read; pseudonym and shift are those of the project's images;
 * every page leaves a line of counts in the audit log. Notes go to the hospital's own data engineer and never to the hub.
 */
import {
  AppError,
  type NoteAccount,
  type ProjectId,
  type ResearchNote,
  type ResearchNotesPage,
} from '@lantern/contract';
import { createPseudonyms, PROFILE_DEFAULT, type Pseudonyms } from '@lantern/dicom';
import { createNoteDeidentifier, type DeidentifiedNote, type KnownPerson } from '@lantern/omop';
import type { Tx } from '@lantern/service';
import type { PatientRecords, StoredPatient } from '../fhir/patient-records.ts';
import type { FreeTextPermission, Refusal } from '../governance/policy.ts';
import { type Json, keyOfReference, members, textOf } from '../omop-etl/fhir-json.ts';
import type { OptOuts } from '../opt-outs/opt-outs.ts';
import type { ResearchKeys } from '../research-keys/research-keys.ts';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import { contactsOf, knownPersonOf, numberOfPatient, numbersOf } from './known-person.ts';
import { NOTE_TYPES, noteTextsOf } from './note-texts.ts';

const PATIENTS_PER_PAGE = 10;
/** Organisations and places whose names are looked for. */
const PLACE_COUNT_MAX = 2_000;
const MS_PER_DAY = 86_400_000;

export type NotesDeps = Pick<SiteContext, 'database' | 'clock'> & {
  readonly records: PatientRecords;
  readonly optOuts: Pick<OptOuts, 'evidence' | 'verdictOn'>;
  readonly keys: ResearchKeys;
  readonly permissionOf: (projectId: ProjectId) => Promise<FreeTextPermission | Refusal>;
  /** By how many days the images of a project may be moved; undefined where it has none. */
  readonly shiftDaysMaxOf: (projectId: ProjectId) => Promise<number | undefined>;
};

export type Notes = ReturnType<typeof createNotes>;

type Wanted = {
  readonly projectId: ProjectId;
  readonly after?: string | undefined;
  readonly patient?: string | undefined;
  readonly by: string;
  readonly signal: AbortSignal;
};

export function createNotes(deps: NotesDeps) {
  return { page: (wanted: Wanted) => page(deps, wanted) };
}

/** Throws `policy.not-approved`, `policy.refused` or `envelope.rejected`; a refusal is recorded too. */
async function page(deps: NotesDeps, wanted: Wanted): Promise<ResearchNotesPage> {
  const permission = await permitted(deps, wanted);
  const { projectId, after = '0', patient: only } = wanted;
  const pseudonyms = createPseudonyms(await deps.keys.keyOf(`project:${projectId}`));
  const shiftDaysMax = (await deps.shiftDaysMaxOf(projectId)) ?? PROFILE_DEFAULT.dateShiftDaysMax;
  const places = await placeNames(deps.records);
  const patients =
    only === undefined ? await deps.records.patientsAfter(after, PATIENTS_PER_PAGE) : await onePatient(deps, only);
  const notes: ResearchNote[] = [];
  const account = { patients: 0, optedOut: 0, notes: 0, unread: 0 };
  for (const patient of patients) {
    wanted.signal.throwIfAborted();
    account.patients += 1;
    if ((await deps.optOuts.verdictOn(numbersOf(patient.resource))) !== 'may-be-used') {
      account.optedOut += 1;
      continue;
    }
    const read = await notesOf(deps.records, patient, { pseudonyms, shiftDaysMax, places, signal: wanted.signal });
    for (const note of read.notes) notes.push(note);
    account.unread += read.unread;
  }
  account.notes = notes.length;
  // Withdrawn or replaced lists meanwhile: nothing leaves.
  await permitted(deps, wanted);
  await record(deps, wanted, { ...account, decisionDigest: permission.decisionDigest });
  const last = patients.at(-1);
  const isLast = only !== undefined || last === undefined || patients.length < PATIENTS_PER_PAGE;
  return isLast ? { notes, account } : { notes, account, next: last.key };
}

async function permitted(deps: NotesDeps, wanted: Wanted): Promise<FreeTextPermission> {
  const permission = await deps.permissionOf(wanted.projectId);
  const evidence = await deps.optOuts.evidence();
  const refusal = permission.allowed ? (evidence.open ? undefined : STALE) : permission;
  if (permission.allowed && refusal === undefined) return permission;
  const { code, message } = refusal ?? STALE;
  await recordRefusal(deps, wanted, code);
  throw new AppError(code, message);
}

const STALE = {
  code: 'policy.refused',
  message:
    'The list of patients who opted out of research is missing or too old at this site: no notes are read until a newer one is loaded.',
} as const;

async function onePatient({ records }: NotesDeps, id: string): Promise<StoredPatient[]> {
  const patient = await records.patient(id);
  if (patient === undefined) throw new AppError('not-found', 'There is no such patient.');
  return [patient];
}

type Reading = {
  readonly pseudonyms: Pseudonyms;
  readonly shiftDaysMax: number;
  readonly places: readonly string[];
  readonly signal: AbortSignal;
};

async function notesOf(
  records: PatientRecords,
  { id, resource: patient }: StoredPatient,
  { pseudonyms, shiftDaysMax, places, signal }: Reading,
): Promise<{ notes: ResearchNote[]; unread: number }> {
  const resources: Json[] = [];
  for await (const resource of records.belongingTo(id, NOTE_TYPES)) {
    signal.throwIfAborted();
    resources.push(resource);
  }
  const number = numberOfPatient(patient, id);
  const pseudonym = pseudonyms.patientId(number);
  const dateShiftDays = -pseudonyms.dateShiftDays(number, shiftDaysMax);
  const others = [...contactsOf(patient), ...(await peopleAround(records, id, [patient, ...resources]))];
  const deidentify = createNoteDeidentifier({
    patient: knownPersonOf(patient),
    others,
    places,
    pseudonym,
    dateShiftDays,
  });
  const notes: ResearchNote[] = [];
  let unread = 0;
  for (const resource of resources) {
    const { kind, date, texts, unread: left } = noteTextsOf(resource);
    unread += left;
    for (const { place, text } of texts) {
      await new Promise(setImmediate); // a long note keeps the process; others have their turn between two
      const read = deidentify(text);
      const noteId = pseudonyms.uid(`${kind}/${textOf(resource, 'id') ?? ''}#${place}`);
      const moved = date === undefined ? {} : { date: movedDate(date, dateShiftDays) };
      notes.push({ noteId, patient: pseudonym, kind, ...moved, text: read.text, findings: countsOf(read) });
    }
  }
  return { notes, unread };
}

/** RelatedPersons of the patient, and the staff that patient and notes refer to. */
async function peopleAround(records: PatientRecords, id: string, resources: readonly Json[]): Promise<KnownPerson[]> {
  const people: KnownPerson[] = [];
  for await (const related of records.belongingTo(id, ['RelatedPerson'])) people.push(knownPersonOf(related));
  const names = new Set(resources.flatMap((resource) => REFERRING.flatMap((field) => staffIn(resource, field))));
  for (const practitioner of await records.named([...names])) people.push(knownPersonOf(practitioner));
  return people;
}

const REFERRING = [
  'generalPractitioner',
  'author',
  'authenticator',
  'performer',
  'resultsInterpreter',
  'attester',
] as const;

function staffIn(resource: Json, field: string): string[] {
  return members(resource, field).flatMap((one) =>
    [one, ...members(one, 'party')].flatMap((reference) => {
      const name = keyOfReference(reference);
      return name?.startsWith('Practitioner/') === true ? [name] : [];
    }),
  );
}

async function placeNames(records: PatientRecords): Promise<string[]> {
  const places = await records.allOf(['Organization', 'Location'], PLACE_COUNT_MAX);
  return places.flatMap((place) => textOf(place, 'name') ?? []);
}

function movedDate(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * MS_PER_DAY).toISOString().slice(0, 10);
}

function countsOf({ findings }: DeidentifiedNote): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of findings) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

async function record(
  deps: NotesDeps,
  { by, projectId }: Wanted,
  details: NoteAccount & { decisionDigest: string },
): Promise<void> {
  const line = { actor: `user:${by}`, action: 'notes.read', object: projectId, details } as const;
  await deps.database.transaction((tx: Tx<SiteTables>) => audit(deps, tx, line));
}

async function recordRefusal(deps: NotesDeps, { by, projectId }: Wanted, code: string): Promise<void> {
  const line = {
    actor: `user:${by}`,
    action: 'notes.read',
    object: projectId,
    outcome: 'refused',
    details: { code },
  } as const;
  await deps.database.transaction((tx: Tx<SiteTables>) => audit(deps, tx, line));
}
