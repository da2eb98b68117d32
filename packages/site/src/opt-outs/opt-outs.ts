/**
 * Patients of this hospital who opted out of research: local lists by patient number or NHS number, kept as digests under a key of
 * this site, each with the time at which it was true.
 *
 * Fails closed: where a list is asked for or was ever loaded, and is missing or too old, no research copy is made until a newer one
 * is here. A patient who cannot be told (no number at all) is not copied then either. The national data opt-out is applied before
 * data reach this list, by the service that returns cleaned NHS numbers (DCB3058).
 */
import { createHmac } from 'node:crypto';
import {
  AppError,
  type NewOptOutList,
  OPT_OUT_LISTS,
  type OptOutListName,
  OptOutListNameSchema,
  type OptOutStatus,
} from '@lantern/contract';
import { type AnyTx, type Clock, type Database, type Tx, transactionOf } from '@lantern/service';
import { type Static, Type } from 'typebox';
import type { ResearchKeys } from '../research-keys/research-keys.ts';
import { audit } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import { nhsNumberOf, patientIdOf } from './patient-numbers.ts';
import { anyListed, type LoadedList, listedAmong, type OptOutTables, readLists, replaceList } from './store.ts';

const DAY_MS = 86_400_000;
/** Clocks differ; a list from next week is a mistake that would keep it fresh for too long. */
const AHEAD_MS_MAX = 3_600_000;

export const OptOutSettingsSchema = Type.Object(
  {
    ageDaysMax: Type.Integer({
      default: 7,
      minimum: 1,
      maximum: 31,
      description: 'a list that is older stops research copies until a newer one is loaded',
    }),
    required: Type.Array(OptOutListNameSchema, {
      default: [],
      description: 'lists without which nothing is copied; one that was loaded once counts as required',
    }),
  },
  { additionalProperties: false },
);
export type OptOutSettings = Static<typeof OptOutSettingsSchema>;
export const OPT_OUTS_DEFAULT: OptOutSettings = { ageDaysMax: 7, required: [] };

/** What the lists say of a patient, by the numbers under which he is known. */
export type PatientVerdict = 'may-be-used' | 'opted-out' | 'not-identified';

/** Which lists are in force; `state` changes with every list that is loaded. */
export type OptOutEvidence = {
  readonly open: boolean;
  readonly state: string;
  readonly lists: readonly { readonly list: OptOutListName; readonly asOf: string }[];
};

export type OptOuts = {
  /** `false`: a list is missing or too old, and nothing may be copied. */
  isOpen(): Promise<boolean>;
  verdictOn(numbers: readonly string[]): Promise<PatientVerdict>;
  /** The same of many patients at once, each with his numbers. */
  verdictsOn(patients: readonly (readonly string[])[]): Promise<PatientVerdict[]>;
  /** The same, by what `digestsOf` gave earlier for each. */
  verdictsOnDigests(patients: readonly (readonly Buffer[])[]): Promise<PatientVerdict[]>;
  evidence(): Promise<OptOutEvidence>;
  /** The same, by what `digestsOf` gave earlier. */
  verdictOnDigests(digests: readonly Buffer[]): Promise<PatientVerdict>;
  /** Under which the lists know these numbers. */
  digestsOf(numbers: readonly string[]): Promise<Buffer[]>;
  status(): Promise<OptOutStatus>;
  /** Replaces a list. Throws `input.invalid` for an entry that is no number of its kind, `conflict` for an older list. */
  load(list: OptOutListName, given: NewOptOutList, by: string): Promise<OptOutStatus>;
};

type OptOutDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly keys: ResearchKeys;
  readonly settings: OptOutSettings;
  /** Writes the jobs that follow a new list. */
  readonly onLoaded: (tx: AnyTx) => Promise<void>;
};

