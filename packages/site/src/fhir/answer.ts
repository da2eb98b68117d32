/** What goes back over HTTP, and bundles put together from resources that are text already. */
import { type Issue, operationOutcome, writeJson } from '@lantern/hl7';
import { FhirFault } from './fhir-fault.ts';
import { joinResource } from './resource-text.ts';
import type { StoredVersion } from './store.ts';

export type FhirAnswer = {
  readonly status: 200 | 201 | 202 | 204 | 304 | FhirFault['status'];
  readonly text: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
};

export function answerOf(status: FhirAnswer['status'], text: string, headers: FhirAnswer['headers'] = {}): FhirAnswer {
  return { status, text, headers };
}

export function outcomeAnswer(status: FhirAnswer['status'], issues: readonly Issue[]): FhirAnswer {
  return answerOf(status, writeJson(operationOutcome(issues)));
}

export function versionText(version: StoredVersion): string {
  return version.text === undefined ? '' : joinResource(version, version.text);
}

export function etagOf({ version }: Pick<StoredVersion, 'version'>): string {
  return `W/"${version}"`;
}

export function versionHeaders(version: StoredVersion): Record<string, string> {
  return { etag: etagOf(version), 'last-modified': version.lastUpdated.toUTCString() };
}

export function locationOf(base: string, { type, id, version }: StoredVersion): string {
  return `${base}/${type}/${id}/_history/${version}`;
}

export type BundleLink = { readonly relation: 'self' | 'next'; readonly url: string };

/** `entries` are JSON texts. */
export function bundleText(
  type: 'searchset' | 'history' | 'transaction-response' | 'batch-response',
  entries: readonly string[],
  { total, links = [] }: { readonly total?: number | undefined; readonly links?: readonly BundleLink[] } = {},
): string {
  const members = [
    `"resourceType":"Bundle"`,
    `"type":"${type}"`,
    ...(total === undefined ? [] : [`"total":${total}`]),
    ...(links.length === 0 ? [] : [`"link":${writeJson(links)}`]),
    ...(entries.length === 0 ? [] : [`"entry":[${entries.join(',')}]`]),
  ];
  return `{${members.join(',')}}`;
}

/** What is wrong, of anything that was thrown; undefined where it is not the caller's to know. */
export function faultOf(caught: unknown): FhirFault | undefined {
  return caught instanceof FhirFault ? caught : undefined;
}
