/** Patients as another capability of the site reads them: one after another, each with the resources that belong to it. */
import { isJsonObject, type JsonObject, parseJson } from '@lantern/hl7';
import { versionText } from './answer.ts';
import { compartmentPlaces } from './everything.ts';
import type { FhirStore } from './fhir-store.ts';
import { termOf } from './index-rows.ts';
import { FHIR_JSON_LIMITS } from './limits.ts';
import { nameText, newestKey, nextResources, readCurrent, readReferring, type StoredVersion } from './store.ts';

export type StoredPatient = { readonly key: string; readonly id: string; readonly resource: JsonObject };

export type PatientRecords = {
  /** The next patients in the order in which they were last written. */
  patientsAfter(key: string, count: number): Promise<StoredPatient[]>;
  patient(id: string): Promise<StoredPatient | undefined>;
  /** Resources of these types that belong to a patient, a page at a time. */
  belongingTo(id: string, types: readonly string[]): AsyncGenerator<JsonObject>;
  /** Those of `names`, as `Practitioner/17`, that are there. */
  named(names: readonly string[]): Promise<JsonObject[]>;
  /** Up to `count` resources of these types. */
  allOf(types: readonly string[], count: number): Promise<JsonObject[]>;
};

const PAGE_COUNT = 200; // some documents are megabytes

export function createPatientRecords({ database, numbering }: FhirStore): PatientRecords {
  return {
    async patientsAfter(key, count) {
      const until = await newestKey(database);
      const found = await nextResources(database, { types: ['Patient'], after: key, until, since: null, count });
      return found.map(storedPatient);
    },
    async patient(id) {
      const name = { type: 'Patient', id };
      const found = (await readCurrent(database, [name])).get(nameText(name));
      return found?.text === undefined ? undefined : storedPatient(found);
    },
    async *belongingTo(id, types) {
      const places = await numbering.findPlaces(compartmentPlaces());
      const terms = places.map((place) => termOf(place, nameText({ type: 'Patient', id })));
      for (let after = '0'; ; ) {
        const found = await readReferring(database, terms, { after, count: PAGE_COUNT, types });
        for (const version of found) yield resourceOf(version);
        const last = found.at(-1);
        if (last === undefined || found.length < PAGE_COUNT) return;
        after = last.key;
      }
    },
    async named(names) {
      const wanted = names.flatMap((name) => {
        const [type, id] = name.split('/');
        return type === undefined || id === undefined ? [] : [{ type, id }];
      });
      const found = await readCurrent(database, wanted);
      return [...found.values()].filter(({ text }) => text !== undefined).map(resourceOf);
    },
    async allOf(types, count) {
      const until = await newestKey(database);
      return (await nextResources(database, { types, after: '0', until, since: null, count })).map(resourceOf);
    },
  };
}

function storedPatient(version: StoredVersion): StoredPatient {
  return { key: version.key, id: version.id, resource: resourceOf(version) };
}

function resourceOf(version: StoredVersion): JsonObject {
  const parsed = parseJson(versionText(version), FHIR_JSON_LIMITS);
  return isJsonObject(parsed) ? parsed : {};
}