export function createOptOuts(deps: OptOutDeps): OptOuts {
  const db = deps.database.kysely<OptOutTables>();
  const key = () => deps.keys.keyOf('opt-outs');
  const status = async () => statusOf(await readLists(db), deps.settings, deps.clock.now());
  const verdictOnDigests = async (digests: readonly Buffer[]) => {
    const loaded = await readLists(db);
    if (loaded.length === 0) return 'may-be-used';
    if (digests.length === 0) return 'not-identified';
    return (await anyListed(db, digests)) ? 'opted-out' : 'may-be-used';
  };
  const verdictsOnDigests = async (patients: readonly (readonly Buffer[])[]): Promise<PatientVerdict[]> => {
    if ((await readLists(db)).length === 0) return patients.map(() => 'may-be-used');
    const listed = await listedAmong(db, patients.flat());
    return patients.map((own) => {
      if (own.length === 0) return 'not-identified';
      return own.some((digest) => listed.has(digest.toString('hex'))) ? 'opted-out' : 'may-be-used';
    });
  };
  return {
    status,
    isOpen: async () => (await status()).open,
    digestsOf: async (numbers) => digestsOf(numbers, await key()),
    verdictOn: async (numbers) => verdictOnDigests(digestsOf(numbers, await key())),
    verdictOnDigests,
    async verdictsOn(patients) {
      const secret = await key();
      return verdictsOnDigests(patients.map((numbers) => digestsOf(numbers, secret)));
    },
    verdictsOnDigests,
    async evidence() {
      const loaded = await readLists(db);
      const { open } = statusOf(loaded, deps.settings, deps.clock.now());
      const lists = loaded.map(({ list, asOf }) => ({ list, asOf: asOf.toISOString() }));
      const state = loaded.map(({ list, loadedAt, entryCount }) => `${list} ${loadedAt.toISOString()} ${entryCount}`);
      return { open, lists, state: state.join('; ') };
    },
    async load(list, { asOf, entries }, by) {
      const now = deps.clock.now();
      const at = new Date(asOf);
      if (at.getTime() > now.getTime() + AHEAD_MS_MAX)
        throw new AppError('input.invalid', 'asOf: lies in the future.', { field: 'asOf' });
      const digests = entriesOf(list, entries, await key());
      await deps.database.transaction(async (tx: Tx<OptOutTables>) => {
        const isReplaced = await replaceList(tx, { list, asOf: at, loadedBy: by, loadedAt: now, digests });
        if (!isReplaced) throw new AppError('conflict', 'A newer list is loaded already.');
        await deps.onLoaded(tx);
        const details = { asOf, entryCount: digests.length };
        const line = { actor: `user:${by}`, action: 'opt-outs.load', object: list, details } as const;
        await audit(deps, transactionOf<SiteTables>(tx), line);
      });
      return status();
    },
  };
}

function statusOf(loaded: readonly LoadedList[], { ageDaysMax, required }: OptOutSettings, now: Date): OptOutStatus {
  const lists = OPT_OUT_LISTS.map((list) => {
    const found = loaded.find((one) => one.list === list);
    if (found === undefined) return { list, entryCount: 0, isStale: required.includes(list) };
    const { asOf, loadedBy, entryCount } = found;
    const isStale = now.getTime() - asOf.getTime() > ageDaysMax * DAY_MS;
    return { list, asOf: asOf.toISOString(), loadedBy, entryCount, isStale };
  });
  return { open: !lists.some(({ isStale }) => isStale), ageDaysMax, lists };
}

const NUMBER_OF = { 'patient-ids': patientIdOf, 'nhs-numbers': nhsNumberOf } as const;

/** A number counts under every list whose form it has: a hospital may use NHS numbers as patient numbers. */
function digestsOf(numbers: readonly string[], key: Buffer): Buffer[] {
  return numbers.flatMap((number) =>
    OPT_OUT_LISTS.flatMap((list) => {
      const normal = NUMBER_OF[list](number);
      return normal === undefined ? [] : [digestOf(list, normal, key)];
    }),
  );
}

function entriesOf(list: OptOutListName, entries: readonly string[], key: Buffer): Buffer[] {
  return entries.map((entry, index) => {
    const normal = NUMBER_OF[list](entry);
    if (normal === undefined)
      throw new AppError('input.invalid', `entries/${index}: is no number of this list.`, {
        field: `entries/${index}`,
      });
    return digestOf(list, normal, key);
  });
}

function digestOf(list: OptOutListName, number: string, key: Buffer): Buffer {
  return createHmac('sha256', key).update(`${list}\0${number}`).digest();
}
