/**
 * The DICOM conformance statement of a site, after PS3.2 annex A: written from the tables that the code itself follows, so that it
 * cannot say anything else than the code does. `scripts/dicom-conformance.ts` writes it to docs/DICOM-CONFORMANCE.md.
 */
import { conformance, STATUS } from '@lantern/dicom';
import { loadConfig } from '@lantern/service';
import { FAILURE } from '../dicomweb/storing.ts';
import { QUERY_LEVELS, queryAttributes } from '../image-query/query-attributes.ts';
import { DicomSettingsSchema } from './dicom-settings.ts';

type Cells = readonly (string | number)[];
type ServiceName = ReturnType<typeof conformance>['sopClasses'][number]['service'];

function table(header: Cells, rows: readonly Cells[]): string {
  const lines = [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return lines.join('\n');
}

/** What each status that we answer means, and when we answer it. Every status of the code stands here; a test compares. */
const MEANINGS: Readonly<Record<keyof typeof STATUS, string>> = {
  success: 'done; for C-STORE: the instance is synced to disk and indexed, or was before with the same content',
  pending: 'a match, or sub-operations go on',
  pendingPartial: 'a match; some of the keys asked for are not supported and were not compared',
  cancelled: 'the request was cancelled',
  subOperationsFailed: 'C-GET, C-MOVE: some instances could not be sent; their UIDs are listed',
  processingFailure: 'an error on our side; it is in our log',
  noSuchEventType: 'N-EVENT-REPORT of an unknown event type',
  duplicateSopInstance: 'C-STORE: the UID is taken by other content; both are kept and a person decides',
  noSuchObjectInstance: 'storage commitment: of an instance that is not kept here, or another than the well-known one',
  invalidArgument: 'storage commitment: the information is not what PS3.4 J.3.2 asks for',
  invalidObjectInstance: 'the SOP Instance UID is none',
  noSuchSopClass: 'the service is not offered for the SOP class',
  missingAttribute: 'storage commitment: an attribute that has to be there is not',
  sopClassNotSupported: 'the service is not offered for the SOP class, or the peer has no context for it',
  noSuchActionType: 'N-ACTION of an unknown action type',
  notAuthorized: 'the peer may not do this here (mayStore, mayQuery)',
  duplicateInvocation: 'a message id that is in use',
  unrecognizedOperation: 'a service that is not offered',
  mistypedArgument: 'an argument of the wrong type',
  resourceLimitation: 'a limit of ours was reached, such as the length of an identifier',
  outOfResources: 'disk full or database away; nothing was kept: send it again later',
  cannotCountMatches: 'the number of matches cannot be worked out',
  cannotPerformSubOperations: 'C-GET, C-MOVE: no instance could be sent',
  moveDestinationUnknown: 'C-MOVE: the destination is not configured, or has no port',
  dataSetDoesNotMatchSopClass: 'the data set is not what the message says it is, or lacks what the service needs',
  cannotUnderstand: 'the data set cannot be read, or a key breaks a rule that the comment names',
};

const SERVICE_TEXTS: Readonly<Record<ServiceName, readonly [title: string, scu: string, scp: string]>> = {
  verification: ['Verification', 'yes', 'yes'],
  store: ['Storage', 'yes', 'yes'],
  find: ['Query', 'yes', 'yes, without the worklist'],
  move: ['Retrieve by C-MOVE', 'yes', 'yes'],
  get: ['Retrieve by C-GET', 'yes', 'yes'],
  commitment: ['Storage commitment (push)', 'no', 'yes'],
};

export function conformanceStatement(): string {
  const facts = conformance();
  const settings = loadConfig({
    schema: DicomSettingsSchema,
    env: {},
    prefix: '',
    overrides: { aeTitles: [{ aeTitle: 'LANTERN' }] },
  });
  return [
    '# DICOM conformance statement',
    'Written by `scripts/dicom-conformance.ts` from the tables of the code, and compared with them by a test. Not edited by hand.',
    'A Lantern site is an archive and a client in the DICOM network of its hospital. This statement follows PS3.2 annex A. DICOM edition of the registry: 2024c.',
    '## Services',
    table(['service', 'SCU', 'SCP'], Object.values(SERVICE_TEXTS)),
    table(
      ['SOP class other than storage', 'UID'],
      facts.sopClasses.filter(({ service }) => service !== 'store').map(({ name, uid }) => [name, uid]),
    ),
    ...associations(facts, settings),
    ...storage(facts),
    ...queries(),
    ...retrieval(),
    ...web(),
    '## Statuses',
    table(
      ['status', 'name', 'when'],
      Object.entries(STATUS)
        .sort(([, left], [, right]) => left - right)
        .map(([name, value]) => [
          value.toString(16).toUpperCase().padStart(4, '0'),
          name,
          MEANINGS[name as keyof typeof STATUS], // its keys are those of STATUS, as its type says
        ]),
    ),
    ...security(),
    '## Storage SOP classes',
    'Beside these, private ones (outside 1.2.840.10008) and those of later editions (below 1.2.840.10008.5.1.4.1.1) are stored, in whatever transfer syntax they come.',
    table(
      ['name', 'UID', 'retired'],
      facts.sopClasses
        .filter(({ service }) => service === 'store')
        .map(({ name, uid, retired }) => [name, uid, retired ? 'yes' : '']),
    ),
    '',
  ].join('\n\n');
}

type Facts = ReturnType<typeof conformance>;

function associations(facts: Facts, settings: { port: number; associationCountMax: number }): string[] {
  const { timeouts } = facts;
  return [
    '## Associations',
    table(
      ['what', 'value'],
      [
        ['Implementation Class UID', facts.implementationClassUid],
        ['Implementation Version Name', facts.implementationVersionName],
        ['application context', '1.2.840.10008.3.1.1.1'],
        ['greatest PDU received [bytes]', facts.receivedPduBytesMax],
        ['greatest PDU sent [bytes]', `${facts.sentPduBytesMax}, or what the peer allows if that is less`],
        [
          'associations at once',
          `${settings.associationCountMax} by default (setting associationCountMax); further ones are rejected as transient`,
        ],
        ['port', `${settings.port} by default (setting port)`],
        ['operations at once on an association', '1: asynchronous operations are not negotiated'],
        ['role selection', 'answered; used for C-GET and for reports of storage commitment'],
        ['from connection to A-ASSOCIATE-RQ [s]', timeouts.associateMs / 1000],
        ['between two PDUs of a message [s]', timeouts.idleMs / 1000],
        ['without a request on an open association [s]', timeouts.requestMs / 1000],
        ['for an answer, as SCU [s]', timeouts.answerMs / 1000],
      ],
    ),
    'A peer is admitted when its title and address stand together in the setting peers and it calls one of the titles in aeTitles; nobody is by default. Sockets set TCP_NODELAY.',
  ];
}

function storage(facts: Facts): string[] {
  return [
    '## Storage',
    'Level 2 (full): every attribute is kept, private ones too, byte for byte and in the transfer syntax in which it came. No attribute is coerced. Of the transfer syntaxes of a context the first that the sender names is taken. Success is answered when the instance is synced to disk and its index row is committed. The same SOP Instance UID with equal content is a success and is kept once; with other content it is refused with 0111, kept beside, and never takes the place of the first. Storage commitment is confirmed after a look at index and file.',
    table(
      ['transfer syntax', 'UID', 'received and sent as it is', 'decoded', 'made'],
      facts.transferSyntaxes.map(({ name, uid, isNative, decoded, encoded }) => [
        name,
        uid,
        'yes',
        isNative ? 'no codec needed' : decoded ? 'yes' : '',
        encoded ? 'yes' : '',
      ]),
    ),
  ];
}

function queries(): string[] {
  const attributes = [...queryAttributes().values()];
  return [
    '## Query',
    'Patient root and study root, hierarchical; relational queries and fuzzy matching are not negotiated. QIDO-RS finds by the same attributes. Names are compared without regard to case. An attribute that is not listed is returned empty and not compared.',
    table(
      ['level', 'attribute', 'VR', 'compared as'],
      QUERY_LEVELS.flatMap((level) =>
        attributes
          .filter((attribute) => attribute.level === level)
          .map(({ keyword, vr, comparison }) => [
            level,
            keyword,
            vr,
            comparison === 'never' ? 'returned only' : comparison,
          ]),
      ),
    ),
  ];
}

function retrieval(): string[] {
  return [
    '## Retrieve',
    'C-MOVE to configured peers that have a port, C-GET by role selection, at the levels PATIENT, STUDY, SERIES and IMAGE. An instance is sent in the transfer syntax in which it is kept where the receiver takes that, else transcoded to one that it takes where a codec is there (table above), else its sub-operation fails. The reason of the first failure is the error comment of the final answer.',
  ];
}

const FAILURE_TEXTS: Readonly<Record<keyof typeof FAILURE, string>> = {
  outOfResources: 'the disk is full, or the database away',
  doesNotMatch: 'the data set names another SOP class or instance than its meta information',
  otherStudy: 'the instance is of another study than the request is for',
  cannotUnderstand: 'the part is no file of PS3.10, or its header cannot be read',
  conflict: 'the UID is taken by other content, which stays; both are kept',
  processing: 'a fault of ours, which is in the log',
};

function web(): string[] {
  return [
    '## DICOMweb',
    'Below `/dicom-web`, with a bearer token; `/openapi.json` of a running site lists every operation. QIDO-RS searches studies, series and instances. WADO-RS gives studies, series and instances as multipart or alone, in Explicit VR Little Endian or in the transfer syntax that is accepted, never in Implicit VR or Big Endian; what no codec of ours decodes, video among it, as it is kept, unless another transfer syntax is asked for; metadata in JSON and in XML, with bulk data by URI; frames, uncompressed or compressed; rendered images and thumbnails as JPEG and PNG, with window, viewport and quality. What cannot be given as accepted is 406; of many instances the others are given with 206 and a warning. Not offered: results of searches in XML, which PS3.18 8.7.3 asks for; frames of video apart from the object (both 406), compression of an object to more than 256 MiB (406), ZIP, annotations, presentation states, ICC profiles.',
    'STOW-RS takes `application/dicom`, alone or in `multipart/related`: 200 all stored, 202 some, 409 none, 400 nothing that could be read, 415 another media type (metadata with bulk data apart among them), 507 no room. Failure reasons:',
    table(
      ['failure reason', 'when'],
      Object.entries(FAILURE).map(([name, code]) => [
        code.toString(16).toUpperCase().padStart(4, '0'),
        FAILURE_TEXTS[name as keyof typeof FAILURE], // its keys are those of FAILURE, as its type says
      ]),
    ),
  ];
}

function security(): string[] {
  return [
    '## Character sets',
    'Every Specific Character Set of PS3.3 C.12.1.1.2 is read, with code extensions. Answers are in the default repertoire where they hold ASCII alone, else in ISO_IR 192.',
    '## Security',
    'TLS by settings (tlsCertFile, tlsKeyFile); with tlsCaFile peers must show a certificate of that authority. Without TLS an AE title proves nothing. Every reading and changing of patient data is a record in the audit chain of the site. De-identification: [docs/de-identification.md](de-identification.md).',
  ];
}
