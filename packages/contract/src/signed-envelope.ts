/**
 * A signed document: DSSE (Dead Simple Signing Envelope, v1.0.2) with Ed25519. The signature covers the type and the exact
 * payload bytes, so nobody needs to agree on how JSON is spelt to verify it.
 *
 * Lantern signs the hub's tasks, model versions and retirements of these, and a site's decisions and answers.
 */
import { type Static, Type } from 'typebox';

export const PAYLOAD_TYPES = {
  task: 'application/vnd.lantern.task+json',
  answer: 'application/vnd.lantern.answer+json',
  decision: 'application/vnd.lantern.decision+json',
  modelVersion: 'application/vnd.lantern.model-version+json',
  retirement: 'application/vnd.lantern.retirement+json',
  imageApproval: 'application/vnd.lantern.image-approval+json',
  imageRelease: 'application/vnd.lantern.image-release+json',
} as const;
export type PayloadType = (typeof PAYLOAD_TYPES)[keyof typeof PAYLOAD_TYPES];

const PAYLOAD_BASE64_LENGTH_MAX = 4 * 1024 * 1024; // documents, not weights: 3 MiB of JSON is already far too much

export const SignedEnvelopeSchema = Type.Object(
  {
    payloadType: Type.String({ maxLength: 128 }),
    payload: Type.String({ maxLength: PAYLOAD_BASE64_LENGTH_MAX, description: 'base64 of canonical JSON' }),
    signatures: Type.Array(
      Type.Object(
        {
          keyid: Type.String({ maxLength: 128 }),
          sig: Type.String({ maxLength: 128, description: 'base64, 64 bytes' }),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 1 },
    ),
  },
  { additionalProperties: false },
);
export type SignedEnvelope = Static<typeof SignedEnvelopeSchema>;
