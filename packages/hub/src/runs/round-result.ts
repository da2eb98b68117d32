/**
 * What a closed round leaves for the next: everything an action needs that is not in the plan. Kept as one JSON document
 * in the row of the round, written in the transaction that closes it.
 */
import type { BlobRef, DatasetSchema, Digest, SiteId, Standardisation } from '@lantern/contract';

/** One tensor file per name; for example `m` and `v` of FedAdam, `control` of SCAFFOLD. */
export type ServerState = Readonly<Record<string, BlobRef>>;

/** `schema`: as offered when the sites prepared; absent when no participant had offered a schema of that digest. */
export type PreparedResult = {
  readonly kind: 'prepared';
  readonly schemaDigest: Digest;
  readonly schema?: DatasetSchema;
  readonly trainRowCounts: Readonly<Record<SiteId, number>>;
};

export type RoundResult =
  | PreparedResult
  | { readonly kind: 'standardised'; readonly standardisation: Standardisation; readonly rowCount: number }
  | { readonly kind: 'newton'; readonly theta: readonly number[]; readonly weights: BlobRef }
  | { readonly kind: 'trained'; readonly weights: BlobRef; readonly serverState: ServerState }
  | { readonly kind: 'evaluated' };
