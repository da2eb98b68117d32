/**
 * CDS Hooks 2.0 (HL7, 2022), the parts a patient-view service needs. Members are never null or empty; what is not known is
 * left out. Unknown members of a request are allowed, as the specification asks; ours are the ones we read.
 */
import { type Static, Type } from 'typebox';

export const CdsRequestSchema = Type.Object({
  hook: Type.String({ minLength: 1, maxLength: 64 }),
  hookInstance: Type.String({ minLength: 1, maxLength: 128 }),
  fhirServer: Type.Optional(
    Type.String({ maxLength: 2048, description: 'base of the record system: absolute references on it are taken' }),
  ),
  context: Type.Object({
    userId: Type.Optional(Type.String({ maxLength: 256 })),
    patientId: Type.String({ minLength: 1, maxLength: 128 }),
  }),
  prefetch: Type.Optional(Type.Record(Type.String({ maxLength: 64 }), Type.Unknown())),
});
export type CdsRequest = Static<typeof CdsRequestSchema>;

export const CdsCardSchema = Type.Object({
  uuid: Type.String(),
  summary: Type.String({ minLength: 1, maxLength: 140 }),
  detail: Type.Optional(Type.String()),
  indicator: Type.Union([Type.Literal('info'), Type.Literal('warning'), Type.Literal('critical')]),
  source: Type.Object({ label: Type.String() }),
  overrideReasons: Type.Optional(
    Type.Array(Type.Object({ code: Type.String(), system: Type.String(), display: Type.String() })),
  ),
});
export type CdsCard = Static<typeof CdsCardSchema>;

export const CdsResponseSchema = Type.Object({ cards: Type.Array(CdsCardSchema) });
export type CdsResponse = Static<typeof CdsResponseSchema>;

export const CdsServiceSchema = Type.Object({
  hook: Type.Literal('patient-view'),
  id: Type.String(),
  title: Type.String(),
  description: Type.String(),
  prefetch: Type.Record(Type.String(), Type.String()),
  usageRequirements: Type.Optional(Type.String()),
});
export type CdsService = Static<typeof CdsServiceSchema>;

export const CdsFeedbackSchema = Type.Object({
  feedback: Type.Array(
    Type.Object({
      card: Type.String({ minLength: 1, maxLength: 64 }),
      outcome: Type.Union([Type.Literal('accepted'), Type.Literal('overridden')]),
      acceptedSuggestions: Type.Optional(
        Type.Array(Type.Object({ id: Type.String({ maxLength: 64 }) }), { maxItems: 20 }),
      ),
      overrideReason: Type.Optional(
        Type.Object({
          reason: Type.Optional(
            Type.Object({
              code: Type.String({ maxLength: 64 }),
              system: Type.Optional(Type.String({ maxLength: 256 })),
            }),
          ),
          userComment: Type.Optional(
            Type.String({
              maxLength: 2000,
              description: 'not kept, as free text may name the patient; that there was one is kept with the outcome',
            }),
          ),
        }),
      ),
      outcomeTimestamp: Type.String({
        format: 'date-time',
        description: 'the latest of several words on a card counts; one from the future is refused',
      }),
    }),
    { minItems: 1, maxItems: 100 },
  ),
});
export type CdsFeedback = Static<typeof CdsFeedbackSchema>;
