/**
 * A resource as text in two parts, as it is stored: what its sender wrote, and apart from it what only the server says (id, version,
 * time). Put together again it differs from what came only in `meta` and in the order of its first members.
 */
import { isJsonObject, type JsonObject, writeJson } from '@lantern/hl7';

export type ResourceText = {
  /** JSON object without versionId and lastUpdated; undefined: empty. */
  readonly meta: string | undefined;
  /** The other members, with the brace that closes the resource. */
  readonly body: string;
};

export type VersionHead = {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly lastUpdated: Date;
};

export function resourceText(resource: JsonObject): ResourceText {
  const { resourceType: _type, id: _id, meta, ...rest } = resource;
  const body = writeJson(rest).slice(1);
  return { meta: metaText(meta), body: body === '}' ? body : `,${body}` };
}

function metaText(meta: unknown): string | undefined {
  if (!isJsonObject(meta)) return undefined;
  const { versionId: _version, lastUpdated: _time, ...rest } = meta;
  return Object.keys(rest).length === 0 ? undefined : writeJson(rest);
}

/** The resource as it is given out. */
export function joinResource(head: VersionHead, { meta, body }: ResourceText): string {
  const own = `"versionId":"${head.version}","lastUpdated":"${head.lastUpdated.toISOString()}"`;
  const rest = meta === undefined ? '}' : `,${meta.slice(1)}`;
  return `{"resourceType":"${head.type}","id":"${head.id}","meta":{${own}${rest}${body}`;
}
