/**
 * Branded identifiers. An id is a prefix that says what it names and 24 lower-case base-32 characters (120 random bits),
 * so that a site id pasted where a project id is wanted is refused by compiler and schema alike.
 */
import { type TUnsafe, Type } from 'typebox';

const PREFIXES = {
  SiteId: 'site',
  ProjectId: 'proj',
  DecisionId: 'deci',
  RunId: 'run',
  TaskId: 'task',
  ModelVersionId: 'mver',
  DeploymentId: 'depl',
  QuestionId: 'ques',
  UserId: 'user',
  TokenId: 'tokn',
  ConsultationId: 'cons',
  PullId: 'pull',
  ImageCollectionId: 'icol',
  QuarantineId: 'iqua',
  DatasetBuildId: 'dbld',
} as const;

export type IdKind = keyof typeof PREFIXES;
export type Id<K extends IdKind> = string & { readonly __kind: K };

export type SiteId = Id<'SiteId'>;
export type ProjectId = Id<'ProjectId'>;
export type DecisionId = Id<'DecisionId'>;
export type RunId = Id<'RunId'>;
export type TaskId = Id<'TaskId'>;
export type ModelVersionId = Id<'ModelVersionId'>;
export type DeploymentId = Id<'DeploymentId'>;
export type QuestionId = Id<'QuestionId'>;
export type UserId = Id<'UserId'>;
export type TokenId = Id<'TokenId'>;
export type ConsultationId = Id<'ConsultationId'>;
export type PullId = Id<'PullId'>;
export type ImageCollectionId = Id<'ImageCollectionId'>;
export type QuarantineId = Id<'QuarantineId'>;
export type DatasetBuildId = Id<'DatasetBuildId'>;

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const BODY_LENGTH = 24;

export function idPattern(kind: IdKind): string {
  return `^${PREFIXES[kind]}_[a-z2-7]{${BODY_LENGTH}}$`;
}

/** Makes an id from at least 15 random bytes handed in by the caller, so that this package needs no randomness. */
export function idFromBytes<K extends IdKind>(kind: K, randomBytes: Uint8Array): Id<K> {
  let body = '';
  let bits = 0;
  let held = 0;
  for (const byte of randomBytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5 && body.length < BODY_LENGTH) {
      bits -= 5;
      body += ALPHABET[(held >> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  if (body.length < BODY_LENGTH) throw new RangeError('An id needs at least 15 random bytes.');
  return `${PREFIXES[kind]}_${body}` as Id<K>;
}

export function isId<K extends IdKind>(kind: K, value: unknown): value is Id<K> {
  return typeof value === 'string' && new RegExp(idPattern(kind)).test(value);
}

/** A TypeBox schema whose static type is the branded id. */
export function IdSchema<K extends IdKind>(kind: K): TUnsafe<Id<K>> {
  return Type.Unsafe<Id<K>>(Type.String({ pattern: idPattern(kind), description: `${kind}` }));
}

/** SHA-256 of some bytes as 64 lower-case hex characters. Names every stored object and every bundle. */
export type Digest = string & { readonly __kind: 'Digest' };
export const DIGEST_PATTERN = '^[0-9a-f]{64}$';
export const DigestSchema: TUnsafe<Digest> = Type.Unsafe<Digest>(
  Type.String({ pattern: DIGEST_PATTERN, description: 'SHA-256, lower-case hex' }),
);
export function isDigest(value: unknown): value is Digest {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}
