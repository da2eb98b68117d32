/** The site's place in its hospital's HL7 v2 feeds: where it listens, and who may send what. */
import { AppError } from '@lantern/contract';
import { type Static, Type } from 'typebox';

/** An identifier system of FHIR is a URI (R4 datatypes.html#Identifier). */
const AuthoritiesSchema = Type.Record(
  Type.String({ minLength: 1, maxLength: 200 }),
  Type.String({ pattern: '^[A-Za-z][A-Za-z0-9+.-]*:[^\\s]+$', maxLength: 500 }),
  { description: 'URIs of identifier systems, by the name that messages have for their assigning authority (CX.4.1)' },
);

const FeedSenderSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 64, description: 'as the feed is called here' }),
    hosts: Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      description: 'addresses or networks (10.1.2.0/24) from which it sends',
    }),
    application: Type.Optional(Type.String({ description: 'MSH-3.1 that it has to have; any when absent' })),
    facility: Type.Optional(Type.String({ description: 'MSH-4.1 that it has to have; any when absent' })),
    timeZone: Type.String({
      default: 'Z',
      pattern: '^(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$',
      description: 'of times that name none, such as +01:00',
    }),
    identifierSystem: Type.Optional(
      Type.String({ minLength: 1, description: 'URI of patient numbers that come without an assigning authority' }),
    ),
    authorities: Type.Optional(AuthoritiesSchema),
  },
  { additionalProperties: false },
);

export const FeedSettingsSchema = Type.Object(
  {
    host: Type.String({ default: '127.0.0.1', description: 'address inside the hospital to listen on' }),
    port: Type.Integer({ default: 2575, minimum: 0, maximum: 65_535, description: '0: any free port' }),
    senders: Type.Array(FeedSenderSchema, { default: [], description: 'who may send; nobody else is taken' }),
    openHosts: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: 'addresses or networks from which anybody may send, under any name; for trials alone',
    }),
    authorities: Type.Optional(AuthoritiesSchema),
    processingIds: Type.Array(Type.String({ minLength: 1, maxLength: 1 }), {
      default: ['P'],
      description: 'MSH-11.1 that is taken: P production, T training, D debugging',
    }),
    keepDays: Type.Integer({
      default: 90,
      minimum: 1,
      maximum: 36_500,
      description: 'how long the bytes of a message are kept once it was mapped; that it came is kept for ever',
    }),
    tlsCertFile: Type.Optional(Type.String()),
    tlsKeyFile: Type.Optional(Type.String()),
    tlsCaFile: Type.Optional(
      Type.String({ description: 'with it, senders must show a certificate of this authority' }),
    ),
    connectionCountMax: Type.Integer({ default: 256, minimum: 1, maximum: 4096 }),
  },
  { additionalProperties: false },
);

export type FeedSender = Static<typeof FeedSenderSchema>;
export type FeedSettings = Static<typeof FeedSettingsSchema>;

/** Throws `config.invalid` for names used twice, and for half a TLS identity. */
export function assertFeedSettings({ senders, tlsCertFile, tlsKeyFile }: FeedSettings): void {
  const names = new Set(senders.map(({ name }) => name));
  if (names.size !== senders.length) {
    throw new AppError('config.invalid', 'hl7.senders: a name stands there twice.', { field: 'hl7.senders' });
  }
  if ((tlsCertFile === undefined) === (tlsKeyFile === undefined)) return;
  throw new AppError('config.invalid', 'hl7: tlsCertFile and tlsKeyFile come together.', { field: 'hl7.tlsKeyFile' });
}
