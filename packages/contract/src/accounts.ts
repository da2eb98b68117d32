/** Roles of people at the hub and at a site. A role at one says nothing at the other. */
import { type Static, Type } from 'typebox';

export const HUB_ROLES = ['admin', 'researcher', 'viewer'] as const;
export const SITE_ROLES = ['admin', 'governance', 'data-engineer', 'clinician'] as const;
export type HubRole = (typeof HUB_ROLES)[number];
export type SiteRole = (typeof SITE_ROLES)[number];

export const USER_NAME_PATTERN = '^[a-z][a-z0-9.-]{1,62}$';
export const PASSWORD_LENGTH_MIN = 12; // NIST SP 800-63B asks for 8; hospital policies commonly for 12
export const PASSWORD_LENGTH_MAX = 256; // bounds the work of hashing

const NewPasswordSchema = Type.String({ minLength: PASSWORD_LENGTH_MIN, maxLength: PASSWORD_LENGTH_MAX });

export const NewUserSchema = Type.Object(
  {
    name: Type.String({ pattern: USER_NAME_PATTERN }),
    password: NewPasswordSchema,
    roles: Type.Array(Type.String({ minLength: 1, maxLength: 32 }), { minItems: 1, maxItems: 8, uniqueItems: true }),
  },
  { additionalProperties: false },
);
export type NewUser = Static<typeof NewUserSchema>;

export const SignInSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 64 }),
    password: Type.String({ minLength: 1, maxLength: PASSWORD_LENGTH_MAX }),
  },
  { additionalProperties: false },
);
export type SignIn = Static<typeof SignInSchema>;

/** A person's own password: whoever has only a token cannot set another. */
export const PasswordChangeSchema = Type.Object(
  {
    oldPassword: Type.String({ minLength: 1, maxLength: PASSWORD_LENGTH_MAX }),
    newPassword: NewPasswordSchema,
  },
  { additionalProperties: false },
);
export type PasswordChange = Static<typeof PasswordChangeSchema>;

/** `token` is shown once, at creation; only its SHA-256 is kept. */
export const TokenSchema = Type.Object(
  { token: Type.String(), expiresAt: Type.String({ format: 'date-time' }), roles: Type.Array(Type.String()) },
  { additionalProperties: false },
);
export type Token = Static<typeof TokenSchema>;
