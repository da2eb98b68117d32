/** The feed of HL7 v2 messages of a site: what came, and what became of each. Metadata alone; nothing here says whose it is. */
import { type Static, Type } from 'typebox';
import { endpoint } from './endpoint.ts';
import type { FeedMessageState } from './states.ts';

/** Why a message was mapped with a warning, ignored, or failed: a rule, and the place in the message where it met it. */
const FeedReasonSchema = Type.Object(
  {
    rule: Type.String({ description: 'in words; never a value of the message' }),
    place: Type.Optional(Type.String({ description: 'such as PID-3.4' })),
    count: Type.Optional(Type.Integer({ minimum: 1, description: 'how often' })),
  },
  { additionalProperties: false },
);
export type FeedReason = Static<typeof FeedReasonSchema>;

const count = Type.Integer({ minimum: 0 });
const stateSchema = Type.Unsafe<FeedMessageState>(Type.String());

const FeedMessageSchema = Type.Object(
  {
    sequence: Type.Integer({ minimum: 1, description: 'in the order of arrival' }),
    sendingApplication: Type.String(),
    sendingFacility: Type.String(),
    controlId: Type.String(),
    messageCode: Type.String(),
    triggerEvent: Type.String(),
    version: Type.String(),
    connection: Type.String({ description: 'messages of one connection have the same' }),
    receivedAt: Type.String({ format: 'date-time' }),
    contentDigest: Type.String({ description: 'SHA-256 of its bytes, hex' }),
    byteCount: count,
    isKept: Type.Boolean({ description: 'whether its bytes are still here' }),
    state: stateSchema,
    reasons: Type.Array(FeedReasonSchema),
    attemptCount: count,
    duplicateCount: Type.Integer({ minimum: 0, description: 'how often it came again' }),
    conflictCount: Type.Integer({ minimum: 0, description: 'how many other messages have its control id' }),
    changedAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);
export type FeedMessage = Static<typeof FeedMessageSchema>;

const messageParams = Type.Object({ sequence: Type.Integer({ minimum: 1 }) });

export const HL7_FEED_API = {
  readFeed: endpoint({
    method: 'GET',
    path: '/api/v1/hl7-feed',
    summary: 'How many HL7 v2 messages are in which state',
    response: Type.Object(
      { counts: Type.Unsafe<Record<FeedMessageState, number>>(Type.Record(Type.String(), count)) },
      { additionalProperties: false },
    ),
  }),
  listFeedMessages: endpoint({
    method: 'GET',
    path: '/api/v1/hl7-messages',
    summary: 'HL7 v2 messages in the order of arrival, without their content',
    query: Type.Object({
      state: Type.Optional(Type.String()),
      after: Type.Optional(Type.Integer({ minimum: 0, description: 'sequence of the last one that was read' })),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
    }),
    response: Type.Object({ messages: Type.Array(FeedMessageSchema) }, { additionalProperties: false }),
  }),
  readFeedMessage: endpoint({
    method: 'GET',
    path: '/api/v1/hl7-messages/:sequence',
    summary: 'An HL7 v2 message without its content, and what became of it',
    params: messageParams,
    response: FeedMessageSchema,
  }),
  retryFeedMessage: endpoint({
    method: 'POST',
    path: '/api/v1/hl7-messages/:sequence/retry',
    summary: 'Map a failed message again',
    params: messageParams,
    response: FeedMessageSchema,
  }),
  retryFeed: endpoint({
    method: 'POST',
    path: '/api/v1/hl7-feed/retry',
    summary: 'Map every failed message again, up to a thousand, in the order in which they came',
    response: Type.Object({ retriedCount: count }, { additionalProperties: false }),
  }),
} as const;
