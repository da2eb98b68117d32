/**
 * The resources of the store that changed since a version, for whoever keeps a copy of them in another form. Read within one state
 * of the database, page by page in the order of the versions; a resource that was deleted comes without text.
 */
import type { ReadOnlyConnection } from '@lantern/service';

/** Of the versions: `table` has a row for each, numbered by `sequence` within the transaction that writes it. */
export const VERSION_KEYS = { table: 'fhir_resource', sequence: 'fhir_version_key' } as const;

/** Read and worked on between two turns of the event loop: some half a megabyte. */
const PAGE_COUNT = 250;

export type ChangedResource = {
  readonly type: string;
  readonly id: string;
  /** Another for every version. */
  readonly versionName: string;
  /** JSON, without what the server alone says; undefined: it was deleted. */
  readonly text: string | undefined;
};

/** `after`: a key, decimal; '0' gives all. */
export async function* changedResources(
  connection: ReadOnlyConnection,
  after: string,
): AsyncGenerator<ChangedResource> {
  for (let last = BigInt(after); ; ) {
    const rows = await connection.rows(`
      select version_key, type, id, version || ' ' || extract(epoch from last_updated), body
      from fhir_resource where version_key > ${last} order by version_key limit ${PAGE_COUNT}`);
    for (const [key, type, id, versionName, body] of rows) {
      last = BigInt(key ?? '0');
      const name = { type: type ?? '', id: id ?? '', versionName: versionName ?? '' };
      const text = body == null ? undefined : `{"resourceType":"${name.type}","id":"${name.id}"${body}`;
      yield { ...name, text };
    }
    if (rows.length < PAGE_COUNT) return;
  }
}
