/** Operations that hub and site offer alike: accounts, audit. */
import { type Static, Type } from 'typebox';
import { NewUserSchema, PasswordChangeSchema, SignInSchema, TokenSchema } from './accounts.ts';
import { endpoint } from './endpoint.ts';
import { IdSchema } from './ids.ts';
import { SignedEnvelopeSchema } from './signed-envelope.ts';

/** What a server calls itself at `/health` and in its `/openapi.json`. */
export const SERVER_TITLES = { hub: 'Lantern hub', site: 'Lantern site' } as const;

export const UserSchema = Type.Object(
  { userId: IdSchema('UserId'), name: Type.String(), roles: Type.Array(Type.String()), disabled: Type.Boolean() },
  { additionalProperties: false },
);
export type User = Static<typeof UserSchema>;

export const AuditRecordSchema = Type.Object(
  {
    sequence: Type.Integer({ minimum: 1 }),
    at: Type.String({ format: 'date-time' }),
    actor: Type.String(),
    action: Type.String(),
    object: Type.String(),
    outcome: Type.Union([Type.Literal('success'), Type.Literal('refused'), Type.Literal('failure')]),
    details: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
    previousHash: Type.String(),
    hash: Type.String(),
  },
  { additionalProperties: false },
);
export type AuditRecord = Static<typeof AuditRecordSchema>;

export const OkSchema = Type.Object({ ok: Type.Literal(true) }, { additionalProperties: false });

export const COMMON_API = {
  signIn: endpoint({
    method: 'POST',
    path: '/api/v1/sessions',
    summary: 'Sign in with a local account',
    body: SignInSchema,
    response: TokenSchema,
  }),
  createUser: endpoint({
    method: 'POST',
    path: '/api/v1/users',
    summary: 'Create a local account',
    body: NewUserSchema,
    response: UserSchema,
  }),
  listUsers: endpoint({
    method: 'GET',
    path: '/api/v1/users',
    summary: 'List local accounts',
    response: Type.Object({ users: Type.Array(UserSchema) }, { additionalProperties: false }),
  }),
  disableUser: endpoint({
    method: 'POST',
    path: '/api/v1/users/:userId/disable',
    summary: 'Disable a local account; its tokens stop working at once',
    params: Type.Object({ userId: IdSchema('UserId') }),
    response: UserSchema,
  }),
  changePassword: endpoint({
    method: 'POST',
    path: '/api/v1/password',
    summary: 'Change the password of the own account; all its tokens but the one of this request stop working at once',
    body: PasswordChangeSchema,
    response: Type.Object({ revokedTokenCount: Type.Integer({ minimum: 0 }) }, { additionalProperties: false }),
  }),
  createToken: endpoint({
    method: 'POST',
    path: '/api/v1/tokens',
    summary: 'Create an API token for oneself, with the same or fewer roles',
    body: Type.Object(
      { roles: Type.Array(Type.String(), { minItems: 1 }), expiresInDays: Type.Integer({ minimum: 1, maximum: 366 }) },
      { additionalProperties: false },
    ),
    response: TokenSchema,
  }),
  revokeToken: endpoint({
    method: 'POST',
    path: '/api/v1/tokens/revoke',
    summary: 'Revoke a token that one holds, as in RFC 7009: signing out',
    body: Type.Object({ token: Type.String({ minLength: 1, maxLength: 512 }) }, { additionalProperties: false }),
    response: Type.Object({ revoked: Type.Boolean() }, { additionalProperties: false }),
  }),
  listAudit: endpoint({
    method: 'GET',
    path: '/api/v1/audit',
    summary: 'Read the audit log, oldest first',
    query: Type.Object({
      after: Type.Optional(Type.Integer({ minimum: 0 })),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
    }),
    response: Type.Object({ records: Type.Array(AuditRecordSchema) }, { additionalProperties: false }),
  }),
  auditHead: endpoint({
    method: 'GET',
    path: '/api/v1/audit/head',
    summary: 'The signed head of the audit chain, to be kept elsewhere',
    response: Type.Object(
      { sequence: Type.Integer(), hash: Type.String(), envelope: SignedEnvelopeSchema },
      { additionalProperties: false },
    ),
  }),
} as const;
