/** How a site stands in the DICOM network of its hospital: its own titles, and the peers that it knows. Closed by default. */
import { AppError } from '@lantern/contract';
import { type Static, Type } from 'typebox';

const AeTitleSchema = Type.String({
  minLength: 1,
  maxLength: 16,
  pattern: '^[\\x21-\\x5B\\x5D-\\x7E]([\\x20-\\x5B\\x5D-\\x7E]*[\\x21-\\x5B\\x5D-\\x7E])?$',
  description: 'PS3.5 6.2, VR AE: up to 16 printable characters, no backslash',
});

const OwnAeSchema = Type.Object(
  {
    aeTitle: AeTitleSchema,
    quietMs: Type.Integer({
      default: 30_000,
      minimum: 100,
      maximum: 86_400_000,
      description: 'a study is complete when nothing has arrived for so long',
    }),
    expectedSeriesCount: Type.Optional(
      Type.Integer({ minimum: 1, description: 'complete as soon as so many series are there and a second has passed' }),
    ),
    longestMs: Type.Integer({
      default: 3_600_000,
      minimum: 1000,
      maximum: 604_800_000,
      description: 'complete after so long even if instances still arrive',
    }),
    late: Type.Union([Type.Literal('new-revision'), Type.Literal('join')], {
      default: 'new-revision',
      description: 'an instance after that: the study is handed on again, or it is only kept',
    }),
  },
  { additionalProperties: false },
);

const DicomPeerSchema = Type.Object(
  {
    aeTitle: AeTitleSchema,
    hosts: Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      description: 'addresses or networks (10.1.2.0/24) from which it may call',
    }),
    host: Type.Optional(Type.String({ description: 'where it listens; the first of hosts when absent' })),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535, description: 'where it listens' })),
    tls: Type.Boolean({ default: false, description: 'whether it is called by TLS' }),
    mayStore: Type.Boolean({ default: true }),
    mayQuery: Type.Boolean({ default: false, description: 'C-FIND, C-GET, C-MOVE' }),
  },
  { additionalProperties: false },
);

export const DicomSettingsSchema = Type.Object(
  {
    host: Type.String({ default: '127.0.0.1', description: 'address inside the hospital to listen on' }),
    port: Type.Integer({ default: 11_112, minimum: 0, maximum: 65_535, description: '0: any free port' }),
    aeTitles: Type.Array(OwnAeSchema, { minItems: 1, description: 'titles under which this site is called' }),
    peers: Type.Array(DicomPeerSchema, { default: [], description: 'who may call; nobody else is admitted' }),
    openHosts: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: 'addresses or networks from which anybody may store and query, under any title; for trials alone',
    }),
    tlsCertFile: Type.Optional(Type.String()),
    tlsKeyFile: Type.Optional(Type.String()),
    tlsCaFile: Type.Optional(Type.String({ description: 'with it, peers must show a certificate of this authority' })),
    associationCountMax: Type.Integer({ default: 100, minimum: 1, maximum: 1000 }),
  },
  { additionalProperties: false },
);

export type OwnAe = Static<typeof OwnAeSchema>;
export type DicomPeer = Static<typeof DicomPeerSchema>;
export type DicomSettings = Static<typeof DicomSettingsSchema>;

/** Under whose title comes what is sent otherwise than by DIMSE. */
export function firstAe({ aeTitles }: DicomSettings): OwnAe {
  const [first] = aeTitles;
  if (first === undefined)
    throw new AppError('config.invalid', 'dicom.aeTitles: one is needed.', { field: 'dicom.aeTitles' });
  return first;
}

/** Throws `config.invalid` for titles named twice, and for half a TLS identity. */
export function assertDicomSettings(settings: DicomSettings): void {
  assertOnce(settings.aeTitles, 'aeTitles');
  assertOnce(settings.peers, 'peers');
  if ((settings.tlsCertFile === undefined) === (settings.tlsKeyFile === undefined)) return;
  throw new AppError('config.invalid', 'dicom: tlsCertFile and tlsKeyFile come together.', {
    field: 'dicom.tlsKeyFile',
  });
}

function assertOnce(entries: readonly { readonly aeTitle: string }[], name: string): void {
  const titles = new Set<string>();
  for (const { aeTitle } of entries) {
    if (titles.has(aeTitle)) {
      throw new AppError('config.invalid', `dicom.${name}: the title ${aeTitle} stands there twice.`, {
        field: `dicom.${name}`,
      });
    }
    titles.add(aeTitle);
  }
}
