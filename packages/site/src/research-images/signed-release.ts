/**
 * What a person said of images that were held back, by the signature of this site. A release lets pixels pass that nobody looks at
 * again, so it counts only as it was signed, for that content and with that statement; a row that somebody changed releases nothing.
 * A refusal needs no signature, since it lets nothing pass; that one is final is read from the audit chain, once per process.
 */
import { canonicalJson, PAYLOAD_TYPES, type PixelStatement, type SignedEnvelope } from '@lantern/contract';
import {
  type Clock,
  type Database,
  type KeyPair,
  type Logger,
  openEnvelope,
  signEnvelope,
  type Tx,
} from '@lantern/service';
import { Type } from 'typebox';
import { audit } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import { type ContentDecision, type QuarantineTables, readAuditedRefusals } from './quarantine-store.ts';

const ReleaseSchema = Type.Object(
  {
    schema: Type.Literal('lantern.image-release/1'),
    contentDigest: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    statement: Type.Unknown({ description: 'compared with the row, which has passed its schema' }),
    decidedBy: Type.String(),
    decidedAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);

type Release = {
  readonly contentDigest: string;
  readonly statement: PixelStatement;
  readonly by: string;
  readonly at: Date;
};

export type SignedReleases = {
  sign(release: Release): SignedEnvelope;
  /** Decisions as they count: of releases those that were signed, and refusals. What is not is audited, once per process. */
  counting(decisions: readonly ContentDecision[]): Promise<readonly ContentDecision[]>;
  /** A refusal was committed just now. */
  refused(contentDigest: string): void;
};

type ReleaseDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keyPair: KeyPair;
};

export function createSignedReleases(deps: ReleaseDeps): SignedReleases {
  const rejected = new Set<string>();
  let reading: Promise<Set<string>> | undefined;
  const refusals = () => {
    reading ??= readAuditedRefusals(deps.database.kysely<QuarantineTables>())
      .then((contents) => new Set(contents))
      .catch((caught: unknown) => {
        reading = undefined; // the database was away; the next question reads again
        throw caught;
      });
    return reading;
  };
  return {
    sign({ contentDigest, statement, by, at }) {
      const schema = 'lantern.image-release/1';
      const payload = { schema, contentDigest, statement, decidedBy: by, decidedAt: at.toISOString() };
      return signEnvelope({ payloadType: PAYLOAD_TYPES.imageRelease, payload, keyPair: deps.keyPair });
    },
    refused: (contentDigest) => void reading?.then((contents) => contents.add(contentDigest)).catch(() => undefined), // else it is read with the rest
    async counting(decisions) {
      const refused = await refusals();
      const counted: ContentDecision[] = [];
      for (const decision of decisions) {
        const { contentDigest, state } = decision;
        if (refused.has(contentDigest)) counted.push({ ...decision, state: 'refused' });
        else if (state === 'refused' || isSigned(decision, deps.keyPair)) counted.push(decision);
        else if (!rejected.has(contentDigest)) {
          await noteRejected(deps, contentDigest);
          rejected.add(contentDigest);
        }
      }
      return counted;
    },
  };
}

function isSigned({ contentDigest, statement, release }: ContentDecision, signer: KeyPair): boolean {
  try {
    const opened = openEnvelope(release, { payloadType: PAYLOAD_TYPES.imageRelease, schema: ReleaseSchema, signer });
    return opened.contentDigest === contentDigest && canonicalJson(opened.statement) === canonicalJson(statement);
  } catch {
    return false; // unsigned, changed, or signed by somebody else
  }
}

async function noteRejected(deps: ReleaseDeps, contentDigest: string): Promise<void> {
  deps.log.error({ contentDigest }, 'the release of an image is not what this site signed; it stays held back');
  await deps.database.transaction((tx: Tx<SiteTables>) =>
    audit(deps, tx, {
      actor: 'site',
      action: 'image-quarantine.reject',
      object: `content:${contentDigest}`,
      outcome: 'failure',
      details: { code: 'envelope.rejected' },
    }),
  );
}
