/** Patient/$everything: the patient, and all that belongs to its compartment by HL7's definition, page by page. */
import { patientCompartment, placeOf, searchParametersOf } from '@lantern/hl7';
import { answerOf, type BundleLink, bundleText, type FhirAnswer, versionText } from './answer.ts';
import { FhirFault } from './fhir-fault.ts';
import { termOf } from './index-rows.ts';
import type { InteractionDeps } from './interactions.ts';
import { PAGE_COUNT_MAX } from './limits.ts';
import { nameText, readCurrent, readReferring, type StoredVersion } from './store.ts';

/** Where resources say which patient they belong to. */
export function compartmentPlaces(): string[] {
  const places = Object.entries(patientCompartment()).flatMap(([type, codes]) =>
    codes.flatMap((code) => (searchParametersOf(type)[code]?.sources ?? []).map((source) => placeOf(type, source))),
  );
  return [...new Set(places)];
}

export async function everything(
  { store }: InteractionDeps,
  { id, query, base }: { readonly id: string; readonly query: URLSearchParams; readonly base: string },
): Promise<FhirAnswer> {
  const name = { type: 'Patient', id };
  const types = query.get('_type')?.split(',');
  const count = Math.min(Number(query.get('_count') ?? PAGE_COUNT_MAX), PAGE_COUNT_MAX);
  const after = query.get('_cursor');
  for (const parameter of query.keys()) {
    if (!['_type', '_count', '_cursor', '_format'].includes(parameter)) {
      throw new FhirFault(400, 'not-supported', 'Of the parameters of $everything _type and _count are supported.');
    }
  }
  if (!Number.isInteger(count) || count < 1)
    throw new FhirFault(400, 'invalid', '_count: it is a whole number above 0.');
  if (after !== null && !/^\d{1,18}$/.test(after))
    throw new FhirFault(400, 'invalid', '_cursor: take it as it is given.');
  const patient = (await readCurrent(store.database, [name])).get(nameText(name));
  if (patient?.text === undefined)
    throw new FhirFault(patient === undefined ? 404 : 410, 'not-found', 'There is no such patient.');
  const places = await store.numbering.findPlaces(compartmentPlaces());
  const terms = places.map((place) => termOf(place, nameText(name)));
  const found = await readReferring(store.database, terms, { after: after ?? '0', count: count + 1, types });
  const isPatientWanted = after === null && (types === undefined || types.includes('Patient'));
  const shown = [...(isPatientWanted ? [patient] : []), ...found.slice(0, count)];
  const path = `${base}/Patient/${id}/$everything`;
  const links: BundleLink[] = [{ relation: 'self', url: query.size === 0 ? path : `${path}?${query}` }];
  const last = found[count - 1];
  if (found.length > count && last !== undefined) {
    const next = new URLSearchParams(query);
    next.set('_cursor', last.key);
    links.push({ relation: 'next', url: `${path}?${next}` });
  }
  return answerOf(
    200,
    bundleText(
      'searchset',
      shown.map((version) => entryText(version, base)),
      { links },
    ),
  );
}

function entryText(version: StoredVersion, base: string): string {
  return `{"fullUrl":"${base}/${nameText(version)}","resource":${versionText(version)},"search":{"mode":"match"}}`;
}
